"""Prints the findings of checks."""

from collections.abc import Sequence
from typing import Final

from rich.text import Text

from router.cli.output import console
from router.printable import clean
from router.queries.checks import Check, State

_MARKS: Final[dict[State, tuple[str, str]]] = {
    "good": ("ok  ", "green"),
    "look": ("look", "yellow"),
    "bad": ("BAD ", "red"),
    "skipped": ("-   ", "dim"),
}


def print_checks(checks: Sequence[Check]) -> None:
    """Print findings, a line for each and one for its advice."""
    out = console()
    wide = max(len(check.name) for check in checks)
    for check in checks:
        mark, style = _MARKS[check.state]
        line = Text(mark, style=style)
        line.append(f"  {check.name:{wide}}  {clean(check.found)}", style="default")
        out.print(line, soft_wrap=True)
        if check.advice:
            out.print(Text(f"{'':{wide + 6}}  → {clean(check.advice)}"), soft_wrap=True)
