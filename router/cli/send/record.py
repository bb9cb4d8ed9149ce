"""`router record`: what really arrived, kept in a file that `router replay-traffic` sends again."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Final

import click

from router.cli.context import load_settings_for_cli
from router.cli.interrupt import until_interrupted
from router.cli.reach import account_option, open_store, since_option, some_accounts
from router.cli.send.redaction import KEPT, Redaction
from router.cli.send.traffic import Recorded, Writer
from router.cli.terminal import unguarded
from router.errors import RouterError, StoreUnavailable
from router.message.address import CHANNELS
from router.message.inbound import Message, Raw
from router.queries.deliveries import Wanted
from router.settings import Account
from router.store import Store
from router.store.deliveries import Delivery

# Between two looks of --follow, in seconds.
_PAUSE: Final = 0.5
_SHOWN: Final = 100  # deliveries, between two states of the progress bar
_MOST: Final = 1_000_000
_USUAL: Final = 100_000


class _Command(click.Command):
    """A command whose help ends with what a redacted recording keeps."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        with formatter.section("What --redact keeps as it is"):
            formatter.write_text(", ".join(KEPT))


@click.command(cls=_Command)
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True, path_type=Path))
@since_option
@click.option("--follow", is_flag=True, help="Go on with what arrives, until Ctrl-C.")
@click.option("--channel", type=click.Choice(CHANNELS), help="Only messages of this channel.")
@click.option("--from", "from_", default="", help="Only those of this customer.")
@click.option("--to", default="", help="Only those to this address.")
@click.option(
    "--limit", type=click.IntRange(1, _MOST), default=_USUAL, metavar="N", help=f"The newest so many. [{_USUAL}]"
)
@click.option("--count", type=click.IntRange(1), metavar="N", help="With --follow: end after so many. [never]")
@click.option("--append", is_flag=True, help="Add to a file that is there already.")
@click.option("--redact", is_flag=True, help="Replace the customers' addresses, mask what they wrote.")
@click.option("--keep", multiple=True, metavar="NAME", help="With --redact: a parameter that stays as it is.")
@account_option
def record(  # noqa: PLR0913 - one for each option
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
    account: str | None,
) -> None:
    """Keep what really arrived in a file, to be sent again elsewhere.

    \b
      router record monday.jsonl --since 2h
      router record shared.jsonl --since 1d --channel whatsapp --redact
      router record live.jsonl --follow

    The file has a line of JSON for each message, with its parameters as they came, and only you may read it; - is
    standard output. Messages come from the router's store, so it is what was accepted: refused requests are not kept.

    With --redact a customer's address becomes another one, the same on every line, so that conversations stay
    conversations; texts, names and media URLs are masked. The other parameters are masked too, but for the list below
    and those that --keep names.
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    if keep and not redact:
        raise click.UsageError("--keep belongs to --redact: without it everything is kept.")
    if count and not follow:
        raise click.UsageError("--count belongs to --follow; --limit takes the newest so many of what there is.")
    settings = load_settings_for_cli()
    taken = _Taken(Wanted("", from_, to), channel, Redaction(keep) if redact else None)
    with open_store(settings) as store:
        arrivals = _Arrivals(
            store, some_accounts(settings, account), taken, None if follow and not since else since or 0
        )
        found = arrivals.look(limit, "Reading")
        if not found and not follow:
            raise RouterError(_nothing(since=since, everything=taken.is_everything))
        with closing(_open(file, append=append)) as out:
            out.write(found)
            written = len(found)
            if follow:
                written += _follow(arrivals, out, count)
    _report(file, written, taken, cut=len(found) == limit)


class _Taken:
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
        at = delivery.accepted_at / 1000
        return Recorded(
            at, channel, "GET" if raw.method == "GET" else "POST", form, redacted=bool(self._redaction)
        ).line()


class _Arrivals:
    """What some accounts accepted, from look to look.

    `since` is in ms since 1970; with None the first look finds only what comes from now on.
    """

    def __init__(self, store: Store, accounts: Sequence[Account], taken: _Taken, since: int | None) -> None:
        self._store = store
        self._taken = taken
        self._since = {account.sid: since or 0 for account in accounts}
        self._seen: dict[str, set[str]] = {account.sid: set() for account in accounts}
        if since is None:
            for account in accounts:
                if newest := next(store.deliveries.newest(account.sid), None):
                    self._since[account.sid] = newest.accepted_at
                    at_once = store.deliveries.newest(account.sid, after=newest.accepted_at)
                    self._seen[account.sid] = {each.message_sid for each in at_once}

    def look(self, limit: int, label: str = "") -> list[str]:
        """Return the lines of what was accepted since the last look, the newest `limit` of them, in their order.

        With a `label` it shows on a terminal how far it is.
        """
        found: list[tuple[int, str]] = []
        for sid in self._since:
            # Lines, not deliveries, for there may be very many of them.
            with click.progressbar(
                self._new(sid),
                label=label,
                show_pos=True,
                file=unguarded(sys.stderr),
                hidden=not (label and sys.stderr.isatty()),
                update_min_steps=_SHOWN,
            ) as new:
                walk = ((each.accepted_at, self._taken.line(each)) for each in new)
                found += islice(((at, line) for at, line in walk if line), limit)
        found.reverse()
        found.sort(key=lambda each: each[0])
        return [line for _, line in found[-limit:]]

    def _new(self, sid: str) -> Iterator[Delivery]:
        """Walk what is new, from the newest, and remember where the next look begins: with its millisecond."""
        since, seen = self._since[sid], self._seen[sid]
        for each in self._store.deliveries.newest(sid, after=since):
            if each.accepted_at > self._since[sid]:
                self._since[sid], self._seen[sid] = each.accepted_at, set()
            if each.accepted_at == self._since[sid]:
                self._seen[sid].add(each.message_sid)
            if each.accepted_at > since or each.message_sid not in seen:
                yield each


def _follow(arrivals: _Arrivals, out: "_Out | Writer", count: int | None) -> int:
    """Write what arrives until Ctrl-C, or until so many came; return how many."""
    written, away = 0, False
    with until_interrupted() as interrupted:
        click.echo("Recording; Ctrl-C ends it.", err=True)
        while count is None or written < count:
            try:
                new = arrivals.look(_MOST)
                away = False
            except StoreUnavailable as error:
                if not away:
                    click.echo(f"{error}; it is asked again until it does", err=True)
                new, away = [], True
            new = new if count is None else new[: count - written]
            out.write(new)
            written += len(new)
            if interrupted(0 if new else _PAUSE):
                break
    return written


class _Out:
    """Standard output, written to as a file is."""

    def write(self, lines: Iterable[str]) -> None:
        for line in lines:
            click.echo(line, nl=False)

    def close(self) -> None:
        pass


def _open(file: Path, *, append: bool) -> "_Out | Writer":
    return _Out() if str(file) == "-" else Writer(file, append=append)


def _nothing(*, since: int | None, everything: bool) -> str:
    if since or not everything:
        return "No such messages, so no file was made. See what there is: router deliveries list"
    return 'No messages yet, so no file was made. Send one with: router simulate sms --body "Hola"'


def _report(file: Path, written: int, taken: _Taken, *, cut: bool) -> None:
    if str(file) == "-":
        return
    click.echo(f"{written:,} message{'s' * (written != 1)} recorded in {file}, which only you may read.")
    if cut:
        click.echo("There may be more, and older ones: --limit says how many.")
    if taken.expired:
        click.echo(f"{taken.expired:,} had no body any more and were left out.")
    click.echo(f"Send them again: router replay-traffic {file}")
