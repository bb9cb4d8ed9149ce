"""One message: its page with timeline and neighbours, and the actions on it."""

from itertools import islice
from typing import Final

from flask import Blueprint, Response, request

from router.message.inbound import Message
from router.message.raw import Raw
from router.queries.control import ACTIONS, DONE_AS, note
from router.queries.delivery_json import attempt_of, describe, target_excerpt
from router.queries.replay import NOT_REPLAYED, replay
from router.queries.waiting import waiting_for
from router.sid import is_sid
from router.store import Store
from router.store.deliveries import Delivery
from router.web.console.desk import Desk, see, view
from router.web.console.guard import Refused
from router.web.console.message_rows import names_in, row
from router.web.console.page import page

# The maximum number of messages searched on each side of a message, of those shown there, and of those in its lane.
_AROUND: Final = 300
_NEIGHBOURS: Final = 4
_LANE: Final = 20


def register(console: Blueprint, desk: Desk) -> None:
    """Add the routes."""
    store = desk.store

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


def _find(store: Store, sid: str) -> Delivery:
    delivery = store.deliveries.get(view().sid, sid) if is_sid(sid, "SM", "MM", "IM") else None
    if delivery is None:
        raise Refused(404, "No such message", f"This account has no record of {sid[:40]!r}; it may have expired.")
    return delivery


def _around(delivery: Delivery, store: Store) -> list[Delivery]:
    """Return the messages of the same conversation just before and after a message, the newest first."""
    at, sid = delivery.accepted_at, delivery.account_sid
    newer = islice(store.deliveries.newest(sid, after=at), _AROUND)
    older = islice(store.deliveries.newest(sid, before=at), _AROUND)
    same = [each for each in newer if each.lane == delivery.lane]
    return [*same[-_NEIGHBOURS - 1 :], *islice((each for each in older if each.lane == delivery.lane), _NEIGHBOURS)]
