"""`router simulate`: sends messages as Twilio would, and shows answers, routes and deliveries."""

import sys
from collections.abc import Sequence
from typing import Final

import click

from router.cli.here import Here, with_here
from router.cli.options import Moment, Parameter, wait_option, with_sections
from router.cli.output import print_facts
from router.cli.send import report
from router.cli.send.call import WebUrl
from router.cli.send.inbound import ADDRESSES, CUSTOMERS, Attachment, fields, new_message_sid, nth
from router.cli.send.sender import Webhook, dispatch, own_webhook
from router.cli.send.shape import SHAPES, Shape, combined
from router.cli.send.signing import TAMPERS, Method, key_option, signing
from router.cli.send.web_chat import simulate_web
from router.errors import RouterError
from router.message.address import canonical
from router.message.channel import WEB
from router.queries.likelihood import likelihood
from router.queries.route import explain
from router.sid import is_sid, new_sid

# The number of newest flows that are searched for an address, and the number of addresses that are shown.
_FLOWS: Final = 200
_SHOWN: Final = 10
# Conversations that are sent at once with --rate: a slow answer delays only its own conversation.
_AT_ONCE: Final = 64


_SECTIONS: Final = (
    ("Shapes", [(each.name, each.help) for each in SHAPES.values()]),
    ("Ways to tamper", list(TAMPERS.items())),
)


