"""Queries of messages, for the REST API and the command line: their route, their delivery, and their replay."""

import datetime as dt
import heapq
import math
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from router.delivery.yielder import Yielder
from router.message.address import canonical, channel_of
from router.message.inbound import Message, conversation_id
from router.message.raw import Raw
from router.message.twiml import NOT_TWIML, Excerpt
from router.queries.flow_warnings import unread
from router.routing.contact import NOTHING_KNOWN, contact_id, identities_of
from router.routing.resolve import Circumstance, Likelihood, Route, identities, preview
from router.settings import Account
from router.store import Store
from router.store.deliveries import Delivery

STATES: Final = ("queued", "sending", "delivered", "undelivered", "unrouted", "redirected")
# The states in the store's index of dead messages, which is independent of the account's other messages.
DEAD: Final = frozenset(("undelivered", "unrouted"))
NOT_REPLAYED: Final[Mapping[str, str]] = {
    "busy": "it already waits, is held, or is being sent",
    "gone": "it cannot be sent again: its body has expired",
    "missing": "its record has expired",
    "unrouted": "no flow takes it now: add a flow for its address, or change one",
}
"""Why `replay` did not put a message back, in REST, commands and console; the subject is the message."""


def route_of(
    message: Message, store: Store, likelihood: Likelihood, *, lang: str = "", at: float | None = None
) -> tuple[Route, bool]:
    """Return the route of a message, including its conversation's assignment; change nothing.

    `lang` is the language in the webhook's URL, `at` the assumed time of arrival, None for now.
    """
    entries = store.flows.entries(message.account_sid, identities(message))
    circumstance = Circumstance(time.time() if at is None else at, lang=lang, likelihood=likelihood, pause=Yielder())
    names = identities_of(message)
    contact = store.contacts.first(message.account_sid, names)
    known = {contact_id(each) for each in (*names, *([contact.identity] if contact else []))}
    lane = conversation_id(message.account_sid, message.channel, message.to, message.from_)
    return preview(
        message,
        entries,
        circumstance,
        known=contact.known if contact else NOTHING_KNOWN,
        assignment=contact.assignments.get(message.contact_identity) if contact else None,
        sticky_hours=store.contacts.sticky_hours,
        may_move=lambda: store.proxied.may_move(message.account_sid, known, lane),
    )


def explain(  # noqa: PLR0913 - a message, and the circumstances of its arrival
    account_sid: str,
    parameters: Mapping[str, str],
    store: Store,
    likelihood: Likelihood,
    *,
    lang: str = "",
    at: float | None = None,
) -> dict[str, Any]:
    """Return the route of a message with these parameters, with every step of the decision; without side effects.

    Raises NotAMessage if the parameters are not those of a message.
    """
    made_up = {"MessageSid": "SM" + 32 * "0", "Body": ""}
    message = Message.parse((made_up | dict(parameters) | {"AccountSid": account_sid}).items())
    route, kept = route_of(message, store, likelihood, lang=lang, at=at)
    behind = unread(account_sid, (flow for entry in route.entries for flow in entry.flows), store)
    return {
        "account_sid": account_sid,
        "channel": message.channel,
        "contact_identity": canonical(message.to, message.channel),
        "flex_flow_sid": route.flow.sid if route.flow else None,
        "friendly_name": route.flow.friendly_name if route.flow else None,
        "integration_type": route.flow.integration.type if route.flow else None,
        "response": route.flow.response if route.flow else None,
        "paused": route.flow.paused if route.flow else None,
        "language": route.language or None,
        "kept": kept,
        "reason": route.reason or None,
        "steps": [*route.steps, *([behind] if behind else [])],
    }


def replay(delivery: Delivery, store: Store, likelihood: Likelihood, *, current: bool, by: str) -> str:
    """Put a message back into its lane, for its own flow or, with `current`, for the one that the current flows select.

    A message that never had a flow is routed by the current flows. `by` names the actor in the change log.

    Returns `queued`; `busy` when it is already queued or being sent, or was sent again since it was read; `gone` when
    its body has expired; `missing` when its record has; `unrouted` when no flow accepts it.
    """
    flow_sid = language = ""
    if current or not delivery.flow_sid:
        if not delivery.raw:
            return "gone"
        route = route_of_today(delivery, store, likelihood)
        if route.flow is None:
            return "unrouted"
        flow_sid, language = route.flow.sid, route.language
    sid, lane = delivery.message_sid, delivery.lane
    return store.lanes.replay(delivery.account_sid, sid, lane, flow_sid, language, round_=delivery.round, by=by)


