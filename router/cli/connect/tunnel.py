"""`router tunnel`: makes the router of this machine reachable for Twilio through a tunnel."""

import sys
from contextlib import ExitStack
from typing import Final

import click

from router.cli.connect.agreement import CONNECTED, agree, real_account, show
from router.cli.connect.connector import Connector
from router.cli.connect.follow import Follower, GivenTunnel, Tunnel
from router.cli.connect.names import names_of
from router.cli.connect.ngrok import open_ngrok
from router.cli.connect.probe import answers, is_guarded, probe_new
from router.cli.here import Here, with_here
from router.cli.running import address, base_url
from router.cli.stop import Stop
from router.errors import RouterError
from router.printable import clean
from router.settings import Account, Settings
from router.settings.value import base_url_of
from router.tunnel_address import TunnelRecord
from router.twilio_api.connections import Holder
from router.twilio_api.webhook_values import to_paste

# Seconds between two checks of the tunnel.
_CHECK_EVERY: Final = 1.0
# Seconds until the name of a new tunnel should be known in the DNS.
_NEW_SECONDS: Final = 10.0


def _base_url(text: str) -> str:
    """Parse a public base URL, in the same way as ROUTER_PUBLIC_URL."""
    try:
        return base_url_of(text)
    except ValueError as error:
        raise ValueError(f"{text[:100]!r} {error}") from None


@click.command()
@click.option(
    "--url", type=_base_url, metavar="https://…", help="The address of another kind of tunnel, which is already open."
)
@click.option(
    "--ngrok-api", type=_base_url, metavar="URL", help="The API of a running ngrok agent. [http://127.0.0.1:4040]"
)
@click.option(
    "--connect",
    "addresses",
    multiple=True,
    metavar="+1…|MG…",
    help="Point a number to this router as long as the tunnel is open; can be given several times.",
)
@click.option(
    "--chat", is_flag=True, help="Also serve web chat through the tunnel: /chat, for visitors of your website."
)
@click.option("--expose-all", is_flag=True, help="Serve everything through the tunnel: REST API and console too.")
@click.option(
    "--patience", type=click.FloatRange(0), default=30.0, metavar="S", help="Seconds to wait for a lost tunnel. [30]"
)
@click.option("--no-check", is_flag=True, help="Do not test the tunnel with a signed request first.")
@click.option("--yes", is_flag=True, help="Do not ask before changing a number that points to another router.")
@with_here
def tunnel(  # noqa: PLR0913 - one for each option
    here: Here,
    *,
    url: str | None,
    ngrok_api: str | None,
    addresses: tuple[str, ...],
    chat: bool,
    expose_all: bool,
    patience: float,
    no_check: bool,
    yes: bool,
) -> None:
    """Make the router of this machine reachable for Twilio, until Ctrl-C.

    \b
      router tunnel                                  with ngrok: the running agent, or a new one
      router tunnel --connect +15005550006           and point a number to this router
      router tunnel --chat                           and serve web chat through it
      router tunnel --url https://x.trycloudflare.com

    The running router accepts requests that Twilio signed for the tunnel's address, in addition to ROUTER_PUBLIC_URL.
    When the address changes, the router and the connected numbers use the new address. The tunnel leads to a second
    port of the router, which serves only /webhooks/, and /chat with --chat. That port is ROUTER_TUNNEL_PORT, or else
    the one after the router's own. Open a tunnel of another kind to that port too: `cloudflared tunnel --url
    http://127.0.0.1:8001`.
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    names = names_of(addresses)
    settings = here.settings
    # If no number is connected, any account can sign the request that tests the tunnel.
    owner = real_account(settings, here.account) if names else here.accounts[0]
    if not answers(base_url(settings)):
        raise RouterError(
            f"nothing answers at {base_url(settings)}: start the router with `router run` in another terminal, or both "
            "at once with `router run --tunnel`"
        )
    connector = Connector(settings)
    connector.restore_orphans()
    with ExitStack() as stack:
        record = stack.enter_context(TunnelRecord(settings.data_dir, chat=chat))
        opened = _open(settings, owner, url=url, api=ngrok_api, whole=expose_all)
        stack.callback(opened.close)
        follower = Follower(opened, record, connector, patience, _print_addresses)
        follower.look()
        checked = "" if no_check else _checked(follower.base, owner, min(patience, _NEW_SECONDS))
        _print(settings, follower.base, checked, chat=chat)
        places = connector.find(owner, names)
        show(places, follower.base)
        agree(connector.warnings(places, follower.base), yes=yes)
        stop = stack.enter_context(Stop())
        holder = stack.enter_context(Holder(settings.data_dir))
        try:
            if places:
                connector.connect_all(places, owner, follower.base, tunnel=True, holder=holder.name)
                click.echo(CONNECTED)
            else:
                click.echo("\n  Connect a number    router connect +1…\n  Stop                Ctrl-C\n")
            while not stop.wait(_CHECK_EVERY):
                follower.look()
        finally:
            good = connector.restore_own(holder, tunnel=True)
    sys.exit(0 if good else 1)


def _open(settings: Settings, owner: Account, *, url: str | None, api: str | None, whole: bool) -> Tunnel:
    if url:
        return GivenTunnel(url, owner)
    port = router_port = address(settings)[1]
    if not whole:
        port = settings.tunnel_port or router_port + 1
        if not is_guarded(f"http://127.0.0.1:{port}"):
            raise RouterError(
                f"the router has no port for tunnels at 127.0.0.1:{port}: start it with ROUTER_TUNNEL_PORT={port}, or "
                "serve everything through the tunnel with `router tunnel --expose-all`"
            )
    return open_ngrok(api, port=port, router_port=router_port)


def _checked(base: str, owner: Account, within: float) -> str:
    found = probe_new(base, owner, within)
    if not found.good:
        raise RouterError(f"{base}: {found.found}; {found.advice}. `router tunnel --no-check` skips this")
    return found.found


def _print(settings: Settings, base: str, checked: str, *, chat: bool) -> None:
    whole = answers(base)
    served = "everything" if whole else "/webhooks/ and /chat only" if chat else "/webhooks/ only"
    click.echo(f"\n  Tunnel       {clean(base)} → {base_url(settings)}, {served}")
    if whole:
        click.echo(
            "               ! The tunnel serves the REST API and the console too. A tunnel to port "
            f"{settings.tunnel_port or address(settings)[1] + 1} of this machine serves /webhooks/ only."
        )
    if checked:
        click.echo(f"  Checked      {checked}")
    _print_addresses(base)


def _print_addresses(base: str) -> None:
    click.echo("\n".join(["", *to_paste(base)]))
