"""What commands print for people: tables, ages, addresses, and the TwiML of an answer as the customer would get it.

Everything is readable without colour, and in a pipe nothing is cut to a width: a line is a record. What customers wrote
never reaches the terminal as control characters.
"""

import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Final

import click
from rich.console import Console
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from router.cli.send.twiml import NoTwiml, read
from router.cli.terminal import unguarded
from router.flow.diff import Change
from router.flow.flex_flow import FlexFlow
from router.printable import printable, to_json

# Wide enough for every record on one line where nobody looks at it on a screen.
_PIPE: Final = 1000
_CHANGES: Final = 100  # changes that are shown one by one
_NARROW: Final = 110  # columns of a screen
_AGES: Final = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))
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
}
Facts = list[tuple[str, str | Text | Sequence[str]]]
"""What is known of one thing: names, and for each a value or the lines of it."""


class _Console(Console):
    """A console whose only control characters are its own."""

    def _render_buffer(self, buffer: Iterable[Segment]) -> str:
        return super()._render_buffer(
            Segment(text if control else printable(text, keep="\n"), style, control) for text, style, control in buffer
        )


def console() -> Console:
    """Return where to print: the screen's width, or none in a pipe; no markup, for it would read customers' text."""
    width = None if sys.stdout.isatty() else _PIPE
    return _Console(file=unguarded(sys.stdout), width=width, markup=False, highlight=False, emoji=False)


def clean(text: str, *, lines: bool = False) -> str:
    """Return text from outside as a terminal may show it; on one line unless `lines`."""
    text = text.replace("\r\n", "\n").replace("\t", " ")
    if not lines:
        text = text.replace("\n", " ⏎ ")
    return printable(text, keep="\n")


def short(text: str, most: int) -> str:
    """Return at most so many characters of a text, on one line."""
    text = clean(text)
    return text if len(text) <= most else text[: most - 1] + "…"


def number(count: int, name: str, plural: str = "s") -> str:
    """Write how many there are of something, as `1,024 messages`."""
    return f"{count:,} {name}{plural * (count != 1)}"


def word(status: str) -> Text:
    """Return a status in its colour."""
    return Text.assemble((status, _STYLES.get(status, "")))


def age(then: int, now: float) -> str:
    """Say how long ago something was, as `3 min`.

    Args:
        then: ms since 1970.
        now: seconds since 1970.
    """
    seconds = max(0, int(now - then / 1000))
    for unit, name in _AGES:
        if seconds >= unit:
            return f"{seconds // unit} {name}"
    return "now"


def ago(then: int, now: float) -> str:
    """Say when something was, as `3 min ago`; the arguments are those of `age`."""
    said = age(then, now)
    return said if said == "now" else f"{said} ago"


def integration_line(flow: FlexFlow) -> str:
    """Say in a few words what takes the messages of a flow, as `external https://example.com/inbound`."""
    what = flow.integration
    place = {
        "studio": what.flow_sid,
        "external": what.url,
        "handler": what.handler,
        "task": what.workflow_sid,
        "proxy": what.proxy_service_sid,
    }
    return f"{what.type} {place.get(what.type, '')}".rstrip()


def flow_line(flow: FlexFlow | None) -> str:
    """Say in a few words which flow it is, as `FO… “Support”: studio FW…, relay`."""
    return f"{flow.sid} “{flow.friendly_name}”: {integration_line(flow)}, {flow.response}" if flow else "no flow"


def print_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[str | Text]],
    *,
    whole: Collection[str] = (),
    spare: Collection[str] = (),
) -> None:
    """Print records, one on a line, under their headings.

    Args:
        columns: the headings.
        rows: a cell for each heading.
        whole: columns that are never shortened.
        spare: columns that a narrow screen does without.
    """
    narrow = console().width < _NARROW
    shown = [place for place, column in enumerate(columns) if not (narrow and column in spare)]
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for place in shown:
        least = max(len(row[place]) for row in rows) if columns[place] in whole else None
        table.add_column(columns[place], no_wrap=True, overflow="ellipsis", min_width=least)
    for row in rows:
        cells = (row[place] for place in shown)
        table.add_row(*(cell if isinstance(cell, Text) else Text(clean(cell)) for cell in cells))
    _print(table)


def _print(table: Table) -> None:
    """Print without the blanks that a table's last column is filled up with."""
    out = console()
    with out.capture() as captured:
        out.print(table)
    for line in captured.get().splitlines():
        click.echo(line.rstrip(), file=out.file)


def print_facts(facts: Facts) -> None:
    """Print what is known of one thing, one fact below the other."""
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


def print_changes(changes: Sequence[Change], doubts: Callable[[FlexFlow], Sequence[object]]) -> None:
    """Print what would become of flows: the first ones one by one with what changes in them, then their numbers.

    Args:
        changes: what would be added, changed, removed.
        doubts: says why a flow that is added or changed may not do what is meant.
    """
    out = console()
    doubtful = {change.after.sid: found for change in changes if change.after and (found := doubts(change.after))}
    marks = {"add": "+", "change": "~", "remove": "-"}
    for change in changes[:_CHANGES]:
        flow, kind = change.flow, change.kind
        sid = f"{flow.sid}  " if change.before else ""  # a new one may have none yet
        line = f"{marks[kind]} {kind:6}  {sid}{flow.channel_type} {flow.contact_identity}  “{flow.friendly_name}”"
        out.print(Text(clean(line), style=_STYLES[kind]), soft_wrap=True)
        if kind == "add":
            out.print(Text(clean(f"    {integration_line(flow)}, {flow.response}")), soft_wrap=True)
        for key, before, after in change.fields():
            out.print(Text(clean(f"    {key}: {_value(before)} → {_value(after)}")), soft_wrap=True)
        for doubt in doubtful.get(flow.sid, ()):
            out.print(Text(clean(f"    ! {doubt}"), style="yellow"), soft_wrap=True)
    if len(changes) > _CHANGES:
        out.print(f"… and {len(changes) - _CHANGES:,} more")
    counts = Counter[str](change.kind for change in changes)
    out.print(", ".join(f"{counts[kind]:,} to {kind}" for kind in marks if counts[kind]))
    if doubtful:
        out.print(Text(f"! {len(doubtful):,} of them may not do what is meant: see the lines with !", style="yellow"))


def _value(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ", ".join(value) or "none"
    return str(value) or "none"


def print_json(value: Mapping[str, Any] | Sequence[Any]) -> None:
    """Print JSON for a program."""
    click.echo(to_json(value, indent=2))


def spoken(twiml: bytes) -> list[str] | None:
    """Return, line by line, what Twilio would do for the customer; nothing for the empty answer, None for no TwiML."""
    try:
        return read(twiml).lines
    except NoTwiml:
        return None
