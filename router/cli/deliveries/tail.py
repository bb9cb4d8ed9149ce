"""`router deliveries tail`: prints messages as they arrive and as their state changes, of all workers."""

from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import islice
from typing import Final

import click
from rich.text import Text

from router.cli.deliveries.wanted import text_of, times_of, wanted_options
from router.cli.here import Here, with_here
from router.cli.options import json_option
from router.cli.output import console, print_line, short, word
from router.cli.stop import Stop
from router.printable import clean
from router.queries.delivery_filter import STATES, Wanted
from router.queries.delivery_json import describe
from router.queries.watch import WATCHED, Watch
from router.store.deliveries import Delivery

_TEXT: Final = 60
_WIDEST: Final = max(len(state) for state in STATES)


@click.command()
@wanted_options
@click.option(
    "--lines", type=click.IntRange(0, WATCHED), default=10, metavar="N", help="Print the newest N first. [10]"
)
@click.option("--count", type=click.IntRange(1), metavar="N", help="Stop after N lines. [never]")
@json_option
@with_here
def tail(here: Here, *, wanted: Wanted, lines: int, count: int | None, as_json: bool) -> None:
    """Print messages as they arrive and are delivered, live.

    \b
      router deliveries tail
      router deliveries tail --to whatsapp:+14155238886 --status undelivered
      router deliveries tail --json | jq .error

    There is a line for each message and for each change of its state, of all workers and machines. Stop it with Ctrl-C.
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    wanted = here.wanted(wanted)
    watch = Watch(here.store, here.accounts)
    with Stop() as stop:
        left = _print(watch.begin(wanted, lines), count, as_json=as_json)
        click.echo("Watching; stop with Ctrl-C.", err=True)
        for changed in stop.polls(lambda: [each for each in watch.look() if wanted.takes(each)]):
            left = _print(changed, left, as_json=as_json)
            if watch.skipped:
                click.echo(f"(and {watch.skipped:,} more, which arrived too fast to be printed)", err=True)
            if left == 0:
                break


def _print(deliveries: Iterable[Delivery], left: int | None, *, as_json: bool) -> int | None:
    """Print a line for each message, at most `left`; return how many more may follow, None for no limit."""
    shown = list(islice(deliveries, left))
    for delivery in shown:
        if as_json:
            print_line(describe(delivery))
        else:
            console().print(_line(delivery), soft_wrap=True)
    return None if left is None else left - len(shown)


def _line(delivery: Delivery) -> Text:
    shown = describe(delivery)
    accepted = datetime.fromtimestamp(delivery.accepted_at / 1000, UTC).astimezone()
    line = Text(f"{accepted:%H:%M:%S} ", style="dim")
    line.append_text(word(delivery.state))
    line.append(" " * (_WIDEST + 1 - len(delivery.state)))
    line.append(f"{delivery.message_sid}  ", style="dim")
    line.append(clean(f"{shown['channel'] or ''} {shown['from'] or ''} → {shown['to'] or ''}  "), style="default")
    line.append(short(text_of(shown), _TEXT), style="default")
    more = [f"{len(delivery.history)} attempts"] * (len(delivery.history) > 1) + times_of(delivery)
    more += ["recovered"] * delivery.recovered + [clean(delivery.error)] * bool(delivery.error)
    if more:
        line.append(f"  [{', '.join(more)}]", style="yellow")
    return line
