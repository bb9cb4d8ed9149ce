"""The output of commands: tables and facts for people, JSON for programs.

Everything is readable without colour. In a pipe each record is one line, which is never shortened. Control characters
in customers' texts do not reach the terminal.
"""

import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final

import click
from rich.cells import cell_len
from rich.console import Console
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from router.cli.terminal import unguarded
from router.flow.flex_flow import FlexFlow
from router.message.twiml import TRACEBACK
from router.printable import clean, printable, to_json
from router.queries.delivery_json import not_twiml, target_excerpt
from router.store.deliveries import Delivery

# Wide enough for every record on one line where the output is not a screen.
_PIPE: Final = 1000
_NARROW: Final = 110  # columns of a screen
_BRIEF: Final = 10  # characters of a flow's SID on a narrow one
_STYLES: Final = {
    "delivered": "green",
    "redirected": "green",
    "queued": "yellow",
    "sending": "yellow",
    "undelivered": "red",
    "unrouted": "red",
    "enabled": "green",
    "paused": "yellow",
    "disabled": "dim",
    "add": "green",
    "change": "yellow",
    "remove": "red",
    "warning": "yellow",
    "fault": "red",
}
Facts = list[tuple[str, str | Text | Sequence[str]]]
"""The facts about one object: pairs of a name and a value; the value can be several lines."""


class _Console(Console):
    """A console that replaces the control characters in texts; its own, such as colours, are written unchanged."""

    def _render_buffer(self, buffer: Iterable[Segment]) -> str:
        return super()._render_buffer(
            Segment(text if control else printable(text, keep="\n"), style, control) for text, style, control in buffer
        )


def console() -> Console:
    """Return a console as wide as the screen, or very wide in a pipe, and without markup, which texts could contain."""
    width = None if sys.stdout.isatty() else _PIPE
    return _Console(file=unguarded(sys.stdout), width=width, markup=False, highlight=False, emoji=False)


def short(text: str, most: int) -> str:
    """Shorten a text to `most` characters, on one line."""
    text = clean(text)
    return text if len(text) <= most else text[: most - 1] + "…"


def styled(text: str, style: str) -> Text:
    """Return a line in the colour of a style such as `add` or `warning`."""
    return Text(clean(text), style=_STYLES[style])


def word(status: str) -> Text:
    """Return a status in its colour."""
    return Text.assemble((status, _STYLES.get(status, "")))


def integration_line(flow: FlexFlow) -> str:
    """Describe the integration of a flow in a few words: `external https://example.com/inbound`."""
    return f"{flow.integration.type} {flow.integration.target}".rstrip()


def flow_line(flow: FlexFlow | None) -> str:
    """Describe a flow in a few words: `FO… “Support”: studio FW…, relay`."""
    return f"{flow.sid} “{flow.friendly_name}”: {integration_line(flow)}, {flow.response}" if flow else "no flow"


def print_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[str | Text]],
    *,
    whole: Collection[str] = (),
    spare: Collection[str] = (),
    brief: Collection[str] = (),
) -> None:
    """Print records, one on a line, under their headings.

    Args:
        columns: the headings.
        rows: a cell for each heading.
        whole: columns that are never shortened.
        spare: columns that are left out on a narrow screen.
        brief: columns with SIDs of flows; a narrow screen shows their beginning, which commands accept for the SID.
    """
    width = console().width
    narrow = width < _NARROW
    shown = [place for place, column in enumerate(columns) if not (narrow and column in spare)]
    lines = [
        [cell[:_BRIEF] if narrow and columns[place] in brief else cell for place, cell in enumerate(row)]
        for row in [[each if isinstance(each, Text) else Text(clean(each)) for each in row] for row in rows]
    ]
    widest = {place: max(cell_len(columns[place]), *(line[place].cell_len for line in lines)) for place in shown}
    while sum(widest.values()) + 2 * (len(shown) - 1) > width:
        longest = max(shown, key=lambda place: 0 if columns[place] in whole else widest[place])
        widest[longest] -= 1
        if widest[longest] <= 1:
            break
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for place in shown:
        table.add_column(columns[place], no_wrap=True, overflow="ellipsis", width=widest[place])
    for line in lines:
        table.add_row(*(line[place] for place in shown))
    _print(table)


def _print(table: Table) -> None:
    """Print a table without the blanks at the end of its lines."""
    out = console()
    with out.capture() as captured:
        out.print(table)
    for line in captured.get().splitlines():
        click.echo(line.rstrip(), file=out.file)


def print_facts(facts: Facts) -> None:
    """Print facts, one below the other."""
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in facts:
        if isinstance(value, Text):
            table.add_row(name, value)
        else:
            text = value if isinstance(value, str) else "\n".join(value)
            table.add_row(name, Text(clean(text, lines=True)))
    _print(table)


def print_json(value: Mapping[str, Any] | Sequence[Any]) -> None:
    """Print JSON for a program."""
    click.echo(to_json(value, indent=2))


def print_line(value: Mapping[str, Any]) -> None:
    """Print one of many records as a line of JSON, for a program."""
    click.echo(to_json(value))


def target_facts(delivery: Delivery) -> Facts:
    """Return what the target answered instead of valid TwiML; empty if its answer was good."""
    excerpt, wrong = target_excerpt(delivery), not_twiml(delivery)
    if excerpt and excerpt.type == TRACEBACK:
        return [("Traceback", excerpt.text.splitlines())]
    head = ", ".join(each for each in (wrong, excerpt.type if excerpt else "") if each)
    return [("Target answered", [head, *(excerpt.text.splitlines() if excerpt else ())])] if head else []