@click.command(cls=with_sections(*_SECTIONS))
@click.argument("channel", type=click.Choice((*CUSTOMERS, WEB)))
@click.option("--body", help="What the customer writes. [Hello]")
@click.option("--from", "from_", help="The customer's address. [a made-up one]")
@click.option("--to", help="The address that the customer writes to. [the demo's, or that of the channel's only flow]")
@click.option(
    "--shape",
    "shapes",
    type=click.Choice(tuple(SHAPES)),
    multiple=True,
    metavar="SHAPE",
    help="The kind of message, see below; can be given several times. [text]",
)
@click.option("--media", multiple=True, metavar="URL[,TYPE]", help="An attachment; can be given several times.")
@click.option(
    "--param",
    "params",
    type=Parameter(),
    multiple=True,
    metavar="NAME=VALUE",
    help="Any other parameter of the webhook; can be given several times.",
)
@click.option("--url", type=WebUrl(), metavar="URL", help="The URL to send to. [the router that runs here]")
@key_option
@click.option("--sid", metavar="SM…", help="The MessageSid: use it twice to send a duplicate. [a new one]")
@click.option("--count", type=click.IntRange(1, 100_000), default=1, metavar="N", help="The number of messages. [1]")
@click.option(
    "--contacts", type=click.IntRange(1, 100_000), default=1, metavar="N", help="The number of customers. [1]"
)
@click.option(
    "--rate",
    type=click.FloatRange(0, 10_000, min_open=True),
    metavar="N",
    help="Messages per second. [one after the other]",
)
@click.option(
    "--method",
    type=click.Choice(("POST", "GET"), case_sensitive=False),
    default="POST",
    metavar="POST|GET",
    help="The HTTP method. [POST]",
)
@click.option(
    "--tamper",
    type=click.Choice(tuple(TAMPERS)),
    is_flag=False,
    flag_value="body",
    metavar="[HOW]",
    help="Make the request invalid, see below; it must be refused. [body]",
)
@wait_option
@click.option("--at", type=Moment(), metavar="TIME", help="Send nothing; show where it would go at that time.")
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON for each message, for programs.")
@with_here
def simulate(  # noqa: PLR0913 - one for each option
    here: Here,
    *,
    channel: str,
    body: str | None,
    from_: str | None,
    to: str | None,
    shapes: tuple[str, ...],
    media: tuple[str, ...],
    params: tuple[tuple[str, str], ...],
    url: str | None,
    key: str | None,
    sid: str | None,
    count: int,
    contacts: int,
    rate: float | None,
    method: Method,
    tamper: str | None,
    wait: float,
    at: int | None,
    as_json: bool,
) -> None:
    """Send a signed message as Twilio would, and show answer, route and delivery.

    \b
      router simulate sms --body "Hola"
      router simulate whatsapp --media https://example.com/photo.jpg
      router simulate whatsapp --shape button
      router simulate whatsapp --shape reply --shape service --param ProfileName=Zoë
      router simulate sms --count 1000 --contacts 50 --rate 100
      router simulate sms --url https://example.ngrok.app/webhooks/sms
      router simulate sms --tamper key

    The output also shows what Twilio would do with the answer: send it to the customer, or log an error in its
    debugger. `web` sends a message as a visitor of a website: --to is an address (IG…), --from the visitor's name,
    --param a field of the form, or `language`, and --url the base URL of the router.

    \b
      router simulate web --body "Hola" --param language=es

    The exit status is 1 if a message was refused, or was not delivered in time; with --tamper, if it was not refused;
    with --at, if no flow would take it.
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    if channel == WEB:
        if shapes or media or key or sid or tamper or rate or at is not None or method != "POST":
            raise click.UsageError("web has only --body, --from, --to, --param, --url, --count, --wait and --json.")
        simulate_web(
            here,
            body="Hello" if body is None else body,
            from_=from_ or "",
            to=to or "",
            params=params,
            url=url or "",
            count=count,
            wait=wait,
            as_json=as_json,
        )
    if sid is not None and (count > 1 or not is_sid(sid, "SM", "MM")):
        raise click.BadParameter("it must be SM or MM and 32 hexadecimal digits, for one message", param_hint="--sid")
    if at is not None and (tamper or url or count > 1):
        raise click.UsageError("--at sends nothing: leave out --tamper, --url and --count.")
    shape = _shape(shapes, channel)
    store, owner = here.own_store, here.account
    how = signing(owner, key, tamper or "")
    where, signed_as = (url, url) if url else own_webhook(here.settings, channel)
    sender = canonical(from_ or shape.from_ or CUSTOMERS[channel], channel)
    address = canonical(to, channel) if to else _address(channel, here)
    text = body if body is not None else shape.body if shape.body is not None else "" if media else "Hello"
    attachments = [Attachment.parse(each) for each in media or [shape.media] * bool(shape.media)]
    account_sid = new_sid("AC") if tamper == "account" else owner.sid

    def message(n: int) -> Webhook:
        customer = nth(sender, n % contacts)
        more = shape.written(to=address, url=signed_as, sid=new_sid("SM"), **{"from": customer})
        form = fields(
            channel,
            account_sid=account_sid,
            message_sid=sid or new_message_sid(attachments),
            from_=customer,
            to=address,
            body=f"{text} {n + 1}".lstrip() if count > 1 else text,
            media=attachments,
            more=[*more.items(), *params],
        )
        return Webhook(where, signed_as, form, how, method)

    if at is not None:
        _preview(here, dict(message(0).form), at, as_json=as_json)
        return
    sending = dispatch(
        [((n / rate if rate else 0.0), message(n)) for n in range(count)],
        at_once=min(contacts, _AT_ONCE) if rate else 1,
        label="Sending",
        url=url,
        store=store,
        wait=wait,
    )
    if not as_json and count == 1 and sending.sent:
        print_facts(report.one_message(sending.sent[0], channel, how.label, watched=store is not None))
    else:
        report.print_many(sending.sent, f"{channel} messages", sending.seconds, rate or 0, as_json=as_json)
    sys.exit(sending.exit_status())


def _shape(names: Sequence[str], channel: str) -> Shape:
    try:
        return combined(names, channel)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--shape") from None


def _address(channel: str, here: Here) -> str:
    """Return the address to send to: the demo's or, if no flow takes it, that of the channel's only flow.

    Raises:
        RouterError: the flows of the channel have several addresses, and there is no terminal to ask at.
    """
    usual, found = canonical(ADDRESSES[channel], channel), set[str]()
    flows = here.store.flows.page(here.account.sid, 0, _FLOWS) if here.own_store else []
    for flow in flows:
        if (
            flow.channel_type == channel
            and flow.enabled
            and not flow.is_held
            and not is_sid(flow.contact_identity, "MG")
        ):
            found.add(flow.contact_identity)
    if not found or {usual, "*"} & found:
        return usual
    if len(found) == 1:
        return found.pop()
    known = ", ".join(sorted(found)[:_SHOWN]) + (" …" if len(found) > _SHOWN else "")
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise RouterError(f"flows of the channel {channel} have several addresses: choose one with --to: {known}")
    return canonical(click.prompt(f"To which address ({known})", default=min(found)), channel)


def _preview(here: Here, form: dict[str, str], at: int, *, as_json: bool) -> None:
    """Show where a message would go at a time, and why, as `router explain` does."""
    from router.cli.flows.explain import show

    answer = explain(here.account.sid, form, here.store, likelihood, at=at / 1000)
    show(here, answer, form, as_json=as_json)
