"""Prints the warnings about valid flows that probably do not work as intended."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from router.cli.flows.changes import named
from router.cli.output import console, styled
from router.flow.warned import Warned

_SHOWN: Final = 20


def described(warnings: Iterable[Warned]) -> list[dict[str, Any]]:
    """Return warnings as JSON shows them."""
    return [
        {**(named(each.flow) if each.flow else {}), "warning": each.text, "advice": each.advice} for each in warnings
    ]


def print_warnings(warnings: Sequence[Warned]) -> None:
    """Print a line for each warning, at most twenty."""
    for each in warnings[:_SHOWN]:
        flow = each.flow
        subject = f"{flow.channel_type} {flow.contact_identity}  “{flow.friendly_name}” " if flow else ""
        line = f"! {subject}{each}"
        console().print(styled(line, "fault" if each.fault else "warning"), soft_wrap=True)
    if len(warnings) > _SHOWN:
        more = f"! … and {len(warnings) - _SHOWN:,} more; `router doctor` lists those of all flows"
        console().print(styled(more, "warning"), soft_wrap=True)
