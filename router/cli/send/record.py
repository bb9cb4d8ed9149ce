"""`router record`: writes messages that arrived to a file, which `router replay-traffic` can send again."""

from collections.abc import Iterable
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Final

import click

from router.cli.here import Here, with_here
from router.cli.options import since_option, with_sections
from router.cli.output import number, watched
from router.cli.send.redaction import KEPT, Redaction
from router.cli.send.traffic import Recorded, Writer
from router.cli.stop import Stop
from router.errors import RouterError
from router.message.channel import WEBHOOKS
from router.message.inbound import Message, Raw
from router.queries.arrivals import Arrivals
from router.queries.deliveries import Wanted
from router.settings import Account
from router.store.deliveries import Delivery

_MOST: Final = 1_000_000
_USUAL: Final = 100_000


@click.command(cls=with_sections(("Parameters that --redact does not change", ", ".join(KEPT))))
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True, path_type=Path))
@since_option
@click.option("--follow", is_flag=True, help="Go on with the messages that arrive, until Ctrl-C.")
@click.option("--channel", type=click.Choice(WEBHOOKS), help="Only messages of this channel.")
@click.option("--from", "from_", default="", help="Only messages of this customer.")
@click.option("--to", default="", help="Only messages to this address.")
@click.option(
    "--limit", type=click.IntRange(1, _MOST), default=_USUAL, metavar="N", help=f"Only the newest N. [{_USUAL}]"
)
@click.option("--count", type=click.IntRange(1), metavar="N", help="With --follow: stop after N messages. [never]")
@click.option("--append", is_flag=True, help="Add to the file if it exists.")
@click.option("--redact", is_flag=True, help="Replace the customers' addresses, and mask their texts.")
@click.option("--keep", multiple=True, metavar="NAME", help="With --redact: a parameter that is not changed.")
@with_here
def record(  # noqa: PLR0913 - one for each option
    here: Here,
    *,
    file: Path,
    since: int | None,
    follow: bool,
    channel: str | None,
    from_: str,
    to: str,
    limit: int,
    count: int | None,
    append: bool,
    redact: bool,
    keep: tuple[str, ...],
) -> None:
    """Write messages that arrived to a file, so that you can send them again.

    \b
      router record monday.jsonl --since 2h
      router record shared.jsonl --since 1d --channel whatsapp --redact
      router record live.jsonl --follow

    The file has a line of JSON for each message, with its original parameters, and only you can read it; - is standard
    output. The messages come from the router's store, so requests that the router refused are not among them.

    With --redact each customer's address is replaced by another address, the same on every line, so that conversations
    are still recognizable. Texts, names, media URLs and all other parameters are masked, except the list below and
    those that --keep names.
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    if keep and not redact:
        raise click.UsageError("--keep needs --redact: without it no parameter is changed.")
    if count and not follow:
        raise click.UsageError("--count needs --follow; --limit is for the messages that have arrived already.")
    taken = _Selection(Wanted("", from_, to), channel, Redaction(keep) if redact else None)
    arrivals = Arrivals(here.store, here.accounts, None if follow and not since else since or 0)
    found = _look(arrivals, here.accounts, taken, limit, progress=True)
    if not found and not follow:
        if since or not taken.is_everything:
            raise RouterError("no such messages, so no file was written; see all messages with: router deliveries list")
        raise RouterError('no messages yet, so no file was written; send one: router simulate sms --body "Hola"')
    with closing(_Out() if str(file) == "-" else Writer(file, append=append)) as out:
        out.write(found)
        written = len(found)
        if follow:
            written += _follow(arrivals, here.accounts, taken, out, count)
    if str(file) != "-":
        click.echo(f"{number(written, 'message')} recorded in {file}, which only you can read.")
        if len(found) == limit:
            click.echo("There may be more, older messages: set --limit.")
        if taken.expired:
            click.echo(f"{taken.expired:,} messages were left out: their bodies have expired.")
        click.echo(f"Send them again: router replay-traffic {file}")


class _Selection:
    """Which deliveries are recorded, and how; `expired` counts those whose bodies have expired."""

    def __init__(self, wanted: Wanted, channel: str | None, redaction: Redaction | None) -> None:
        self._wanted = wanted
        self._channel = channel
        self._redaction = redaction
        self.expired = 0

    @property
    def is_everything(self) -> bool:
        """Return whether all messages are recorded."""
        return self._wanted == Wanted() and self._channel is None

    def line(self, delivery: Delivery) -> str | None:
        """Return the line of a delivery; None if it is not wanted, or if its body has expired."""
        if not delivery.raw:
            self.expired += 1
            return None
        if not self._wanted.takes(delivery):
            return None
        raw = Raw.unpack(delivery.raw)
        form = raw.fields()
        channel = Message.parse(form).channel
        if self._channel not in (None, channel):
            return None
        if self._redaction:
            form = self._redaction.form(form)
        at, redacted = delivery.accepted_at / 1000, bool(self._redaction)
        return Recorded(at, channel, "GET" if raw.method == "GET" else "POST", form, redacted=redacted).line()


def _look(
    arrivals: Arrivals, accounts: Iterable[Account], taken: _Selection, limit: int, *, progress: bool = False
) -> list[str]:
    """Return the lines of the messages accepted since the last call, the newest `limit` of them, in their order."""
    found: list[tuple[int, str]] = []  # lines, not deliveries: there may be very many
    for account in accounts:
        new = watched("Reading", arrivals.look(account.sid), shown=progress)
        lines = ((each.accepted_at, line) for each in new if (line := taken.line(each)))
        found += islice(lines, limit)
    found.reverse()
    found.sort(key=lambda each: each[0])
    return [line for _, line in found[-limit:]]


def _follow(
    arrivals: Arrivals, accounts: Iterable[Account], taken: _Selection, out: "_Out | Writer", count: int | None
) -> int:
    """Write the messages that arrive until Ctrl-C, or until there are `count`; return how many."""
    written = 0
    with Stop() as stop:
        click.echo("Recording; Ctrl-C ends it.", err=True)
        for found in stop.looks(lambda: _look(arrivals, accounts, taken, _MOST)):
            new = found if count is None else found[: count - written]
            out.write(new)
            written += len(new)
            if written == count:
                break
    return written


class _Out:
    """Standard output, written to as a file is."""

    def write(self, lines: Iterable[str]) -> None:
        for line in lines:
            click.echo(line, nl=False)

    def close(self) -> None:
        pass
