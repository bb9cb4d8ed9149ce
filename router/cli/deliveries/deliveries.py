"""`router deliveries`: lists and shows messages and their deliveries."""

import time
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any, Final

import click
from rich.text import Text

from router.cli.deliveries.control import CONTROLS
from router.cli.deliveries.replay import replay
from router.cli.deliveries.tail import tail
from router.cli.deliveries.wanted import text_of, times_of, wanted_options
from router.cli.here import Here, with_here
from router.cli.options import Group, json_option, since_option
from router.cli.output import Facts, flow_line, print_facts, print_json, print_table, short, target_facts, word
from router.diagnosis.twilio_view import spoken
from router.flow.flex_flow import FlexFlow
from router.message.inbound import Message
from router.printable import age, ago, clean, number
from router.queries.delivery_filter import Wanted, newest
from router.queries.delivery_json import describe
from router.queries.waiting import waiting_for
from router.store.deliveries import Delivery

_COLUMNS: Final = ("SID", "STATUS", "AGE", "FROM", "TO", "TEXT")
_TEXT: Final = 48  # characters of a text in a list
# The commands that `show` suggests, by the state of the message; `held` counts as a state.
_NEXT: Final[Mapping[str, tuple[str, ...]]] = {
    "queued": ("hurry", "hold", "cancel"),
    "held": ("release", "cancel"),
    "undelivered": ("replay",),
    "unrouted": ("replay",),
}


@click.group(cls=Group)
def deliveries() -> None:
    """Show what happened to messages, and send them again, now, later, or not at all.

    \b
      router deliveries list --status undelivered --since 1h
      router deliveries show SM…
      router deliveries replay --status undelivered --since 1h
      router deliveries hurry SM…
      router deliveries tail
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines


for command in (replay, *CONTROLS, tail):
    deliveries.add_command(command)


@deliveries.command("list")
@wanted_options
@since_option
@click.option("--limit", type=click.IntRange(1), default=20, metavar="N", help="Only the newest N. [20]")
@json_option
@with_here
def list_(here: Here, *, wanted: Wanted, since: int | None, limit: int, as_json: bool) -> None:
    """List messages with the state of their delivery, the newest first.

    \b
      router deliveries list --status unrouted
      router deliveries list --from whatsapp:+14155550100 --since 2d
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    wanted = here.wanted(wanted)
    found = list(islice(newest(here.store, here.accounts, wanted, since or 0), limit))
    if as_json:
        print_json([describe(each) for each in found])
    elif found:
        now = time.time()
        print_table(_COLUMNS, [_row(each, now) for each in found], whole=_COLUMNS[:3], spare=("TO",))
        if len(found) == limit:
            click.echo(f"The newest {limit}; there may be more. Choose with --limit, --status, --from, --to, --since.")
    elif since or wanted != Wanted():
        click.echo(
            "No messages match. Without options `router deliveries list` shows the newest messages.\n"
            "A message that the router has not accepted is never listed: `router doctor` shows refused requests, and\n"
            "`router recover --since 2h --dry-run` asks Twilio what the router did not get."
        )
    else:
        click.echo('No messages yet. Send one with: router simulate sms --body "Hola"')


def _row(delivery: Delivery, now: float) -> tuple[str | Text, ...]:
    shown = describe(delivery)
    return (
        delivery.message_sid,
        _status(delivery),
        age(delivery.accepted_at, now),
        shown["from"] or "",
        shown["to"] or "",
        short(f"! {delivery.error}" if delivery.error else text_of(shown), _TEXT),
    )


@deliveries.command()
@click.argument("sid", metavar="SM…")
@json_option
@with_here
def show(here: Here, *, sid: str, as_json: bool) -> None:
    """Show everything about one message: text, route, attempts, answer."""
    delivery = here.delivery(sid)
    waits = waiting_for(delivery, here.store)
    if as_json:
        print_json(describe(delivery) | {"waiting_for": waits})
        return
    flow = here.store.flows.get(delivery.account_sid, delivery.flow_sid) if delivery.flow_sid else None
    print_facts(_all_of(delivery, here.with_names(delivery.why, delivery.account_sid), flow, waits, time.time()))


def _all_of(delivery: Delivery, steps: Sequence[str], flow: FlexFlow | None, waits: Sequence[str], now: float) -> Facts:
    shown = describe(delivery)
    message = Message.unpack(delivery.raw) if delivery.raw else None
    status = _status(delivery)
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
    tries = [number(delivery.attempts, "attempt"), *times_of(delivery), *["recovered from Twilio"] * delivery.recovered]
    facts.append(("Tries", ", ".join(tries)))
    if delivery.history:
        facts.append(("History", [_attempt(each) for each in shown["history"]]))
    if delivery.actions:
        actions = [f"{each['action']} by {each['by']}, {each['date_created']}" for each in shown["actions"]]
        facts.append(("Actions", actions))
    if delivery.answer:
        by = f"by {delivery.answered}" if delivery.answered else "not given to Twilio"
        facts.append((f"Answer, {by}", spoken(delivery.answer) or [delivery.answer.decode(errors="replace")]))
    facts += target_facts(delivery)
    if delivery.replied:
        facts.append(("Answer" if delivery.answered == "chat" else "Late answer", delivery.replied))
    return [*facts, *_next(delivery)]


def _next(delivery: Delivery) -> list[tuple[str, list[str]]]:
    """Return the line with the commands that can follow, if there are any."""
    verbs = _NEXT.get("held" if delivery.held else delivery.state, ())
    return [("Next", [f"router deliveries {verb} {delivery.message_sid}" for verb in verbs])] if verbs else []


def _status(delivery: Delivery) -> Text:
    return word(delivery.state).append(", held") if delivery.held else word(delivery.state)


def _attempt(attempt: Mapping[str, Any]) -> str:
    """Return one attempt of the history as a line of text."""
    answered = f", answered {attempt['status']}" if attempt["status"] else ""
    reason = f": {attempt['reason']}" if attempt["reason"] else ""
    return f"{attempt['attempt']}. {attempt['outcome']}{answered} after {attempt['seconds']} s{reason}"


def _destination(delivery: Delivery, flow: FlexFlow | None) -> list[str]:
    if not delivery.flow_sid:
        return []
    return [f"→ {flow_line(flow)}" if flow else f"→ {delivery.flow_sid}, which was removed"]
