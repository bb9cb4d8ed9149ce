"""`router record`: what really arrived, kept in a file that `router replay-traffic` sends again."""

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


@click.command(cls=with_sections(("What --redact keeps as it is", ", ".join(KEPT))))
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True, path_type=Path))
@since_option
@click.option("--follow", is_flag=True, help="Go on with what arrives, until Ctrl-C.")
@click.option("--channel", type=click.Choice(WEBHOOKS), help="Only messages of this channel.")
@click.option("--from", "from_", default="", help="Only those of this customer.")
@click.option("--to", default="", help="Only those to this address.")
@click.option(
    "--limit", type=click.IntRange(1, _MOST), default=_USUAL, metavar="N", help=f"The newest so many. [{_USUAL}]"
)
@click.option("--count", type=click.IntRange(1), metavar="N", help="With --follow: end after so many messages. [never]")
@click.option("--append", is_flag=True, help="Add to a file that is there already.")
@click.option("--redact", is_flag=True, help="Replace the customers' addresses, and mask what they wrote.")
@click.option("--keep", multiple=True, metavar="NAME", help="With --redact: a parameter that stays as it is.")
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
    """Record messages that arrived in a file, to send them again elsewhere.

    \b
      router record monday.jsonl --since 2h
      router record shared.jsonl --since 1d --channel whatsapp --redact
      router record live.jsonl --follow

    The file has a line of JSON for each message, with its parameters as they came, and only you may read it; - is
    standard output. Messages come from the router's store: requests that it refused are not among them.

    With --redact a customer's address becomes another one, the same on every line, so that conversations stay
    conversations; texts, names and media URLs are masked. The other parameters are masked too, but for the list below
    and those that --keep names.
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    if keep and not redact:
        raise click.UsageError("--keep belongs to --redact: without it everything is kept.")
    if count and not follow:
        raise click.UsageError("--count belongs to --follow; --limit bounds what there is already.")
    taken = _Selection(Wanted("", from_, to), channel, Redaction(keep) if redact else None)
    arrivals = Arrivals(here.store, here.accounts, None if follow and not since else since or 0)
    found = _look(arrivals, here.accounts, taken, limit, progress=True)
    if not found and not follow:
        if since or not taken.is_everything:
            raise RouterError("no such messages, so no file was made; see what there is: router deliveries list")
        raise RouterError('no messages yet, so no file was made; send one: router simulate sms --body "Hola"')
    with closing(_Out() if str(file) == "-" else Writer(file, append=append)) as out:
        out.write(found)
        written = len(found)
        if follow:
            written += _follow(arrivals, here.accounts, taken, out, count)
    if str(file) != "-":
        click.echo(f"{number(written, 'message')} recorded in {file}, which only you may read.")
        if len(found) == limit:
            click.echo("There may be more, and older ones: --limit says how many.")
        if taken.expired:
            click.echo(f"{taken.expired:,} had no body any more and were left out.")
        click.echo(f"Send them again: router replay-traffic {file}")


class _Selection:
    """Which deliveries are recorded, and how; `expired` counts those that have no body any more."""

    def __init__(self, wanted: Wanted, channel: str | None, redaction: Redaction | None) -> None:
        self._wanted = wanted
        self._channel = channel
        self._redaction = redaction
        self.expired = 0

    @property
    def is_everything(self) -> bool:
        """Say whether nothing is left out."""
        return self._wanted == Wanted() and self._channel is None

    def line(self, delivery: Delivery) -> str | None:
        """Return the line of a delivery; None when it is not wanted, or its body has expired."""
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
    """Return the lines of what was accepted since the last look, the newest `limit` of them, in their order."""
    found: list[tuple[int, str]] = []  # lines, not deliveries, for there may be very many of them
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
    """Write what arrives until Ctrl-C, or until so many came; return how many."""
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
