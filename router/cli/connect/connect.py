"""`router connect`: a number's webhook points here, until it is put back."""

import sys
import time
from typing import Final

import click

from router.cli.connect import session
from router.cli.connect.change import Connector
from router.cli.connect.record import Connections, Holder
from router.cli.connect.tunnels.probe import through
from router.cli.connect.webhook import shown
from router.cli.context import load_settings_for_cli
from router.cli.reach import account_option, one_account
from router.cli.stop import Stop
from router.errors import RouterError
from router.settings import Settings
from router.web import tunnel_address as tunnel

# Between two looks at whether the tunnel and the record are still there.
_LOOK: Final = 0.5


@click.command()
@click.argument("addresses", nargs=-1, metavar="[+1…]...")
@click.option("--whatsapp", is_flag=True, help="The number's WhatsApp sender, instead of its SMS.")
@click.option(
    "--messaging-service",
    "services",
    multiple=True,
    metavar="MG…",
    help="A Messaging Service; may be given many times.",
)
@click.option("--dry-run", is_flag=True, help="Only show what would be changed.")
@click.option("--yes", is_flag=True, help="Take a number over without asking, as from another router.")
@click.option("--detach", is_flag=True, help="Return at once; it stays connected until `router disconnect`.")
@click.option("--no-check", is_flag=True, help="Do not look first whether the public address answers.")
@click.option(
    "--patience", type=click.FloatRange(0), default=30.0, metavar="S", help="How long the tunnel may be away. [30]"
)
@account_option
def connect(  # noqa: PLR0913 - one for each option
    *,
    addresses: tuple[str, ...],
    whatsapp: bool,
    services: tuple[str, ...],
    dry_run: bool,
    yes: bool,
    detach: bool,
    no_check: bool,
    patience: float,
    account: str | None,
) -> None:
    """Point a number's webhook here, until Ctrl-C; then it says again what it said before.

    \b
      router connect +15005550006 --dry-run
      router connect +15005550006
      router connect +15005550006 --whatsapp
      router connect --messaging-service MG0123456789abcdef0123456789abcdef
      router connect +15005550006 --detach      until `router disconnect`

    It leads to the address of a `router tunnel` that runs, or else to the first ROUTER_PUBLIC_URL. What the webhook was
    before is on disk first, in the data directory: after a crash the next `router run`, `connect` or `tunnel` puts it
    back. What somebody else has changed in the meantime is left alone.
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    wanted = session.names(addresses, whatsapp=whatsapp, services=services)
    if not wanted:
        raise click.UsageError("Which number? As `router connect +15005550006`, or --messaging-service MG….")
    settings = load_settings_for_cli()
    owner = session.real_account(settings, one_account(settings, account))
    if not dry_run:
        session.put_back_orphans(settings)
    base, through_tunnel = _base(settings)
    if not no_check and not (found := through(base, owner)).good:
        raise RouterError(
            f"{shown(base)}: {found.found}; {found.advice}. Nothing was changed at Twilio; --no-check "
            "goes on all the same"
        )
    connector = Connector(settings, Connections(settings.data_dir))
    places = session.find(connector, owner, wanted)
    doubts = session.questions(connector.record, places, base)
    session.show(places, base)
    if dry_run:
        for doubt in doubts:
            click.echo(f"! {doubt}", err=True)
        click.echo("Nothing was changed: this was a dry run.")
        return
    session.agree(doubts, yes=yes)
    if detach:
        session.connect(connector, places, owner, base, through_tunnel=through_tunnel, holder="")
        end = " or the tunnel's end" * through_tunnel
        click.echo(f"Connected, until `router disconnect`{end}.")
        return
    with Stop() as stop, Holder(settings.data_dir) as holder:
        try:
            session.connect(connector, places, owner, base, through_tunnel=through_tunnel, holder=holder.name)
            click.echo("Connected. Ctrl-C puts back what was there before.")
            ended = _hold(settings, connector, holder, stop, patience if through_tunnel else None)
        finally:
            good = session.put_back(connector, holder)
    if ended:
        click.echo(f"router: {ended}", err=True)
    sys.exit(0 if good and not ended else 1)


def _base(settings: Settings) -> tuple[str, bool]:
    """Return the public base, and whether it is a tunnel's."""
    if url := tunnel.read(settings.data_dir):
        return url, True
    if settings.public_urls:
        return settings.public_urls[0], False
    raise RouterError(
        "there is no public address that Twilio could reach: open one with `router tunnel` in another terminal, or set "
        "ROUTER_PUBLIC_URL; `router run --tunnel --connect +1…` does all in one"
    )


def _hold(settings: Settings, connector: Connector, holder: Holder, stop: Stop, patience: float | None) -> str:
    """Wait until somebody asks to stop, or nothing is left to wait for; return why that is, "" when asked.

    `patience` is how long the tunnel may be away, in seconds; None for an address that is no tunnel's.
    """
    seen = time.monotonic()
    while not stop.wait(_LOOK):
        if not any(each.holder == holder.name for each in connector.record.read()):
            return "somebody else has put it back: `router disconnect`, or the tunnel's end"
        if patience is None or tunnel.read(settings.data_dir):
            seen = time.monotonic()
        elif time.monotonic() - seen > patience:
            return f"the tunnel has been gone for {patience:.0f} s"
    return ""
