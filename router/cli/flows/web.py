"""`router flows web`: creates an address for the chat of a website."""

import time

import click

from router.cli.flows.warnings import print_warnings
from router.cli.here import Here, with_here
from router.cli.output import print_facts
from router.cli.running import base_url
from router.errors import InvalidFlow
from router.flow.flex_flow import address_sid
from router.flow.resource import from_parameters
from router.flow.warning import of_flow
from router.message.channel import WEB
from router.sid import new_sid
from router.url import is_http_url


@click.command()
@click.argument("target", metavar="URL|HANDLER")
@click.option("--name", default="Web chat", help="The name of the flow. [Web chat]")
@click.option(
    "--origin",
    "origins",
    multiple=True,
    metavar="https://…",
    help="A website that may embed the chat; can be given several times. [only the test page]",
)
@with_here
def web(here: Here, *, target: str, name: str, origins: tuple[str, ...]) -> None:
    """Create an address for the chat of a website; its messages go to a webhook, or to a handler of the settings.

    \b
      router flows web https://example.com/chat --origin https://shop.example

    Idle chats are closed, as with new addresses in Twilio's console. `router flows export` shows the new flow, and
    `apply` changes it: docs/web-chat.md.
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    account = here.account
    integration = (
        {"IntegrationType": "external", "Integration.Url": target}
        if is_http_url(target)
        else {"IntegrationType": "handler", "Integration.Handler": target}
    )
    params = {"FriendlyName": name, "ChannelType": WEB, "JanitorEnabled": "true", **integration}
    try:
        flow = from_parameters(
            params | {"WebChat.AllowedOrigins": ",".join(origins)},
            account_sid=account.sid,
            current=None,
            handlers=here.settings.handlers_of(account.sid),
            now=int(time.time()),
            sid=new_sid("FO"),
            required=("FriendlyName", "ChannelType"),
        )
    except InvalidFlow as error:
        advice = ". Name an https URL or a handler" if error.parameter.startswith("Integration.") else ""
        raise click.UsageError(f"{error}{advice}") from None
    here.store.flows.put(flow, by="router flows web")
    base = (here.settings.public_urls or (base_url(here.settings),))[0]
    script = f'<script async src="{base}/chat/widget.js" data-address="{address_sid(flow)}"></script>'
    print_facts(
        [
            ("Address", f"{address_sid(flow)}  “{flow.friendly_name}”"),
            ("Test page", f"{base}/chat?accountSid={account.sid}&flexFlowSid={flow.sid}"),
            ("On a website", script if origins else f"{script}  (after --origin, or allowed_origins in a flow file)"),
        ]
    )
    print_warnings(of_flow(flow, here.around))
