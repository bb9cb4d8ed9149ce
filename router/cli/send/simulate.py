"""`router simulate`: messages as Twilio would send them, what they were answered, and what became of them."""

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Final

import click

from router.cli.context import load_settings_for_cli
from router.cli.output import print_facts
from router.cli.reach import Parameter, account_option, one_account, open_store
from router.cli.send import report as told
from router.cli.send import sent as outcome
from router.cli.send.call import TAMPERS, Method, NoAnswer
from router.cli.send.inbound import ADDRESSES, CUSTOMERS, Media, fields, new_message_sid, nth
from router.cli.send.sender import Outgoing, WebUrl, dispatch, here
from router.cli.send.shape import SHAPES, Shaped, shaped
from router.cli.send.signer import key_option, label, signing
from router.cli.send.verdict import ERRORS
from router.errors import RouterError
from router.message.address import canonical
from router.printable import to_json
from router.settings import Account
from router.sid import is_sid, new_sid
from router.store import Store

# Among so many flows, the newest, an address to write to is looked for.
_FLOWS: Final = 200
# Conversations under way at once where a rate is wanted: a slow answer delays its own conversation only.
_AT_ONCE: Final = 64


class _Command(click.Command):
    """A command whose help ends with the shapes of messages and the ways to break one."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        with formatter.section("Shapes"):
            formatter.write_dl([(each.name, each.help) for each in SHAPES.values()])
        with formatter.section("Ways to tamper"):
            formatter.write_dl(list(TAMPERS.items()))


@click.command(cls=_Command)
@click.argument("channel", type=click.Choice(tuple(CUSTOMERS)))
@click.option("--body", help="What the customer writes. [Hello]")
@click.option("--from", "from_", help="The customer's address. [somebody's]")
@click.option("--to", help="The address written to. [that of a flow]")
@click.option(
    "--shape",
    "shapes",
    type=click.Choice(tuple(SHAPES)),
    multiple=True,
    metavar="SHAPE",
    help="What it is, as below; may be given several times. [text]",
)
@click.option("--media", multiple=True, metavar="URL[,TYPE]", help="An attachment; may be given several times.")
@click.option(
    "--param",
    "params",
    type=Parameter(),
    multiple=True,
    metavar="NAME=VALUE",
    help="Any other parameter of the webhook; may be given several times.",
)
@click.option("--url", type=WebUrl(), metavar="URL", help="Where to send it. [the router that runs here]")
@click.option("--fallback", type=WebUrl(), metavar="URL", help="The fallback URL, called when the first one fails.")
@account_option
@key_option
@click.option("--sid", metavar="SM…", help="Its MessageSid: the same once more makes a duplicate. [a new one]")
@click.option(
    "--count", type=click.IntRange(1, 100_000), default=1, metavar="N", help="How many messages, numbered. [1]"
)
@click.option(
    "--contacts", type=click.IntRange(1, 100_000), default=1, metavar="N", help="How many customers write them. [1]"
)
@click.option(
    "--rate",
    type=click.FloatRange(0, 10_000, min_open=True),
    metavar="N",
    help="Messages a second. [one after the other]",
)
@click.option(
    "--method",
    type=click.Choice(("POST", "GET"), case_sensitive=False),
    default="POST",
    metavar="POST|GET",
    help="[POST]",
)
@click.option(
    "--tamper",
    type=click.Choice(tuple(TAMPERS)),
    is_flag=False,
    flag_value="body",
    metavar="[HOW]",
    help="Break it on the way, as below; it must be refused. [body]",
)
@click.option(
    "--wait", type=click.FloatRange(0), default=5.0, metavar="S", help="Seconds to wait for the delivery. [5]"
)
@click.option("--json", "as_json", is_flag=True, help="Write one line of JSON for each message, for programs.")
def simulate(  # noqa: PLR0913 - one for each option
    *,
    channel: str,
    body: str | None,
    from_: str | None,
    to: str | None,
    shapes: tuple[str, ...],
    media: tuple[str, ...],
    params: tuple[tuple[str, str], ...],
    url: str | None,
    fallback: str | None,
    account: str | None,
    key: str | None,
    sid: str | None,
    count: int,
    contacts: int,
    rate: float | None,
    method: Method,
    tamper: str | None,
    wait: float,
    as_json: bool,
) -> None:
    """Send a message as Twilio would, signed, and show answer, route and delivery.

    \b
      router simulate sms --body "Hola"
      router simulate whatsapp --media https://example.com/photo.jpg
      router simulate whatsapp --shape button
      router simulate whatsapp --shape reply --shape service --param ProfileName=Zoë
      router simulate sms --count 1000 --contacts 50 --rate 100
      router simulate sms --url https://example.ngrok.app/webhooks/sms
      router simulate sms --tamper key

    What Twilio makes of the answer is shown too: what it would send to the customer, or the error in its debugger.
    The exit status is 1 when a message was refused, or not delivered in time; with --tamper, when it was not refused.
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    if sid is not None and (count > 1 or not is_sid(sid, "SM", "MM")):
        raise click.BadParameter("SM or MM and 32 hexadecimal digits, for one message", param_hint="--sid")
    if tamper and fallback:
        raise click.UsageError("--tamper and --fallback exclude each other: what was tampered with must be refused.")
    try:
        shape = shaped(shapes, channel)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--shape") from None
    settings = load_settings_for_cli()
    with ExitStack() as stack:
        store = stack.enter_context(open_store(settings)) if settings.redis_url else None
        owner = one_account(settings, account)
        how = signing(owner, key, tamper or "")
        where, signed_as = (url, url) if url else here(settings, channel)
        attached = [Media.parse(each) for each in (*media, *(() if media else shape.media))]
        written = body if body is not None else shape.body if shape.body is not None else "" if media else "Hello"
        plan = _Plan(
            channel=channel,
            account_sid=new_sid("AC") if tamper == "account" else owner.sid,
            from_=canonical(from_ or shape.from_ or CUSTOMERS[channel], channel),
            to=canonical(to, channel) if to else _address(channel, owner, store),
            body=written,
            shape=shape,
            media=attached,
            params=params,
            sid=sid,
            count=count,
            contacts=contacts,
        )
        outgoing = Outgoing(where, signed_as, [], how, method, fallback or "")
        began = time.monotonic()
        try:
            sending = dispatch(
                [((n / rate if rate else 0.0), each) for n, each in enumerate(plan.messages(outgoing))],
                at_once=min(contacts, _AT_ONCE) if rate else 1,
                label="Sending",
            )
        except NoAnswer as error:
            raise RouterError(f"{error}{_logged(error.code) if url else ''}") from None
        seconds = time.monotonic() - began
        if store is not None:
            outcome.follow(sending.sent, store, 0 if sending.interrupted else wait)
    if as_json:
        for each in sending.sent:
            click.echo(to_json(outcome.resource(each)))
    elif count == 1 and sending.sent:
        print_facts(told.one(sending.sent[0], channel, label(how), watched=store is not None))
    elif sending.sent:
        print_facts(told.many(sending.sent, f"{channel} messages", seconds, rate or 0))
    sys.exit(outcome.exit_status(sending.sent, count))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """Messages to be written, all of one kind."""

    channel: str
    account_sid: str
    from_: str
    to: str
    body: str
    shape: Shaped
    media: Sequence[Media]
    params: Sequence[tuple[str, str]]
    sid: str | None
    count: int
    contacts: int

    def messages(self, like: Outgoing) -> Iterator[Outgoing]:
        """Write them, one by one, numbered where there are several."""
        for n in range(self.count):
            from_ = nth(self.from_, n % self.contacts)
            more = self.shape.parameters(to=self.to, url=like.signed_as, sid=new_sid("SM"), **{"from": from_})
            form = fields(
                self.channel,
                account_sid=self.account_sid,
                message_sid=self.sid or new_message_sid(self.media),
                from_=from_,
                to=self.to,
                body=f"{self.body} {n + 1}".lstrip() if self.count > 1 else self.body,
                media=self.media,
                more=[*more.items(), *self.params],
            )
            yield replace(like, form=form)


def _logged(code: int) -> str:
    return f". Twilio would log error {code} ({ERRORS[code]}) and call the fallback URL"


def _address(channel: str, account: Account, store: Store | None) -> str:
    """Return an address of the channel that a flow takes messages for now, else one that fits a flow for all."""
    if store is not None:
        for flow in store.flows.page(account.sid, 0, _FLOWS):
            concrete = flow.contact_identity != "*" and not is_sid(flow.contact_identity, "MG")
            if flow.channel_type == channel and flow.enabled and not flow.paused and concrete:
                return flow.contact_identity
    return ADDRESSES[channel]
