"""Messages: the list with its filters, and the page of one message with its timeline and actions."""

import datetime as dt
import hashlib
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any, Final

from flask import Blueprint, Response, request

from router.message.channel import CHANNELS
from router.message.inbound import Message
from router.message.raw import Raw
from router.queries.control import ACTIONS, DONE_AS, note
from router.queries.delivery_filter import STATES, Wanted
from router.queries.delivery_json import attempt_of, describe, target_excerpt
from router.queries.delivery_page import Place, read_page_of
from router.queries.replay import NOT_REPLAYED, replay
from router.queries.waiting import waiting_for
from router.sid import is_sid
from router.store import Store
from router.store.deliveries import Delivery
from router.web.console.desk import Desk, see, view
from router.web.console.guard import Refused
from router.web.console.page import page, parts

SIZE: Final = 50
# The maximum number of flows searched for a target; of messages searched on each side of a message, and shown.
_FLOWS: Final = 5000
_AROUND: Final = 300
_NEIGHBOURS: Final = 4
_LANE: Final = 20
# Held messages have the state `queued`; pages show and filter them as a state.
HELD: Final = "held"
SHOWN_STATES: Final = (*STATES, HELD)
FILTERS: Final = ("status", "from", "to", "flow", "channel", "language", "target", "error", "after", "before")


def register(console: Blueprint, desk: Desk) -> None:
    """Add the routes."""
    store = desk.store

    @console.get("/<account_sid>/messages")
    def messages() -> Response:
        filters = read_filters(request.args)
        q = request.args.get("q", "").strip()[:64]
        if is_sid(q, "SM", "MM"):
            return see(f"messages/{q}")
        mark = hashlib.sha256(f"{store.deliveries.mark(view().sid)} {view().reveals}".encode()).hexdigest()[:16]
        if request.headers.get("X-Live") and mark in request.if_none_match:
            return Response(status=304)
        wanted, wrong = read_wanted(filters, store)
        found = read_page_of(
            store,
            view().sid,
            wanted,
            size=SIZE,
            after=read_time(filters, "after", wrong),
            before=read_time(filters, "before", wrong),
            last=_place(request.args.get("page", ""), wrong),
        )
        response = page(
            "messages.html",
            filters=filters,
            q=q,
            wrong=wrong,
            rows=[row(each) for each in found.deliveries],
            names=names((each.flow_sid for each in found.deliveries), store),
            looked=found.looked,
            until=found.until,
            following=f"{found.last[0]}-{found.last[1]}" if found.last else "",
            first="page" not in request.args,
            states=SHOWN_STATES,
            channels=CHANNELS,
        )
        response.set_etag(mark)
        return response

    @console.get("/<account_sid>/messages/<sid>")
    def message(sid: str) -> Response:
        delivery = _find(store, sid)
        parsed = Message.unpack(delivery.raw) if delivery.raw else None
        waits = waiting_for(delivery, store)
        return page(
            "message.html",
            delivery=delivery,
            it=describe(delivery),
            message=parsed,
            parameters=Raw.unpack(delivery.raw).fields() if delivery.raw else [],
            result=request.args.get("result", "")[:400],
            done="done" in request.args,
            refused=NOT_REPLAYED.get(request.args.get("why", ""), ""),
            attempts=[attempt_of(line) for line in delivery.history],
            target=target_excerpt(delivery),
            waits=waits,
            lane=store.deliveries.lane(delivery, _LANE),
            around=[row(each) for each in _around(delivery, store)],
            flow=store.flows.get(delivery.account_sid, delivery.flow_sid) if delivery.flow_sid else None,
            names=names_in([*delivery.why, *waits], store),
        )

    @console.post("/<account_sid>/messages/<sid>/replay")
    def replay_one(sid: str) -> Response:
        route = request.form.get("route", "original")
        result = replay(_find(store, sid), store, desk.likelihood, current=route == "current", by=view().who)
        if result != "queued":
            return see(f"messages/{sid}", why=result)
        note(store, [(view().sid, sid)], "replayed", by=view().who, route=route)
        return see(f"messages/{sid}", notice="replayed")

    @console.post("/<account_sid>/messages/<sid>/control")
    def control(sid: str) -> Response:
        action = request.form.get("do", "")
        if action not in ACTIONS:
            reason = f"{action[:40]!r} is not one of {', '.join(ACTIONS)}. Nothing was changed."
            raise Refused(400, "No such action", reason)
        done = ACTIONS[action](_find(store, sid), store, by=view().who)
        if done.changed:
            note(store, [(view().sid, sid)], DONE_AS[action], by=view().who)
        return see(f"messages/{sid}", result=done.outcome, done="1" if done.done else "")


