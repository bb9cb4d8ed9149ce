"""`router recover`: accepts messages that Twilio received and that never reached the router."""

import sys
import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Final

import click

from router.cli.confirm import confirm, refuse_to_ask_a_program, yes_option
from router.cli.here import Here, with_here
from router.cli.options import json_option, moment
from router.cli.output import flow_line, print_json, print_table, short
from router.cli.progress import watched
from router.delivery.intake import Intake
from router.errors import RouterError
from router.iso_time import utc
from router.printable import age, number
from router.queries.likelihood import likelihood
from router.queries.recovery import Lost, accept, lost
from router.settings import Account, Settings
from router.store import Store
from router.twilio_api.account import TwilioApi

# The maximum number of messages to fetch for an account; for more, the user must choose a later --since.
_MOST: Final = 50_000
_SHOWN: Final = 50
# Milliseconds that our clock may differ from Twilio's: a message whose record just expired must not be accepted again.
_MARGIN: Final = 60_000
_TEXT: Final = 40


@click.command()
@click.option(
    "--since", type=moment, metavar="AGE|TIME", required=True, help="Since when: 15m, 2h, 1d ago, or an ISO time."
)
@click.option("--to", default="", help="Only messages to this address, as Twilio writes it: +1…, whatsapp:+1…")
@click.option("--dry-run", is_flag=True, help="Only show which messages are missing, and where they would go.")
@yes_option
@json_option
@with_here
def recover(here: Here, *, since: int, to: str, dry_run: bool, yes: bool, as_json: bool) -> None:  # noqa: PLR0913 - one for each option
    """Fetch messages from Twilio that never reached the router, and accept them in order.

    \b
      router recover --since 2h --dry-run
      router recover --since 2026-05-31T22:00 --to whatsapp:+14155238886

    Use it after a wrong URL, a changed auth token or an outage. The messages are accepted in the order of their dates,
    are marked as recovered, and are never accepted twice. The customers get no answer, because it would be hours
    late. Messages that no flow takes are left out, unless --to names their address. The exit status is 1 if a message
    could not be accepted.
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    settings = here.settings
    oldest = int((time.time() - settings.delivered_hours * 3600) * 1000)
    if since < oldest - _MARGIN:
        raise click.BadParameter(
            f"the router keeps the messages that it received for {settings.delivered_hours:g} hours "
            "(ROUTER_DELIVERED_HOURS), and cannot tell older messages from those it never received",
            param_hint="--since",
        )
    since = max(since, oldest + _MARGIN)
    refuse_to_ask_a_program(as_json=as_json, yes=yes, dry_run=dry_run)
    store = here.store
    found = [each for own in here.accounts for each in _find(settings, own, store, since, to)]
    found.sort(key=lambda missing: missing.inbound.created)
    chosen = [each for each in found if to or each.expected]
    if not as_json:
        _show(found, len(found) - len(chosen))
    if dry_run or not chosen:
        results = ["missing"] * len(chosen)
    else:
        if not yes:
            confirm(f"Accept {number(len(chosen), 'message')}?", refusal="nothing was accepted")
        intake = Intake(store, None, likelihood)
        results = [_accept(settings, each, intake) for each in watched("Accepting", chosen, len(chosen))]
    if as_json:
        print_json([_resource(each, result) for each, result in zip(chosen, results, strict=True)])
    elif not dry_run and chosen:
        _report(chosen, results)
    sys.exit(1 if any(result.startswith("failed") for result in results) else 0)


def _find(settings: Settings, account: Account, store: Store, since: int, to: str) -> list[Lost]:
    start = datetime.fromtimestamp(since // 1000, UTC)
    received = list(watched("Asking Twilio", islice(TwilioApi(settings, account).inbound(start, to), _MOST + 1)))
    if len(received) > _MOST:
        raise RouterError(f"Twilio received over {_MOST:,} messages since then: choose a later --since, or one --to")
    return lost(received, account.sid, store, likelihood, now=datetime.now(UTC))


def _accept(settings: Settings, missing: Lost, intake: Intake) -> str:
    """Accept one message; return `accepted`, `duplicate`, or why it failed."""
    account = settings.account(missing.message.account_sid)
    assert account is not None  # noqa: S101 - the message was fetched with this account
    try:
        return "accepted" if accept(missing, TwilioApi(settings, account), intake) else "duplicate"
    except RouterError as error:
        return f"failed: {error}"


def _show(found: Sequence[Lost], left_out: int) -> None:
    if not found:
        click.echo("Nothing is missing: the router knows every message that Twilio received since then.")
        return
    now = time.time()
    rows = [
        (
            each.inbound.sid,
            f"{age(int(each.inbound.created.timestamp() * 1000), now)} ago",
            each.message.from_,
            each.message.to,
            short(each.message.body or f"({each.inbound.num_media} attached)", _TEXT),
            short(flow_line(each.route.flow) if each.route.flow else f"no flow: {each.route.reason}", 80),
        )
        for each in found[:_SHOWN]
    ]
    print_table(("SID", "RECEIVED", "FROM", "TO", "TEXT", "WOULD GO TO"), rows, whole=("SID", "RECEIVED"))
    if len(found) > _SHOWN:
        click.echo(f"… and {len(found) - _SHOWN:,} more")
    click.echo(f"{len(found):,} missing.")
    if left_out:
        click.echo(f"No flow takes {left_out:,} of them: they are left out, unless --to names their address.")


def _report(chosen: Sequence[Lost], results: Sequence[str]) -> None:
    counts = Counter(result.partition(":")[0] for result in results)
    click.echo(", ".join(f"{count:,} {result}" for result, count in counts.items()) + ".")
    for each, result in zip(chosen, results, strict=True):
        if result.startswith("failed"):
            click.echo(f"  {each.inbound.sid}: {result}", err=True)
    if counts["accepted"]:
        click.echo("A running router delivers them now; show the results: router deliveries list")


def _resource(missing: Lost, result: str) -> dict[str, Any]:
    return {
        "sid": missing.inbound.sid,
        "account_sid": missing.message.account_sid,
        "from": missing.message.from_,
        "to": missing.message.to,
        "date_created": utc(missing.inbound.created.timestamp() * 1000),
        "flex_flow_sid": missing.route.flow.sid if missing.route.flow else None,
        "result": result,
    }