def route_of_today(delivery: Delivery, store: Store, likelihood: Likelihood) -> Route:
    """Return the route of a message by the current flows; its body must still be stored."""
    message = Message.parse(Raw.unpack(delivery.raw).fields())
    return route_of(message, store, likelihood, lang=delivery.lang)[0]


@dataclass(frozen=True, slots=True)
class Wanted:
    """A filter for deliveries; a criterion that is "" or None is ignored. Addresses may be written in any form.

    `error` is a part of the reason why an attempt failed, case-insensitive. `flows` are the only flows wanted; None
    for all of them. With `any_channel` a telephone number matches on every channel: `+34…` matches `whatsapp:+34…`.
    """

    status: str = ""
    from_: str = ""
    to: str = ""
    flex_flow_sid: str = ""
    held: bool | None = None
    channel: str = ""
    language: str = ""
    error: str = ""
    flows: frozenset[str] | None = None
    any_channel: bool = False

    def takes(self, delivery: Delivery) -> bool:
        """Return whether a delivery matches the filter."""
        error = self.error.lower()
        fits = (
            (not self.status or delivery.state == self.status)
            and self.held in (None, delivery.held)
            and (not self.flex_flow_sid or delivery.flow_sid == self.flex_flow_sid)
            and (self.flows is None or delivery.flow_sid in self.flows)
            and (not self.language or delivery.language.lower() == self.language.lower())
            and (not error or error in " ".join((delivery.error, *delivery.history)).lower())
        )
        if not fits or not (self.from_ or self.to or self.channel):
            return fits
        if not delivery.raw:
            return False
        message = Message.parse(Raw.unpack(delivery.raw).fields())
        return (not self.channel or message.channel == self.channel) and all(
            not wanted or self._is(wanted, canonical(address, message.channel))
            for wanted, address in ((self.from_, message.from_), (self.to, message.to))
        )

    def _is(self, wanted: str, address: str) -> bool:
        same = canonical(wanted, channel_of(wanted))
        return address == same or (self.any_channel and same[:1] == "+" and address.endswith(f":{same}"))


def newest(store: Store, accounts: Iterable[Account], wanted: Wanted, since: int) -> Iterator[Delivery]:
    """Iterate over the wanted deliveries of some accounts, the newest first; `since` is in ms since 1970."""
    sids = [account.sid for account in accounts]
    if wanted.status in DEAD:
        # They are few and have their own index, by the time at which they were given up.
        dead = (each for sid in sids for each in store.deliveries.newest(sid, after=since, dead=True))
        walk = iter(sorted((each for each in dead if each.accepted_at >= since), key=_accepted, reverse=True))
    else:
        walks = [store.deliveries.newest(sid, after=since) for sid in sids]
        walk = heapq.merge(*walks, key=_accepted, reverse=True)
    return (each for each in walk if wanted.takes(each))


def _accepted(delivery: Delivery) -> int:
    return delivery.accepted_at


