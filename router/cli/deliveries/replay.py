"""`router deliveries replay`: sends messages again, in the order in which they were accepted."""

import sys
import time
from collections.abc import Sequence
from typing import Final

import click

from router.cli.deliveries.chosen import Choice, choice_options
from router.cli.here import Here, with_here
from router.cli.options import json_option
from router.cli.output import integration_line, print_json, print_table, short, word
from router.cli.progress import watched
from router.errors import RouterError
from router.printable import age
from router.queries.control import note
from router.queries.delivery_filter import DEAD
from router.queries.likelihood import likelihood
from router.queries.replay import NOT_REPLAYED, REPLAY_DOES_NOT_ANSWER
from router.queries.replay import replay as put_back
from router.queries.route import route_of_today
from router.queries.selection import Found
from router.store import Store
from router.store.deliveries import Delivery

_SHOWN: Final = 20  # the maximum number of failures that are printed
_BY: Final = "router deliveries replay"
# The states in which a message can be sent again.
_STATES: Final = ("delivered", "redirected", "undelivered", "unrouted")


@click.command()
@choice_options
@click.option("--status", type=click.Choice(_STATES), help="Only messages in this state. [undelivered and unrouted]")
@click.option(
    "--route",
    type=click.Choice(("original", "current")),
    default="original",
    help="To the flow that the message went to, or to the flow that would take it now. [original]",
)
@click.option("--dry-run", is_flag=True, help="Send nothing; only show what would be sent, and where to.")
@json_option
@with_here
def replay(here: Here, *, choice: Choice, route: str, dry_run: bool, as_json: bool) -> None:
    """Send messages again, in the order in which they were accepted.

    \b
      router deliveries replay SM…
      router deliveries replay --since 1h --dry-run
      router deliveries replay --status unrouted --since 7d --route current
      router deliveries replay --flow FO… --from +14155550100 --since 2d

    Without SIDs the command prints the number of messages, and asks on a terminal. Cancelled messages are only sent
    again by their SID. A message that never had a flow is routed by the current flows. A replay does not answer the
    customer. The exit status is 1 if a message could not be replayed.
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    store, current = here.store, route == "current"
    chosen = choice.find(here, DEAD)
    if not chosen and not as_json:
        state = choice.wanted.status or "undelivered or unrouted"
        click.echo(
            f"No {state} messages since then: nothing to send again. Cancelled ones are replayed by their SID only."
        )
        return
    if dry_run and not as_json:
        _preview(store, chosen, current=current)
        return
    if not as_json:
        choice.agree("Replay", chosen, grave=False)
    results = ["chosen"] * len(chosen)
    if not dry_run:
        watch = watched("Replaying", chosen, len(chosen), shown=not as_json)
        results = [_put_back(store, each, current=current) for each in watch]
        queued = [
            (each.account_sid, each.message_sid)
            for each, result in zip(chosen, results, strict=True)
            if result == "queued"
        ]
        note(store, queued, "replayed", by=_BY, route=route)
    if as_json:
        print_json(
            [
                {"sid": each.message_sid, "account_sid": each.account_sid, "result": result}
                for each, result in zip(chosen, results, strict=True)
            ]
        )
        sys.exit(0 if set(results) <= {"queued", "chosen"} else 1)
    _report(chosen, results)


def _preview(store: Store, chosen: Sequence[Found], *, current: bool) -> None:
    now = time.time()
    rows = [
        (each.message_sid, word(each.state), age(each.accepted_at, now), _goes_to(store, each, current=current))
        for found in chosen
        if (each := store.deliveries.get(found.account_sid, found.message_sid))
    ]
    print_table(("SID", "STATUS", "AGE", "WOULD GO TO"), rows, whole=("SID", "STATUS", "AGE"))
    click.echo(f"{len(rows)} would be sent again, in this order; nothing was done. {REPLAY_DOES_NOT_ANSWER}.")


def _goes_to(store: Store, delivery: Delivery, *, current: bool) -> str:
    sid = delivery.flow_sid
    if delivery.raw and (current or not sid):
        today = route_of_today(delivery, store, likelihood).flow
        sid = today.sid if today else ""
    flow = store.flows.get(delivery.account_sid, sid) if sid else None
    if flow is None:
        return f"no flow: {sid} was removed" if sid else "no current flow takes it"
    stopped = "" if flow.enabled else "a disabled flow: "
    return short(f"{stopped}{flow.friendly_name}: {integration_line(flow)}", 80)


def _put_back(store: Store, found: Found, *, current: bool) -> str:
    delivery = store.deliveries.get(found.account_sid, found.message_sid)
    return put_back(delivery, store, likelihood, current=current, by=_BY) if delivery else "missing"


def _report(chosen: Sequence[Found], results: Sequence[str]) -> None:
    failures = [
        f"{each.message_sid}: {NOT_REPLAYED.get(result, result)}"
        for each, result in zip(chosen, results, strict=True)
        if result != "queued"
    ]
    queued = len(chosen) - len(failures)
    click.echo(f"{queued} of {len(chosen)} queued again. Show the results: router deliveries list")
    click.echo(f"{REPLAY_DOES_NOT_ANSWER}.")
    for failure in failures[:_SHOWN]:
        click.echo(f"  {failure}", err=True)
    if failures:
        more = f"; {len(failures) - _SHOWN} of them are not shown" if len(failures) > _SHOWN else ""
        raise RouterError(f"{len(failures)} could not be sent again{more}")
