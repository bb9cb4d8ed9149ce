"""`router disconnect`: restores what `router connect` has changed at Twilio."""

import sys
import time
from collections.abc import Sequence

import click

from router import tunnel_address
from router.cli.connect.connector import Connector, say
from router.cli.output import ago, print_table
from router.cli.running import load_settings_for_cli
from router.errors import RouterError
from router.twilio_api.connections import ConnectedWebhook, Connections
from router.twilio_api.webhook_values import shown
from router.twilio_api.webhooks import FIELDS

_NOTHING = "Nothing is connected. `router connect +1…` points a number here."


@click.command()
@click.argument("addresses", nargs=-1, metavar="[+1…|MG…]...")
@click.option("--list", "listed", is_flag=True, help="Only list what is connected.")
@click.option("--left-behind", is_flag=True, help="Only what a crash has left connected.")
def disconnect(*, addresses: tuple[str, ...], listed: bool, left_behind: bool) -> None:
    """Restore the webhooks that `router connect` has changed: all of them, or those of some numbers.

    \b
      router disconnect --list
      router disconnect
      router disconnect +15005550006 whatsapp:+15005550006

    If another person or program has changed a field in the meantime, the command says so and does not restore it.
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    settings = load_settings_for_cli()
    connector = Connector(settings)
    if left_behind:
        connector.restore_orphans()
        return
    found = connector.record.read()
    if listed:
        _list(connector.record, found, tunnel_address.read(settings.data_dir))
        return
    unknown = [each for each in addresses if not any(each in (one.name, one.sid) for one in found)]
    if unknown:
        known = ", ".join(each.name for each in found) or "no number"
        raise RouterError(f"not connected: {', '.join(unknown)}; connected: {known}")
    if not found:
        click.echo(_NOTHING)
        return
    chosen = [each.key for each in found if not addresses or {each.name, each.sid} & set(addresses)]
    wrong = connector.restore_all(lambda each: each.key in chosen, click.echo)
    for error in wrong:
        say(str(error))
    sys.exit(1 if wrong else 0)


def _list(record: Connections, found: Sequence[ConnectedWebhook], tunnel: str) -> None:
    now = time.time()
    rows = [
        (
            each.name,
            shown(each.base),
            ago(each.at, now),
            _until(record, each, tunnel),
            shown(each.before[FIELDS[each.kind][0]]),
        )
        for each in found
    ]
    if rows:
        print_table(("NAME", "LEADS TO", "SINCE", "UNTIL", "BEFORE"), rows, whole=("NAME",))
    else:
        click.echo(_NOTHING)


def _until(record: Connections, connection: ConnectedWebhook, tunnel: str) -> str:
    if record.is_orphan(connection, tunnel):
        return "left behind by a crash"
    return "its process ends" if connection.holder else "disconnected"
