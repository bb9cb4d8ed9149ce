"""`router deliveries`: what happened to messages."""

import heapq
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Final

import click
from rich.text import Text

from router.cli.context import load_settings_for_cli
from router.cli.deliveries.replay import replay
from router.cli.deliveries.tail import tail
from router.cli.output import (
    Facts,
    age,
    ago,
    clean,
    flow_line,
    print_facts,
    print_json,
    print_table,
    short,
    spoken,
    word,
)
from router.cli.reach import (
    account_option,
    find_delivery,
    json_option,
    open_store,
    since_option,
    some_accounts,
    with_names,
)
from router.flow.flex_flow import FlexFlow
from router.message.inbound import Message, Raw
from router.queries.deliveries import DEAD, STATES, Wanted, describe, waiting_for
from router.settings import Account
from router.store import Store
from router.store.deliveries import Delivery

_COLUMNS: Final = ("SID", "STATUS", "AGE", "FROM", "TO", "TEXT")
_TEXT: Final = 48  # characters of a text in a list


@click.group()
def deliveries() -> None:
    """See what happened to messages, and send them again.

    \b
      router deliveries list --status undelivered --since 1h
      router deliveries show SM…
      router deliveries replay --status undelivered --since 1h
      router deliveries tail
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines


deliveries.add_command(replay)
deliveries.add_command(tail)


@deliveries.command("list")
@click.option("--status", type=click.Choice(STATES), help="Only those in this state.")
@click.option("--from", "from_", default="", help="Only those of this customer.")
@click.option("--to", default="", help="Only those to this address.")
@click.option("--flow", default="", metavar="FO…", help="Only those of this Flex Flow.")
@since_option
@click.option("--limit", type=click.IntRange(1), default=20, help="How many. [20]")
@account_option
@json_option
def list_(  # noqa: PLR0913 - one for each option
    *,
    status: str | None,
    from_: str,
    to: str,
    flow: str,
    since: int | None,
    limit: int,
    account: str | None,
    as_json: bool,
) -> None:
    """List messages and what became of them, the newest first.

    \b
      router deliveries list --status unrouted
      router deliveries list --from whatsapp:+14155550100 --since 2d
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    settings = load_settings_for_cli()
    wanted = Wanted(status or "", from_, to, flow)
    with open_store(settings) as store:
        found = list(islice(_newest(store, some_accounts(settings, account), wanted, since or 0), limit))
    if as_json:
        print_json([describe(each) for each in found])
    elif found:
        now = time.time()
        print_table(_COLUMNS, [_row(each, now) for each in found], whole=_COLUMNS[:3], spare=("TO",))
        if len(found) == limit:
            click.echo(f"The newest {limit}; there may be more. Choose with --limit, --status, --from, --to, --since.")
    elif since or wanted != Wanted():
        click.echo("No such messages. Without these options `router deliveries list` shows the newest of all.")
    else:
        click.echo('No messages yet. Send one with: router simulate sms --body "Hola"')


def _newest(store: Store, accounts: Sequence[Account], wanted: Wanted, since: int) -> Iterator[Delivery]:
    """Walk the wanted deliveries of some accounts, the newest first."""
    if wanted.status in DEAD:
        # They are few and have an index of their own, by when they died: which is never before they were accepted.
        dead = [each for account in accounts for each in store.deliveries.newest(account.sid, after=since, dead=True)]
        chosen = [each for each in dead if each.accepted_at >= since and wanted.takes(each)]
        return iter(sorted(chosen, key=_accepted, reverse=True))
    walks = [store.deliveries.newest(account.sid, after=since) for account in accounts]
    return (each for each in heapq.merge(*walks, key=_accepted, reverse=True) if wanted.takes(each))


def _accepted(delivery: Delivery) -> int:
    return delivery.accepted_at


def _row(delivery: Delivery, now: float) -> tuple[str | Text, ...]:
    shown = describe(delivery)
    text = shown["body"] or (f"({shown['num_media']} attached)" if shown["num_media"] else "")
    return (
        delivery.message_sid,
        word(delivery.state),
        age(delivery.accepted_at, now),
        shown["from"] or "",
        shown["to"] or "",
        short(f"! {delivery.error}" if delivery.error else text, _TEXT),
    )


@deliveries.command()
@click.argument("sid", metavar="SM…")
@account_option
@json_option
def show(*, sid: str, account: str | None, as_json: bool) -> None:
    """Show all that is known of one message: text, route, attempts, answer."""
    settings = load_settings_for_cli()
    with open_store(settings) as store:
        delivery = find_delivery(store, some_accounts(settings, account), sid)
        flow = store.flows.get(delivery.account_sid, delivery.flow_sid) if delivery.flow_sid else None
        waits = waiting_for(delivery, store)
        steps = [] if as_json else with_names(delivery.why, delivery.account_sid, store)
    if as_json:
        print_json(describe(delivery) | {"waiting_for": waits})
    else:
        print_facts(_all_of(delivery, steps, flow, waits, time.time()))


def _all_of(delivery: Delivery, steps: Sequence[str], flow: FlexFlow | None, waits: Sequence[str], now: float) -> Facts:
    shown = describe(delivery)
    message = Message.parse(Raw.unpack(delivery.raw).fields()) if delivery.raw else None
    status = word(delivery.state)
    if delivery.error:
        status.append(f": {clean(delivery.error)}")
    facts: Facts = [
        ("SID", delivery.message_sid),
        ("Account", delivery.account_sid),
        ("Accepted", f"{shown['date_created']}  ({ago(delivery.accepted_at, now)})"),
        ("Message", f"{message.channel}  {message.from_} → {message.to}" if message else "has expired"),
    ]
    if message:
        facts.append(("Body", message.body or "(empty)"))
    if message and message.media:
        facts.append(("Media", [f"{each.content_type}  {each.url}" for each in message.media]))
    facts.append(("Route", [*steps, *_destination(delivery, flow)]))
    if delivery.language:
        facts.append(("Language", delivery.language))
    facts.append(("Status", status))
    if waits:
        facts.append(("Waits for", waits))
    tries = [
        f"{delivery.attempts} attempt{'s' * (delivery.attempts != 1)}",
        f"replayed {delivery.round} x" if delivery.round else "",
        f"came {delivery.duplicates + 1} times" if delivery.duplicates else "",
        "recovered from Twilio" if delivery.recovered else "",
    ]
    facts.append(("Tries", ", ".join(each for each in tries if each)))
    if delivery.history:
        facts.append(("History", [_attempt(line) for line in delivery.history]))
    if delivery.answer:
        by = f"by {delivery.answered}" if delivery.answered else "given to nobody"
        facts.append((f"Answer, {by}", spoken(delivery.answer) or [delivery.answer.decode(errors="replace")]))
    if delivery.replied:
        facts.append(("Late answer", delivery.replied))
    return facts


def _attempt(line: str) -> str:
    """Write a line of the history, `<number> <outcome> <status> <seconds> <reason>`, for people."""
    number, outcome, status, seconds, reason = [*line.split(" ", 4), "", "", "", ""][:5]
    answered = f", answered {status}" if status not in {"", "-"} else ""
    return f"{number}. {outcome}{answered} after {seconds} s{f': {reason}' if reason else ''}"


def _destination(delivery: Delivery, flow: FlexFlow | None) -> list[str]:
    if not delivery.flow_sid:
        return []
    return [f"→ {flow_line(flow)}" if flow else f"→ {delivery.flow_sid}, which was removed"]
