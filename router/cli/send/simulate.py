"""`router simulate`: sends messages as Twilio would, and shows answers, routes and deliveries."""

import sys
from typing import Final

import click

from router.cli.here import Here, with_here
from router.cli.options import lines_option, moment, wait_option, with_sections
from router.cli.output import print_facts
from router.cli.send import report
from router.cli.send.call import url_option
from router.cli.send.content import Content, Repetition, content_options, forms, repetition_options
from router.cli.send.inbound import ADDRESSES, CUSTOMERS
from router.cli.send.sender import Webhook, dispatch, webhook_url
from router.cli.send.shape import SHAPES
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
_SECTIONS: Final = (
    ("Shapes", [(each.name, each.help) for each in SHAPES.values()]),
    ("Ways to tamper", list(TAMPERS.items())),
)


@click.command(cls=with_sections(*_SECTIONS))
@click.argument("channel", type=click.Choice((*CUSTOMERS, WEB)))
@content_options
@url_option
@key_option
@click.option("--sid", metavar="SM…", help="The MessageSid: use it twice to send a duplicate. [a new one]")
@repetition_options
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
@click.option("--at", type=moment, metavar="TIME", help="Send nothing; show where it would go at that time.")
@lines_option
@with_here
def simulate(  # noqa: PLR0913 - one for each option, or group of them
    here: Here,
    *,
    channel: str,
    content: Content,
    url: str | None,
    key: str | None,
    sid: str | None,
    often: Repetition,
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
        if content.shapes or content.media or key or sid or tamper or often.rate or at is not None or method != "POST":
            raise click.UsageError("web has only --body, --from, --to, --param, --url, --count, --wait and --json.")
        simulate_web(here, content, url=url or "", count=often.count, wait=wait, as_json=as_json)
    if sid is not None and (often.count > 1 or not is_sid(sid, "SM", "MM")):
        raise click.BadParameter("it must be SM or MM and 32 hexadecimal digits, for one message", param_hint="--sid")
    if at is not None and (tamper or url or often.count > 1):
        raise click.UsageError("--at sends nothing: leave out --tamper, --url and --count.")
    content.shape(channel)  # raises for a shape that the channel does not have

    store, owner = here.own_store, here.account
    how = signing(owner, key, tamper or "")
    where, signed_as = webhook_url(url, here.settings, channel)
    to = canonical(content.to, channel) if content.to else _address(channel, here)
    account_sid = new_sid("AC") if tamper == "account" else owner.sid
    built = forms(content, often, channel, to=to, account_sid=account_sid, sid=sid, url=signed_as)
    if at is not None:
        _preview(here, dict(next(built)), at, as_json=as_json)
        return

    sending = dispatch(
        [(often.time(n), Webhook(where, signed_as, form, how, method)) for n, form in enumerate(built)],
        at_once=often.at_once,
        label="Sending",
        url=url,
        store=store,
        wait=wait,
    )
    if not as_json and often.count == 1 and sending.sent:
        print_facts(report.one_message(sending.sent[0], channel, how.label, watched=store is not None))
    else:
        report.print_many(sending.sent, f"{channel} messages", sending.seconds, often.rate, as_json=as_json)
    sys.exit(sending.exit_status())


def _address(channel: str, here: Here) -> str:
    """Return the address to send to: the demo's or, if no flow takes it, that of the channel's only flow.

    Raises:
        RouterError: the flows of the channel have several addresses, and there is no terminal to ask at.
    """
    usual = canonical(ADDRESSES[channel], channel)
    flows = here.store.flows.page(here.account.sid, 0, _FLOWS) if here.own_store else []
    usable = (each for each in flows if each.channel_type == channel and each.enabled and not each.is_held)
    found = {each.contact_identity for each in usable if not is_sid(each.contact_identity, "MG")}
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
