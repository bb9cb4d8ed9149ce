"""`router flows log`: lists the changes of Flex Flows."""

import heapq
import time
from itertools import islice

import click

from router.cli.flows.changes import value_text
from router.cli.here import Here, with_here
from router.cli.options import json_option, since_option
from router.cli.output import print_json, print_table, short
from router.printable import age
from router.store.changes import FlowChange


@click.command()
@click.argument("sid", metavar="[FO…]", required=False)
@since_option
@click.option("--limit", type=click.IntRange(1), default=50, metavar="N", help="Only the newest N. [50]")
@json_option
@with_here
def log(here: Here, *, sid: str | None, since: int | None, limit: int, as_json: bool) -> None:
    """List the changes of all Flex Flows, or of one: when, by whom, and what changed.

    \b
      router flows log --since 1d
      router flows log FO…

    Secrets are never shown, only the fact that they changed. The router keeps the newest 10,000 changes of an account.
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    wanted = here.flow_sid(sid or "")
    walks = (here.store.changes.newest(each.sid, flex_flow_sid=wanted, since=since or 0) for each in here.accounts)
    found = list(islice(heapq.merge(*walks, key=lambda change: change.at, reverse=True), limit))
    if as_json:
        print_json([change.resource() for change in found])
    elif found:
        now = time.time()
        print_table(
            ("SID", "AGE", "DONE", "BY", "WHAT"),
            [_row(change, now) for change in found],
            whole=("SID",),
            brief=("SID",),
        )
    else:
        click.echo("No changes match." if sid or since else "No flow was changed yet.")


def _row(change: FlowChange, now: float) -> tuple[str, ...]:
    if change.action == "updated":
        what = ", ".join(
            f"{name}: {short(value_text(was), 60)} → {short(value_text(is_), 60)}"
            for name, (was, is_) in change.fields.items()
        )
    else:
        known = {name: is_ if was is None else was for name, (was, is_) in change.fields.items()}
        what = (
            f"{known.get('channel_type', '')} {known.get('contact_identity', '*')} “{known.get('friendly_name', '')}”"
        )
    return change.flex_flow_sid, age(change.at, now), change.action, change.by, what
