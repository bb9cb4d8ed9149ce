"""What commands print: tables, facts and ages for people, JSON for programs, and on a terminal how far they are.

Everything is readable without colour, and in a pipe nothing is cut to a width: a line is a record. What customers wrote
never reaches the terminal as control characters.
"""

import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeVar

import click
from rich.cells import cell_len
from rich.console import Console
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from router.cli.terminal import unguarded
from router.flow.flex_flow import FlexFlow
from router.flow.integration_type import integration_type
from router.message.twiml import TRACEBACK
from router.printable import age, ago, clean, printable, to_json
from router.queries.deliveries import not_twiml, target_said
from router.store.deliveries import Delivery

__all__ = [
    "Facts",
    "age",
    "ago",
    "clean",
    "console",
    "flow_line",
    "integration_line",
    "number",
    "print_facts",
    "print_json",
    "print_line",
    "print_table",
    "progress",
    "said_facts",
    "short",
    "styled",
    "watched",
    "word",
]

# Wide enough for every record on one line where the output is not a screen.
_PIPE: Final = 1000
_NARROW: Final = 110  # columns of a screen
_BRIEF: Final = 10  # characters of a flow's SID on a narrow one
# Of fewer items no progress is shown, and of many so many states of it: each one is written to the terminal.
_MANY: Final = 1000
_STEPS: Final = 200
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
_Item = TypeVar("_Item")
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


def short(text: str, most: int) -> str:
    """Return at most so many characters of a text, on one line."""
    text = clean(text)
    return text if len(text) <= most else text[: most - 1] + "…"


def number(count: int, name: str, plural: str = "s") -> str:
    """Write how many there are of something, as `1,024 messages`."""
    return f"{count:,} {name}{plural * (count != 1)}"


def styled(text: str, style: str) -> Text:
    """Return a line in the colour of what it says, as `add` or `warning`."""
    return Text(clean(text), style=_STYLES[style])


def word(status: str) -> Text:
    """Return a status in its colour."""
    return Text.assemble((status, _STYLES.get(status, "")))


def integration_line(flow: FlexFlow) -> str:
    """Say in a few words what takes the messages of a flow, as `external https://example.com/inbound`."""
    what = flow.integration
    target = integration_type(what.type).target
    return f"{what.type} {getattr(what, target) if target else ''}".rstrip()


def flow_line(flow: FlexFlow | None) -> str:
    """Say in a few words which flow it is, as `FO… “Support”: studio FW…, relay`."""
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
        spare: columns that a narrow screen does without.
        brief: columns of flows' SIDs, of which a narrow screen shows the beginning; commands take that for the whole.
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


def print_json(value: Mapping[str, Any] | Sequence[Any]) -> None:
    """Print JSON for a program."""
    click.echo(to_json(value, indent=2))


def print_line(value: Mapping[str, Any]) -> None:
    """Print one of many records for a program, as a line of JSON."""
    click.echo(to_json(value))


def progress(label: str, total: int) -> Any:
    """Return click's progress bar for `total` steps, which shows itself on a terminal where there are many."""
    hidden = total < _MANY or not sys.stderr.isatty()
    return click.progressbar(length=total, label=label, show_pos=True, file=unguarded(sys.stderr), hidden=hidden)


def watched(label: str, items: Iterable[_Item], total: int | None = None, *, shown: bool = True) -> Iterator[_Item]:
    """Give items as they come, and show on a terminal, on stderr, how many there were.

    Args:
        label: what is done.
        items: the items.
        total: how many there will be, where it is known; of few nothing is shown.
        shown: False shows nothing.
    """
    hidden = not (shown and sys.stderr.isatty()) or (total is not None and total < _MANY)
    err, steps = unguarded(sys.stderr), max(1, (total or _MANY) // _STEPS)
    with click.progressbar(
        items, length=total, label=label, show_pos=True, file=err, hidden=hidden, update_min_steps=steps
    ) as bar:
        yield from bar


def said_facts(delivery: Delivery) -> Facts:
    """Tell what came back instead of a good answer; nothing where that was one."""
    said, wrong = target_said(delivery), not_twiml(delivery)
    if said and said.type == TRACEBACK:
        return [("Traceback", said.text.splitlines())]
    head = ", ".join(each for each in (wrong, said.type if said else "") if each)
    return [("Target said", [head, *(said.text.splitlines() if said else ())])] if head else []