def read_filters(values: Mapping[str, str]) -> dict[str, str]:
    """Return the filters of a query, truncated to a length that no valid value exceeds."""
    return {name: values.get(name, "").strip()[:256] for name in FILTERS}


def read_wanted(filters: Mapping[str, str], store: Store) -> tuple[Wanted, list[str]]:
    """Return the filter of a query, and its errors."""
    wrong = []
    status = filters["status"]
    if status and status not in SHOWN_STATES:
        wrong.append(f"Status is one of {', '.join(SHOWN_STATES)}, not {status[:40]!r}.")
    if filters["channel"] and filters["channel"] not in CHANNELS:
        wrong.append(f"Channel is one of {', '.join(CHANNELS)}, not {filters['channel'][:40]!r}.")
    flows = None
    if target := filters["target"].lower():
        walked = islice(store.flows.walk(view().sid), _FLOWS)
        flows = frozenset(flow.sid for flow in walked if target in f"{flow.target} {flow.integration.url}".lower())
    wanted = Wanted(
        status="queued" if status == HELD else status,
        held=True if status == HELD else None,
        from_=filters["from"],
        to=filters["to"],
        flex_flow_sid=filters["flow"],
        channel=filters["channel"],
        language=filters["language"],
        error=filters["error"],
        flows=flows,
        any_channel=True,
    )
    return wanted, wrong


def read_time(filters: Mapping[str, str], name: str, wrong: list[str]) -> int:
    """Return a time of a query in ms since 1970, 0 for none; append an error to `wrong`."""
    text = filters[name]
    if not text:
        return 0
    try:
        moment = dt.datetime.fromisoformat(text)
        return int((moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)).timestamp() * 1000)
    except (ValueError, OverflowError):
        wrong.append(f"{name.capitalize()} must be a time in UTC such as 2026-05-31T22:00, not {text[:40]!r}.")
        return 0


def _place(text: str, wrong: list[str]) -> Place | None:
    time, _, sid = text.partition("-")
    if text and not (time.isascii() and time.isdecimal() and len(time) < 16 and is_sid(sid, "SM", "MM", "IM")):  # noqa: PLR2004 - digits of any time in ms
        wrong.append("This page does not exist; the first page is shown.")
        return None
    return (int(time), sid) if text else None


def _find(store: Store, sid: str) -> Delivery:
    delivery = store.deliveries.get(view().sid, sid) if is_sid(sid, "SM", "MM", "IM") else None
    if delivery is None:
        raise Refused(404, "No such message", f"This account has no record of {sid[:40]!r}; it may have expired.")
    return delivery


def row(delivery: Delivery) -> dict[str, Any]:
    """Return the values of a message that lists show."""
    message = Message.unpack(delivery.raw) if delivery.raw else None
    return {
        "sid": delivery.message_sid,
        "state": HELD if delivery.held else delivery.state,
        "at": delivery.accepted_at,
        "from": message.from_ if message else "",
        "to": message.to if message else "",
        "channel": message.channel if message else "",
        "body": message.body if message else "",
        "media": message.num_media if message else 0,
        "flow": delivery.flow_sid,
        "language": delivery.language,
        "attempts": delivery.attempts,
        "round": delivery.round,
        "error": delivery.error,
        "expired": message is None,
    }


def names(sids: Iterable[str], store: Store) -> dict[str, str]:
    """Return the names of flows."""
    return {sid: flow.friendly_name for sid in set(sids) if sid and (flow := store.flows.get(view().sid, sid))}


def names_in(lines: Iterable[str], store: Store) -> dict[str, str]:
    """Return the names of the flows in the steps of a route."""
    return names((sid for line in lines for _, sid in parts(line) if is_sid(sid, "FO")), store)


def _around(delivery: Delivery, store: Store) -> list[Delivery]:
    """Return the messages of the same conversation just before and after a message, the newest first."""
    at, sid = delivery.accepted_at, delivery.account_sid
    newer = islice(store.deliveries.newest(sid, after=at), _AROUND)
    older = islice(store.deliveries.newest(sid, before=at), _AROUND)
    same = [each for each in newer if each.lane == delivery.lane]
    return [*same[-_NEIGHBOURS - 1 :], *islice((each for each in older if each.lane == delivery.lane), _NEIGHBOURS)]
