"""`router explain --since … --flows FILE`: shows which past messages would go elsewhere with a flow file."""

from collections.abc import Iterator
from itertools import islice
from typing import Any, Final, TextIO

import click

from router.cli.flows.flow_file import current_flows, read_flow_file
from router.cli.here import Here
from router.cli.output import flow_line, print_json, print_table, short
from router.cli.progress import watched
from router.flow.diff import applied, diff
from router.queries.likelihood import likelihood
from router.queries.rehearsed import Moved, Rehearsed
from router.queries.rehearsed import rehearse as compare
from router.routing.resolve import Route

# The maximum number of messages, the newest; each takes about 2 KB of memory.
_MOST: Final = 200_000
_SHOWN: Final = 50
_TEXT: Final = 40


def rehearse(here: Here, file: TextIO, *, since: int, to: str, prune: bool) -> Rehearsed:
    """Route the past messages of the account with its current flows, and with those after the file is applied.

    Both start without assignments of conversations, so that only the file makes a difference. `since` is in ms since
    1970; `to` is an address in any form, "" for all messages.

    Raises:
        RouterError: the file cannot be applied.
    """
    sid, store = here.account.sid, here.store
    current = list(current_flows(store, sid))
    changed = applied(current, diff(current, read_flow_file(file, here.settings, sid), prune=prune))
    found = list(islice(watched("Reading messages", store.deliveries.newest(sid, after=since)), _MOST))
    found.reverse()
    messages = watched("Rehearsing", found, len(found))
    return compare(current, changed, messages, likelihood, sticky_hours=here.settings.sticky_hours, to=to)


def print_rehearsed(rehearsed: Rehearsed, *, as_json: bool) -> None:
    """Print the messages that would go elsewhere, and the numbers."""
    if as_json:
        print_json(
            {
                "messages": rehearsed.taken,
                "without_body": rehearsed.bodiless,
                "moved": [_described(each) for each in rehearsed.moved],
            }
        )
        return
    rows = [
        (
            each.delivery.message_sid,
            each.message.contact_identity,
            short(each.message.body, _TEXT),
            flow_line(each.before.flow),
            flow_line(each.after.flow),
        )
        for each in rehearsed.moved[:_SHOWN]
    ]
    if rows:
        print_table(("SID", "TO", "BODY", "GOES TO", "WOULD GO TO"), rows, whole=("SID",))
    if len(rehearsed.moved) > _SHOWN:
        click.echo(f"… and {len(rehearsed.moved) - _SHOWN:,} more; --json lists them all")
    for line in _summary(rehearsed):
        click.echo(line)


def _summary(rehearsed: Rehearsed) -> Iterator[str]:
    if not rehearsed.taken:
        yield "The router has no message with a body since then; choose an earlier --since."
    else:
        yield f"{len(rehearsed.moved):,} of {rehearsed.taken:,} messages would go elsewhere; nothing was changed."
    if rehearsed.bodiless:
        yield f"{rehearsed.bodiless:,} more cannot be routed: their bodies have expired."


def _described(moved: Moved) -> dict[str, Any]:
    return {
        "sid": moved.delivery.message_sid,
        "to": moved.message.contact_identity,
        "went_to": moved.delivery.flow_sid or None,
        "before": _route(moved.before),
        "after": _route(moved.after),
    }


def _route(route: Route) -> dict[str, Any]:
    flow = route.flow
    return {
        "flex_flow_sid": flow.sid if flow else None,
        "friendly_name": flow.friendly_name if flow else None,
        "language": route.language or None,
        "steps": list(route.steps),
    }
