"""`router simulate`: a message as Twilio would send it, what it was answered, and what became of it."""

import json
import sys
from contextlib import ExitStack
from typing import Final, Literal

import click

from router.address import canonical
from router.cli import sent as outcome
from router.cli.context import base_url, load_settings_for_cli
from router.cli.inbound import ADDRESSES, CUSTOMERS, Answered, Media, NoAnswer, fields, new_message_sid, nth, send
from router.cli.reach import Parameter, account_option, one_account, open_store
from router.cli.show import print_facts
from router.settings import Account, Settings
from router.sid import is_sid
from router.signature import Key
from router.store import Store

# Among so many flows, the newest, an address to write to is looked for.
_FLOWS: Final = 200


@click.command()
@click.argument("channel", type=click.Choice(tuple(CUSTOMERS)))
@click.option("--body", help="What the customer writes. [Hello]")
@click.option("--from", "from_", help="The customer's address. [somebody's]")
@click.option("--to", help="The address written to. [that of a flow]")
@click.option("--media", multiple=True, metavar="URL[,TYPE]", help="An attachment; may be given several times.")
@click.option(
    "--param",
    "params",
    type=Parameter(),
    multiple=True,
    metavar="NAME=VALUE",
    help="Any other parameter of the webhook; may be given several times.",
)
@click.option("--url", help="Where to send it. [the router that runs here]")
@account_option
@click.option("--sid", metavar="SM…", help="Its MessageSid: the same once more makes a duplicate. [a new one]")
@click.option("--count", type=click.IntRange(1, 100_000), default=1, help="How many messages, numbered. [1]")
@click.option("--contacts", type=click.IntRange(1, 100_000), default=1, help="How many customers write them. [1]")
@click.option("--method", type=click.Choice(("POST", "GET"), case_sensitive=False), default="POST", help="[POST]")
@click.option("--tamper", is_flag=True, help="Change the message after it was signed; it must be refused.")
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
    media: tuple[str, ...],
    params: tuple[tuple[str, str], ...],
    url: str | None,
    account: str | None,
    sid: str | None,
    count: int,
    contacts: int,
    method: Literal["POST", "GET"],
    tamper: bool,
    wait: float,
    as_json: bool,
) -> None:
    """Send a message as Twilio would, signed, and show answer, route and delivery.

    \b
      router simulate sms --body "Hola"
      router simulate whatsapp --media https://example.com/photo.jpg
      router simulate whatsapp --body Yes --param ButtonText=Yes --param ButtonPayload=yes-42
      router simulate sms --count 100 --contacts 10
      router simulate sms --url https://example.ngrok.app/webhooks/sms

    The exit status is 1 when a message was refused, or not delivered in time; with --tamper, when it was not refused.
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    if sid is not None and (count > 1 or not is_sid(sid, "SM", "MM")):
        raise click.BadParameter("SM or MM and 32 hexadecimal digits, for one message", param_hint="--sid")
    settings = load_settings_for_cli()
    attached = [Media.parse(each) for each in media]
    text = body if body is not None else "" if media else "Hello"
    with ExitStack() as stack:
        store = stack.enter_context(open_store(settings)) if settings.redis_url else None
        owner = one_account(settings, account)
        where, signed_as = (url, url) if url else _here(settings, channel)
        to = canonical(to, channel) if to else _address(channel, owner, store)
        from_ = canonical(from_ or CUSTOMERS[channel], channel)
        sent: list[outcome.Sent] = []
        for n in range(count):
            form = fields(
                channel,
                account_sid=owner.sid,
                message_sid=sid or new_message_sid(attached),
                from_=nth(from_, n % contacts),
                to=to,
                body=f"{text} {n + 1}".lstrip() if count > 1 else text,
                media=attached,
                more=params,
            )
            key = Key("auth_token[0]", owner.auth_tokens[0].encode())
            try:
                answered = send(where, form, key, signed_as=signed_as, method=method, tamper=tamper)
            except NoAnswer as error:
                if count == 1 or not (sent or error.connected):
                    raise
                answered = Answered(0)  # one of many: the others go on, as they would at Twilio
            sent.append(outcome.Sent(dict(form), answered, tampered=tamper))
        if store is not None:
            outcome.follow(sent, store, wait)
    if as_json:
        for each in sent:
            click.echo(json.dumps(outcome.resource(each, where), ensure_ascii=False))
    elif count == 1:
        print_facts(outcome.one(sent[0], channel, watched=store is not None))
    else:
        print_facts(outcome.many(sent, channel))
    sys.exit(0 if all(each.good for each in sent) else 1)


def _here(settings: Settings, channel: str) -> tuple[str, str]:
    """Return the webhook of the router that runs here, and how Twilio knows it, which is what is signed."""
    base, target = base_url(settings), f"/webhooks/{channel}"
    return base + target, (settings.public_urls or (base,))[0] + target


def _address(channel: str, account: Account, store: Store | None) -> str:
    """Return an address of the channel that a flow takes messages for now, else one that fits a flow for all."""
    if store is not None:
        for flow in store.flows.page(account.sid, 0, _FLOWS):
            concrete = flow.contact_identity != "*" and not is_sid(flow.contact_identity, "MG")
            if flow.channel_type == channel and flow.enabled and not flow.paused and concrete:
                return flow.contact_identity
    return ADDRESSES[channel]
