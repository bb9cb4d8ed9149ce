"""`router disconnect`: what `router connect` has changed at Twilio says again what it said before."""

import sys
import time
from collections.abc import Sequence
from typing import Any

import click

from router.cli.connect import session
from router.cli.connect.change import Connector, is_orphan, restore_all
from router.cli.connect.record import Connection, Connections
from router.cli.connect.webhook import shown
from router.cli.context import load_settings_for_cli
from router.cli.output import ago, print_json, print_table
from router.cli.reach import json_option
from router.errors import RouterError
from router.twilio_api.webhooks import FIELDS
from router.web import tunnel_address as tunnel


@click.command()
@click.argument("addresses", nargs=-1, metavar="[+1…|MG…]...")
@click.option("--list", "listed", is_flag=True, help="Only list what is connected.")
@click.option("--left-behind", is_flag=True, help="Only what a crash has left behind.")
@json_option
def disconnect(*, addresses: tuple[str, ...], listed: bool, left_behind: bool, as_json: bool) -> None:
    """Put back what `router connect` has changed: all of it, or the numbers that are named.

    \b
      router disconnect --list
      router disconnect
      router disconnect +15005550006 whatsapp:+15005550006

    What somebody else has changed in the meantime is left alone, and said.
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    settings = load_settings_for_cli()
    if left_behind:
        session.put_back_orphans(settings)
        return
    record = Connections(settings.data_dir)
    found = record.read()
    if as_json and not listed:
        raise click.UsageError("--json goes with --list.")
    if listed:
        _list(record, found, tunnel.read(settings.data_dir), as_json=as_json)
        return
    unknown = [each for each in addresses if not any(each in (one.name, one.sid) for one in found)]
    if unknown:
        known = ", ".join(each.name for each in found) or "nothing"
        raise RouterError(f"{', '.join(unknown)} is not connected; connected: {known}")
    if not found:
        click.echo("Nothing is connected. `router connect +1…` points a number here.")
        return
    chosen = [(each.kind, each.sid) for each in found if not addresses or {each.name, each.sid} & set(addresses)]
    wrong = restore_all(Connector(settings, record), lambda each: (each.kind, each.sid) in chosen, click.echo)
    for error in wrong:
        click.echo(f"router: {error}", err=True)
    sys.exit(1 if wrong else 0)


def _list(record: Connections, found: Sequence[Connection], here: str, *, as_json: bool) -> None:
    if as_json:
        print_json([_resource(record, each, here) for each in found])
        return
    if not found:
        click.echo("Nothing is connected. `router connect +1…` points a number here.")
        return
    now = time.time()
    rows = [
        (
            each.name,
            shown(each.base),
            ago(each.at, now),
            _until(record, each, here),
            shown(each.before[FIELDS[each.kind][0]]),
        )
        for each in found
    ]
    print_table(("WHAT", "LEADS TO", "SINCE", "UNTIL", "BEFORE"), rows, whole=("WHAT",))


def _until(record: Connections, connection: Connection, here: str) -> str:
    if is_orphan(record, connection, here):
        return "left behind by a crash"
    return "its process ends" if connection.holder else "disconnected"


def _resource(record: Connections, connection: Connection, here: str) -> dict[str, Any]:
    return {
        "kind": connection.kind,
        "sid": connection.sid,
        "name": connection.name,
        "account_sid": connection.account_sid,
        "base": shown(connection.base),
        "until": _until(record, connection, here),
        "before": {name: shown(value) if value else "" for name, value in connection.before.items()},
    }
