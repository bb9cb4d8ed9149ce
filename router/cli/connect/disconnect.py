"""`router disconnect`: restores what `router connect` has changed at Twilio."""

import sys
import time
from collections.abc import Sequence
from typing import Any

import click

from router import tunnel_address
from router.cli.connect.connector import Connector
from router.cli.options import json_option
from router.cli.output import print_json, print_table
from router.cli.running import load_settings_for_cli
from router.cli.terminal import say
from router.errors import RouterError
from router.printable import ago
from router.twilio_api.connections import ConnectedWebhook, Connections
from router.twilio_api.webhook_values import shown
from router.twilio_api.webhooks import FIELDS

_NOTHING = "Nothing is connected. `router connect +1…` points a number here."


@click.command()
@click.argument("addresses", nargs=-1, metavar="[+1…|MG…]...")
@click.option("--list", "listed", is_flag=True, help="Only list what is connected.")
@click.option("--left-behind", is_flag=True, help="Only what a crash has left connected.")
@json_option
def disconnect(*, addresses: tuple[str, ...], listed: bool, left_behind: bool, as_json: bool) -> None:
    """Restore the webhooks that `router connect` has changed: all of them, or those of some numbers.

    \b
      router disconnect --list
      router disconnect
      router disconnect +15005550006 whatsapp:+15005550006

    If another person or program has changed a field in the meantime, the command reports it and leaves it.
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    if as_json and not listed:
        raise click.UsageError("Use --json only with --list.")
    settings = load_settings_for_cli()
    connector = Connector(settings)
    if left_behind:
        connector.restore_orphans()
        return
    found = connector.record.read()
    if listed:
        _list(connector.record, found, tunnel_address.read(settings.data_dir), as_json=as_json)
        return
    connected = {name for each in found for name in (each.name, each.sid)}
    unknown = [each for each in addresses if each not in connected]
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


def _list(record: Connections, found: Sequence[ConnectedWebhook], tunnel: str, *, as_json: bool) -> None:
    now, until = time.time(), [_until(record, each, tunnel) for each in found]
    if as_json:
        print_json([_resource(each, end) for each, end in zip(found, until, strict=True)])
    elif found:
        rows = [
            (each.name, shown(each.base), ago(each.at, now), end, shown(each.before[FIELDS[each.kind][0]]))
            for each, end in zip(found, until, strict=True)
        ]
        print_table(("NAME", "LEADS TO", "SINCE", "UNTIL", "BEFORE"), rows, whole=("NAME",))
    else:
        click.echo(_NOTHING)


def _until(record: Connections, connection: ConnectedWebhook, tunnel: str) -> str:
    if record.is_orphan(connection, tunnel):
        return "left behind by a crash"
    return "its process ends" if connection.holder else "disconnected"


def _resource(connection: ConnectedWebhook, until: str) -> dict[str, Any]:
    return {
        "kind": connection.kind,
        "sid": connection.sid,
        "name": connection.name,
        "account_sid": connection.account_sid,
        "base": shown(connection.base),
        "until": until,
        "before": {name: shown(value) if value else "" for name, value in connection.before.items()},
    }
