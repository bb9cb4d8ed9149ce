"""`router record`: saves received messages in a file, which `router replay-traffic` can send again."""

from pathlib import Path
from typing import Final

import click

from router.cli.here import Here, with_here
from router.cli.options import since_option, with_sections
from router.cli.progress import watched
from router.cli.send.redaction import KEPT, Redaction
from router.cli.send.traffic import Recorded, write
from router.errors import RouterError
from router.message.channel import WEBHOOKS
from router.message.inbound import Message
from router.message.raw import Raw
from router.printable import number
from router.queries.delivery_filter import Wanted, newest
from router.store.deliveries import Delivery

_MOST: Final = 1_000_000
_USUAL: Final = 100_000


@click.command(cls=with_sections(("Parameters that --redact does not change", ", ".join(KEPT))))
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True, path_type=Path))
@since_option
@click.option("--channel", type=click.Choice(WEBHOOKS), help="Only messages of this channel.")
@click.option("--from", "from_", default="", help="Only messages of this customer.")
@click.option("--to", default="", help="Only messages to this address.")
@click.option(
    "--limit", type=click.IntRange(1, _MOST), default=_USUAL, metavar="N", help=f"Only the newest N. [{_USUAL}]"
)
@click.option("--redact", is_flag=True, help="Replace the customers' addresses, and mask their texts.")
@click.option("--keep", multiple=True, metavar="NAME", help="With --redact: a parameter that is not changed.")
@with_here
def record(  # noqa: PLR0913 - one for each option
    here: Here,
    *,
    file: Path,
    since: int | None,
    channel: str | None,
    from_: str,
    to: str,
    limit: int,
    redact: bool,
    keep: tuple[str, ...],
) -> None:
    """Save received messages in a file, to send them again later.

    \b
      router record monday.jsonl --since 2h
      router record shared.jsonl --since 1d --channel whatsapp --redact

    The file has a line of JSON for each message, with its original parameters, and only you can read it; - is standard
    output. The messages come from the router's store, which keeps delivered ones for a day (ROUTER_DELIVERED_HOURS);
    refused requests are not included.

    With --redact each customer's address is replaced by another address, the same on every line, so that conversations
    are still recognizable. Texts, names, media URLs and all other parameters are masked, except the list below and
    those that --keep names.
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    if keep and not redact:
        raise click.UsageError("--keep needs --redact: without it no parameter is changed.")
    wanted, redaction = Wanted("", from_, to, channel=channel or ""), Redaction(keep) if redact else None
    lines, expired = list[str](), 0
    for delivery in watched("Reading", newest(here.store, here.accounts, wanted, since or 0)):
        if not delivery.raw:
            expired += 1
        elif len(lines) < limit:
            lines.append(_line(delivery, redaction))
        else:
            break
    if not lines:
        if since or wanted != Wanted():
            raise RouterError("no such messages, so no file was written; see all messages with: router deliveries list")
        raise RouterError('no messages yet, so no file was written; send one: router simulate sms --body "Hola"')
    lines.reverse()
    if str(file) == "-":
        click.echo("".join(lines), nl=False)
        return
    write(file, lines)
    click.echo(f"{number(len(lines), 'message')} recorded in {file}, which only you can read.")
    if len(lines) == limit:
        click.echo("There may be more, older messages: set --limit.")
    if expired:
        click.echo(f"{expired:,} messages were left out: their bodies have expired.")
    click.echo(f"Send them again: router replay-traffic {file}")


def _line(delivery: Delivery, redaction: Redaction | None) -> str:
    raw = Raw.unpack(delivery.raw)
    form = list(raw.fields())
    at, channel = delivery.accepted_at / 1000, Message.parse(form).channel
    if redaction:
        form = redaction.form(form)
    return Recorded(at, channel, "GET" if raw.method == "GET" else "POST", form, redacted=bool(redaction)).line()
