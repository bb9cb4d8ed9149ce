"""`router connect`: points the webhook of a number to this router, and restores it at the end."""

import sys
import time
from typing import Final

import click

from router import tunnel_address
from router.cli.confirm import dry_run_option
from router.cli.connect.agreement import CONNECTED, agree, real_account, show
from router.cli.connect.connector import Connector
from router.cli.connect.names import names_of
from router.cli.connect.probe import probe
from router.cli.flows.warnings import print_warnings
from router.cli.here import Here, with_here
from router.cli.stop import Stop
from router.cli.terminal import say
from router.errors import RouterError
from router.queries.flow_warnings import without_flow
from router.settings import Settings
from router.twilio_api.connections import Holder, addresses_of
from router.twilio_api.webhook_values import shown

# Seconds between two checks whether the tunnel and the record still exist.
_CHECK_EVERY: Final = 0.5


@click.command()
@click.argument("addresses", nargs=-1, metavar="[+1…|whatsapp:+1…|MG…]...")
@click.option("--whatsapp", is_flag=True, help="Connect the number's WhatsApp sender, instead of its SMS webhook.")
@click.option(
    "--messaging-service",
    "services",
    multiple=True,
    metavar="MG…",
    help="A Messaging Service; can be given several times.",
)
@dry_run_option
@click.option("--yes", is_flag=True, help="Do not ask before changing a number that points to another router.")
@click.option("--detach", is_flag=True, help="Return now; the number stays connected until `router disconnect`.")
@click.option("--no-check", is_flag=True, help="Do not test the public address with a signed request first.")
@click.option(
    "--patience", type=click.FloatRange(0), default=30.0, metavar="S", help="Seconds to wait for a lost tunnel. [30]"
)
@with_here
def connect(  # noqa: PLR0913 - one for each option
    here: Here,
    *,
    addresses: tuple[str, ...],
    whatsapp: bool,
    services: tuple[str, ...],
    dry_run: bool,
    yes: bool,
    detach: bool,
    no_check: bool,
    patience: float,
) -> None:
    """Point the webhook of a number to this router until Ctrl-C, and then restore the previous webhook.

    \b
      router connect +15005550006 --dry-run
      router connect +15005550006
      router connect +15005550006 --whatsapp
      router connect --messaging-service MG0123456789abcdef0123456789abcdef
      router connect +15005550006 --detach      until `router disconnect`

    The webhook is set to the address of the open `router tunnel`, or else to the first ROUTER_PUBLIC_URL. Its previous
    values are saved first, in the data directory: after a crash the next `router run`, `connect` or `tunnel` restores
    them. If another person or program has changed a field in the meantime, the field is not restored.
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    names = names_of(addresses, whatsapp=whatsapp, services=services)
    if not names:
        raise click.UsageError("Name a number, for example `router connect +15005550006`, or --messaging-service MG….")
    settings, owner = here.settings, real_account(here.settings, here.account)
    connector = Connector(settings)
    if not dry_run:
        connector.restore_orphans()
    base, tunnel = _base(settings)
    if not no_check and not (found := probe(base, owner)).good:
        raise RouterError(f"{shown(base)}: {found.found}; {found.advice}. Nothing was changed; --no-check skips this")
    places = connector.find(owner, names)
    warnings = connector.warnings(places, base)
    show(places, base)
    if here.own_store:
        print_warnings(without_flow(addresses_of(places), owner.sid, here.store))
    if dry_run:
        for warning in warnings:
            click.echo(f"! {warning}", err=True)
        click.echo("Nothing was changed: this was a dry run.")
        return
    agree(warnings, yes=yes)
    if detach:
        connector.connect_all(places, owner, base, tunnel=tunnel, holder="")
        click.echo(f"Connected, until `router disconnect`{' or the end of the tunnel' * tunnel}.")
        return
    with Stop() as stop, Holder(settings.data_dir) as holder:
        try:
            connector.connect_all(places, owner, base, tunnel=tunnel, holder=holder.name)
            click.echo(CONNECTED)
            ended = _hold(settings, connector, holder, stop, patience if tunnel else None)
        finally:
            good = connector.restore_own(holder)
    if ended:
        say(ended)
    sys.exit(0 if good and not ended else 1)


def _base(settings: Settings) -> tuple[str, bool]:
    """Return the public base URL, and whether it is a tunnel's."""
    if url := tunnel_address.read(settings.data_dir):
        return url, True
    if settings.public_urls:
        return settings.public_urls[0], False
    raise RouterError(
        "the router has no public address that Twilio could reach: open a tunnel with `router tunnel` in another "
        "terminal, or set ROUTER_PUBLIC_URL; `router run --tunnel --connect +1…` does all in one command"
    )


def _hold(settings: Settings, connector: Connector, holder: Holder, stop: Stop, patience: float | None) -> str:
    """Wait until Ctrl-C, or until the connection has ended; return the reason, "" for Ctrl-C.

    `patience` is the time in seconds to wait for a lost tunnel; None if the address is not a tunnel's.
    """
    last_open = time.monotonic()
    while not stop.wait(_CHECK_EVERY):
        if not any(each.holder == holder.name for each in connector.record.read()):
            return "another command has restored the webhook: `router disconnect`, or a tunnel that ended"
        if patience is None or tunnel_address.read(settings.data_dir):
            last_open = time.monotonic()
        elif time.monotonic() - last_open > patience:
            return f"the tunnel has been gone for {patience:.0f} s"
    return ""
