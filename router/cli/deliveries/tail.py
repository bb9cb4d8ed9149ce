"""`router deliveries tail`: prints messages as they arrive and as their state changes, of all workers."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Final

import click
from rich.text import Text

from router.cli.deliveries.wanted import text_of, times_of, wanted_options
from router.cli.here import Here, with_here
from router.cli.options import json_option
from router.cli.output import clean, console, print_line, short, word
from router.cli.stop import Stop
from router.queries.arrivals import Arrivals
from router.queries.deliveries import STATES, Wanted, describe
from router.settings import Account
from router.store import Store
from router.store.deliveries import Delivery

# The number of newest messages whose changes are watched, and of new messages that are printed at once.
WATCHED: Final = 500
NEW_MOST: Final = 2000
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
        for changed in stop.looks(lambda: [each for each in watch.look() if wanted.takes(each)]):
            left = _print(changed, left, as_json=as_json)
            if watch.skipped:
                click.echo(f"(and {watch.skipped:,} more, which came too fast to be printed)", err=True)
            if left == 0:
                break


class Watch:
    """Watches the newest messages of some accounts.

    `skipped` is the number of new messages that the last look found but did not return.
    """

    def __init__(self, store: Store, accounts: Sequence[Account]) -> None:
        self._store = store
        self._accounts = accounts
        self._arrivals = Arrivals(store, accounts)
        self._known: dict[tuple[str, str], tuple[object, ...]] = {}
        self.skipped = 0

    def begin(self, wanted: Wanted, lines: int) -> list[Delivery]:
        """Return the newest wanted messages in their order; `look` returns the following ones."""
        shown: list[Delivery] = []
        for account in self._accounts:
            newest = list(islice(self._arrivals.look(account.sid), WATCHED))
            self._remember(account.sid, reversed(newest))
            shown += [each for each in newest if wanted.takes(each)]
        shown.sort(key=_accepted)
        return shown[-lines:] if lines else []

    def look(self) -> list[Delivery]:
        """Return the messages that are new or have changed since the last look; the new ones last and in order."""
        changed = []
        for key, marks in list(self._known.items()):
            now = self._store.deliveries.get(*key)
            if now is None:
                del self._known[key]
            elif _marks(now) != marks:
                self._known[key] = _marks(now)
                changed.append(now)
        new: list[Delivery] = []
        self.skipped = 0
        for account in self._accounts:
            found = list(islice(self._arrivals.look(account.sid), NEW_MOST + 1))
            self.skipped += max(0, len(found) - NEW_MOST)
            self._remember(account.sid, reversed(found[:NEW_MOST]))
            new += reversed(found[:NEW_MOST])
        return changed + sorted(new, key=_accepted)

    def _remember(self, account_sid: str, deliveries: Iterable[Delivery]) -> None:
        """Watch these messages too, and stop to watch the oldest ones if there are too many."""
        for delivery in deliveries:
            self._known[delivery.account_sid, delivery.message_sid] = _marks(delivery)
        own = [key for key in self._known if key[0] == account_sid]
        for key in own[: max(0, len(own) - WATCHED)]:
            del self._known[key]


def _accepted(delivery: Delivery) -> int:
    return delivery.accepted_at


def _marks(delivery: Delivery) -> tuple[object, ...]:
    """Return the values whose change makes a new line; the state `sending` is too short to be shown."""
    state = "queued" if delivery.state == "sending" else delivery.state
    tries = len(delivery.history)
    return delivery.accepted_at, state, tries, delivery.round, delivery.error, delivery.duplicates


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