def waiting_for(delivery: Delivery, store: Store) -> list[str]:
    """Return the reasons why a message waits, each as a phrase, the first obstacle first.

    Empty if it does not wait.
    """
    if delivery.held:
        holds = [each for each in map(action_of, delivery.actions) if each["action"] == "held"]
        who = f" by {holds[-1]['by']} since {holds[-1]['date_created']}" if holds else ""
        return [f"its release: it is held{who}, and its conversation goes on without it"]
    waiting = store.deliveries.waiting(delivery)
    if waiting is None:
        return []
    reasons = []
    if waiting.head != delivery.message_sid:
        reasons.append(f"{waiting.head} is before it in its conversation and is {waiting.head_state or 'gone'}")
    flow_sids = dict.fromkeys((waiting.head_flow_sid, delivery.flow_sid))
    paused = [sid for sid in flow_sids if sid and (flow := store.flows.get(delivery.account_sid, sid)) and flow.is_held]
    reasons += [f"{sid} is paused, so its messages wait" for sid in paused]
    if paused:
        return reasons
    flow = store.flows.get(delivery.account_sid, waiting.head_flow_sid) if waiting.head_flow_sid else None
    target = flow.target if flow else ""
    if (wrong := shut(delivery.account_sid, store).get(target)) is not None:
        reasons.append(f"its target {target} does not answer{wrong}; every 5 s one message is tried there")
    elif waiting.head == delivery.message_sid:
        if waiting.due_in:
            reasons.append(f"the next attempt, in {math.ceil(waiting.due_in / 1000)} s")
        else:
            reasons.append("a process with a free slot for its target")
    return reasons


def shut(account_sid: str, store: Store) -> dict[str, str]:
    """Return the targets of an account that do not answer, each with a phrase: how many processes report it.

    A process that serves the account reports it within about a second; a report is valid for 20 s.
    """
    processes = store.processes.serving(account_sid)
    found = Counter(target for each in processes for target in each.shuts(account_sid))
    several = len(processes) > 1
    return {
        target: f" (seen by {number} of {len(processes)} processes)" if several else ""
        for target, number in sorted(found.items())
    }


def not_twiml(delivery: Delivery) -> str:
    """Return why a target's answer could not be given to Twilio although the message is delivered; "" if it could."""
    reason = attempt_of(delivery.history[-1])["reason"] if delivery.history else None
    return reason if reason and reason.startswith(NOT_TWIML) else ""


def target_excerpt(delivery: Delivery) -> Excerpt | None:
    """Return the stored part of the last error answer; None if there is no such answer."""
    kind, _, text = delivery.excerpt.partition("\n")
    return Excerpt(kind, text) if delivery.excerpt else None


def describe(delivery: Delivery) -> dict[str, Any]:
    """Return a delivery for JSON, without its URL."""
    message = Message.parse(Raw.unpack(delivery.raw).fields()) if delivery.raw else None
    excerpt = target_excerpt(delivery)
    return {
        "sid": delivery.message_sid,
        "account_sid": delivery.account_sid,
        "status": delivery.state,
        "held": delivery.held,
        "from": message.from_ if message else None,
        "to": message.to if message else None,
        "channel": message.channel if message else None,
        "body": message.body if message else None,
        "num_media": message.num_media if message else None,
        "flex_flow_sid": delivery.flow_sid or None,
        "language": delivery.language or None,
        "route": list(delivery.why),
        "attempts": delivery.attempts,
        "replays": delivery.round,
        "duplicates": delivery.duplicates,
        "recovered": delivery.recovered,
        "in_doubt": delivery.doubt,
        "error": delivery.error or None,
        "history": [attempt_of(line) for line in delivery.history],
        "actions": [action_of(line) for line in delivery.actions],
        "answer": delivery.answer.decode(errors="replace") or None,
        "answered_by": delivery.answered or None,
        "late_answer": delivery.replied or None,
        "target_said": {"type": excerpt.type, "text": excerpt.text} if excerpt else None,
        "date_created": _date(delivery.accepted_at),
    }


def attempt_of(line: str) -> dict[str, Any]:
    """Parse a line of the history, `<number> <outcome> <status> <seconds> <reason>`; missing values are null."""
    number, outcome, status, seconds, reason = [*line.split(" ", 4), "", "", "", ""][:5]
    return {
        "attempt": int(number) if number.isdecimal() else None,
        "outcome": outcome or None,
        "status": int(status) if status.isdecimal() else None,
        "seconds": _float(seconds),
        "reason": reason or None,
    }


def action_of(line: str) -> dict[str, Any]:
    """Parse a line with an operator's action on a message, `<ms> <what> <who>`."""
    at, what, by = line.split(" ", 2)
    return {"action": what, "by": by, "date_created": _date(int(at))}


def _date(ms: int) -> str:
    return dt.datetime.fromtimestamp(ms / 1000, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _float(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
