"""`router tunnel`: the router of this machine is reachable by Twilio, and believes what is signed for that address."""

import sys
from contextlib import ExitStack
from typing import Final

import click

from router.cli.connect import session
from router.cli.connect.change import Connector
from router.cli.connect.record import Connections, Holder
from router.cli.connect.tunnels import Tunnel
from router.cli.connect.tunnels.choose import open_ngrok
from router.cli.connect.tunnels.gate import Gate
from router.cli.connect.tunnels.given import GivenTunnel
from router.cli.connect.tunnels.keeper import Keeper
from router.cli.connect.tunnels.probe import answers, through_soon
from router.cli.connect.webhook import OVERRIDES
from router.cli.context import address, base_url, load_settings_for_cli
from router.cli.output import clean
from router.cli.reach import account_option, one_account, some_accounts
from router.cli.stop import Stop
from router.errors import RouterError
from router.settings import Account, Settings, base_url_of
from router.web.tunnel_address import TunnelRecord

# Between two looks at the agent, which costs it next to nothing.
_LOOK: Final = 1.0
# How long a tunnel that was opened just now may take until its name is known everywhere.
_NEW_SECONDS: Final = 10.0
_CHANNELS: Final = {
    "SMS": "sms",
    "WhatsApp": "whatsapp",
    "Messenger": "facebook",
    "RCS": "rcs",
    "any of them": "message",
}


class BaseUrl(click.ParamType[str]):
    """A public base, as https://example.com."""

    name = "url"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Read it, as ROUTER_PUBLIC_URL is read."""
        try:
            return base_url_of(value)
        except ValueError as error:
            self.fail(f"{value[:100]!r} {error}", param, ctx)


@click.command()
@click.option(
    "--url", type=BaseUrl(), metavar="https://…", help="The address of any other tunnel that is open already."
)
@click.option("--ngrok-api", type=BaseUrl(), metavar="URL", help="A running ngrok agent's API. [http://127.0.0.1:4040]")
@click.option(
    "--connect", "addresses", multiple=True, metavar="+1…|MG…", help="Point a number here as long; many times."
)
@click.option("--expose-all", is_flag=True, help="Let everything through: REST API and console, not /webhooks/ only.")
@click.option(
    "--gate-port", type=click.IntRange(1, 65_535), metavar="N", help="Where the gate for /webhooks/ only listens. [any]"
)
@click.option(
    "--patience", type=click.FloatRange(0), default=30.0, metavar="S", help="How long the tunnel may be away. [30]"
)
@click.option("--no-check", is_flag=True, help="Do not send a signed request through it first.")
@click.option("--yes", is_flag=True, help="Take a number over without asking, as from another router.")
@account_option
def tunnel(  # noqa: PLR0913 - one for each option
    *,
    url: str | None,
    ngrok_api: str | None,
    addresses: tuple[str, ...],
    expose_all: bool,
    gate_port: int | None,
    patience: float,
    no_check: bool,
    yes: bool,
    account: str | None,
) -> None:
    """Make the router of this machine reachable by Twilio, until Ctrl-C.

    \b
      router tunnel                                  ngrok: the agent that runs, or one of its own
      router tunnel --connect +15005550006           and point a number here
      router tunnel --url https://x.trycloudflare.com

    The running router believes what is signed for the tunnel's address as soon as it is known; ROUTER_PUBLIC_URL stays
    valid beside it. When the address changes, it is told, and connected numbers move along. Only /webhooks/ can be
    reached through it. A tunnel of your own has to lead to the gate for that: `router tunnel --gate-port 8001 --url
    https://…`, with the tunnel to port 8001.
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    wanted = session.names(addresses)
    settings = load_settings_for_cli()
    if wanted:
        owner = session.real_account(settings, one_account(settings, account))
    else:
        owner = some_accounts(settings, account)[0]  # any of them can sign what is sent through
    if not answers(base_url(settings)):
        raise RouterError(
            f"nobody answers at {base_url(settings)}: start the router with `router run` in another terminal, or both "
            "at once with `router run --tunnel`"
        )
    session.put_back_orphans(settings)
    connector = Connector(settings, Connections(settings.data_dir))
    with ExitStack() as stack:
        record = stack.enter_context(TunnelRecord(settings.data_dir))
        opened = _open(settings, owner, stack, url=url, api=ngrok_api, gate_port=gate_port, whole=expose_all)
        stack.callback(opened.close)
        keeper = Keeper(opened, record, connector, patience, _print_addresses)
        keeper.begin()
        checked = "" if no_check else _checked(keeper.base, owner, min(patience, _NEW_SECONDS))
        _print(settings, keeper.base, opened, checked)
        places = session.find(connector, owner, wanted)
        session.show(places, keeper.base)
        session.agree(session.questions(connector.record, places, keeper.base), yes=yes)
        stop = stack.enter_context(Stop())
        holder = stack.enter_context(Holder(settings.data_dir))
        try:
            if places:
                session.connect(connector, places, owner, keeper.base, through_tunnel=True, holder=holder.name)
                click.echo("Connected. Ctrl-C puts back what was there before.")
            else:
                click.echo("\n  Point a number here    router connect +1…\n  Stop                   Ctrl-C\n")
            while not stop.wait(_LOOK):
                keeper.look()
        finally:
            good = session.put_back(connector, holder, tunnel_too=True)
    sys.exit(0 if good else 1)


def _open(  # noqa: PLR0913 - the ways to a tunnel
    settings: Settings,
    owner: Account,
    stack: ExitStack,
    *,
    url: str | None,
    api: str | None,
    gate_port: int | None,
    whole: bool,
) -> Tunnel:
    router = address(settings)
    port = router[1]
    if not whole and (gate_port or not url):
        try:
            port = stack.enter_context(Gate(router, gate_port or 0)).port
        except OSError as error:
            raise RouterError(f"the gate cannot listen at 127.0.0.1:{gate_port}: {error.strerror}") from None
    if url:
        return GivenTunnel(url, owner, whole=answers(url))
    return open_ngrok(settings, api, router_port=router[1], port=port)


def _checked(base: str, owner: Account, within: float) -> str:
    found = through_soon(base, owner, within)
    if not found.good:
        raise RouterError(f"{base}: {found.found}; {found.advice}. --no-check goes on all the same")
    return found.found


def _print(settings: Settings, base: str, opened: Tunnel, checked: str) -> None:
    here = base_url(settings)
    click.echo(f"\n  Tunnel       {clean(base)} → {here}, {'everything' if opened.whole else '/webhooks/ only'}")
    if opened.whole:
        click.echo(
            "               ! REST API and console can be reached too. To let only /webhooks/ through, lead the tunnel "
            "to a gate: --gate-port N"
        )
    if checked:
        click.echo(f"  Checked      {checked}")
    _print_addresses(base)


def _print_addresses(base: str) -> None:
    click.echo("\n  At Twilio, as the webhook for incoming messages, HTTP POST:\n")
    for name, channel in _CHANNELS.items():
        click.echo(f"  {name:12} {clean(base)}/webhooks/{channel}{OVERRIDES if channel == 'sms' else ''}")
    click.echo("  fallback     the same address again: a message that comes twice is delivered once")
