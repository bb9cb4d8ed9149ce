"""`router deliveries replay`: sending messages again, in the order in which they were accepted."""

import sys
import time
from collections.abc import Sequence
from typing import Final

import click

from router.cli.here import Here, likelihood, with_here
from router.cli.options import json_option, since_option
from router.cli.output import age, integration_line, print_json, print_table, short, watched, word
from router.errors import RouterError
from router.queries.deliveries import DEAD, route_of_today
from router.queries.deliveries import replay as put_back
from router.settings import Account
from router.store import Store
from router.store.deliveries import Delivery

_SHOWN: Final = 20  # of many messages that could not be replayed
_WHY_NOT: Final = {
    "busy": "it is on its way already",
    "gone": "its body has expired",
    "missing": "its record has expired",
    "unrouted": "no flow of today takes it; `router explain` says why",
}

Chosen = Sequence[tuple[str, str]]
"""Account and message SIDs: not the messages themselves, for there may be very many."""


@click.command()
@click.argument("sids", metavar="[SM…]...", nargs=-1)
@click.option("--status", type=click.Choice(sorted(DEAD)), help="All in this state, in place of SIDs.")
@since_option
@click.option(
    "--route",
    type=click.Choice(("original", "current")),
    default="original",
    help="To the flow that it went to, or to the one that the flows of today choose. [original]",
)
@click.option("--dry-run", is_flag=True, help="Send nothing; say what would be sent again, and where to.")
@json_option
@with_here
def replay(  # noqa: PLR0913 - one for each option
    here: Here,
    *,
    sids: tuple[str, ...],
    status: str | None,
    since: int | None,
    route: str,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Send messages again, in the order in which they were accepted.

    \b
      router deliveries replay SM…
      router deliveries replay --status undelivered --since 1h --dry-run
      router deliveries replay --status unrouted --since 2d

    A message that never had a flow goes by the flows of today. The exit status is 1 when one could not be replayed.
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    if bool(sids) == bool(status):
        raise click.UsageError("Say which: SIDs, or --status undelivered, or --status unrouted.")
    if status and since is None:
        raise click.UsageError("--status needs --since, as --since 1h: how far back to go.")
    store, current = here.store, route == "current"
    chosen = _dead(store, here.accounts, status, since or 0) if status else _named(here, sids)
    if as_json:
        _for_a_program(store, chosen, current=current, dry_run=dry_run)
    elif not chosen:
        click.echo(f"No {status} messages among those accepted since then: nothing to send again.")
    elif dry_run:
        _foretell(store, chosen, current=current)
    else:
        _replay(store, chosen, current=current)


def _named(here: Here, sids: Sequence[str]) -> Chosen:
    found = sorted((here.delivery(sid) for sid in dict.fromkeys(sids)), key=lambda each: each.accepted_at)
    return [(each.account_sid, each.message_sid) for each in found]


def _dead(store: Store, accounts: Sequence[Account], status: str, since: int) -> Chosen:
    found = [
        (each.accepted_at, each.account_sid, each.message_sid)
        for account in accounts
        for each in store.deliveries.oldest(account.sid, after=since)
        if each.accepted_at >= since and each.state == status
    ]
    found.sort(key=lambda each: each[0])  # the store has them by when they died
    return [(account_sid, message_sid) for _, account_sid, message_sid in found]


def _foretell(store: Store, chosen: Chosen, *, current: bool) -> None:
    now = time.time()
    rows = [
        (each.message_sid, word(each.state), age(each.accepted_at, now), _goes_to(store, each, current=current))
        for account_sid, message_sid in chosen
        if (each := store.deliveries.get(account_sid, message_sid))
    ]
    print_table(("SID", "STATUS", "AGE", "WOULD GO TO"), rows, whole=("SID", "STATUS", "AGE"))
    click.echo(f"{len(rows)} would be sent again, in this order; nothing was done.")


def _goes_to(store: Store, delivery: Delivery, *, current: bool) -> str:
    sid = delivery.flow_sid
    if delivery.raw and (current or not sid):
        today = route_of_today(delivery, store, likelihood).flow
        sid = today.sid if today else ""
    flow = store.flows.get(delivery.account_sid, sid) if sid else None
    if flow is None:
        return f"no flow: {sid} was removed" if sid else "no flow of today takes it"
    stopped = "" if flow.enabled else "a disabled flow: "
    return short(f"{stopped}{flow.friendly_name}: {integration_line(flow)}", 80)


def _for_a_program(store: Store, chosen: Chosen, *, current: bool, dry_run: bool) -> None:
    results = ["chosen"] * len(chosen) if dry_run else [_put_back(store, each, current=current) for each in chosen]
    print_json(
        [
            {"sid": message_sid, "account_sid": account_sid, "result": result}
            for (account_sid, message_sid), result in zip(chosen, results, strict=True)
        ]
    )
    sys.exit(0 if set(results) <= {"queued", "chosen"} else 1)


def _put_back(store: Store, chosen: tuple[str, str], *, current: bool) -> str:
    delivery = store.deliveries.get(*chosen)
    return put_back(delivery, store, likelihood, current=current) if delivery else "missing"


def _replay(store: Store, chosen: Chosen, *, current: bool) -> None:
    """Replay one after the other: a conversation keeps the order in which its messages are put back."""
    failures = []
    for each in watched("Replaying", chosen, len(chosen)):
        result = _put_back(store, each, current=current)
        if result != "queued":
            failures.append(f"{each[1]}: {_WHY_NOT.get(result, result)}")
    queued = len(chosen) - len(failures)
    click.echo(f"{queued} of {len(chosen)} queued again. See what becomes of them: router deliveries list")
    for failure in failures[:_SHOWN]:
        click.echo(f"  {failure}", err=True)
    if failures:
        more = f"; {len(failures) - _SHOWN} of them are not shown" if len(failures) > _SHOWN else ""
        raise RouterError(f"{len(failures)} could not be sent again{more}")
