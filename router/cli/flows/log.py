"""`router flows log`: what was done to Flex Flows, by whom."""

import heapq
import time
from itertools import islice
from typing import Any

import click

from router.cli.context import load_settings_for_cli
from router.cli.output import age, print_json, print_table, short
from router.cli.reach import account_option, json_option, open_store, since_option, some_accounts
from router.sid import is_sid
from router.store.changes import FlowChange


@click.command()
@click.argument("sid", metavar="[FO…]", required=False)
@since_option
@click.option("--limit", type=click.IntRange(1), default=50, help="How many, the newest first. [50]")
@account_option
@json_option
def log(*, sid: str | None, since: int | None, limit: int, account: str | None, as_json: bool) -> None:
    """Show who changed which Flex Flow, when, and what: of all flows, or of one.

    \b
      router flows log --since 1d
      router flows log FO…

    Secrets are never shown, only that they changed. The newest 10,000 changes of an account are kept.
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    if sid and not is_sid(sid, "FO"):
        raise click.BadParameter(f"{sid[:40]!r} is not FO and 32 hexadecimal digits", param_hint="FO…")
    settings = load_settings_for_cli()
    with open_store(settings) as store:
        walks = (
            store.changes.newest(each.sid, flex_flow_sid=sid or "", since=since or 0)
            for each in some_accounts(settings, account)
        )
        found = list(islice(heapq.merge(*walks, key=lambda change: change.at, reverse=True), limit))
    if as_json:
        print_json([change.resource() for change in found])
    elif found:
        now = time.time()
        print_table(("SID", "AGE", "DONE", "BY", "WHAT"), [_row(change, now) for change in found], whole=("SID",))
    else:
        click.echo("No such changes." if sid or since else "No flow was changed yet.")


def _row(change: FlowChange, now: float) -> tuple[str, ...]:
    if change.action == "updated":
        what = ", ".join(f"{name}: {_text(was)} → {_text(is_)}" for name, (was, is_) in change.fields.items())
    else:
        known = {name: is_ if was is None else was for name, (was, is_) in change.fields.items()}
        what = (
            f"{known.get('channel_type', '')} {known.get('contact_identity', '*')} “{known.get('friendly_name', '')}”"
        )
    return change.flex_flow_sid, age(change.at, now), change.action, change.by, what


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return short(", ".join(value) if isinstance(value, list) else str(value or "none"), 60)
