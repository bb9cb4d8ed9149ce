"""`/v1/Deliveries`: every message and what became of it; and `/v1/Routes`: where a message would go, and why."""

import datetime as dt
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from flask import Blueprint, Response, json, request

from router.address import canonical, channel_of
from router.errors import NotAMessage
from router.message import Message, Raw
from router.routing import identities, resolve
from router.settings import Account, Settings
from router.sid import is_sid
from router.store import Store
from router.store.deliveries import Delivery
from router.web.auth import authenticate
from router.web.errors import ApiError, not_found
from router.web.page import base_url, page_body, read_page

STATES = ("queued", "sending", "delivered", "undelivered", "unrouted", "redirected")
# Records looked at for one filtered page. A filter that matches less often answers a short page with a link to go on.
LOOKS = 5_000


def blueprint(settings: Settings, store: Store) -> Blueprint:
    """Make the routes of deliveries and routes."""
    deliveries = Blueprint("deliveries", __name__, url_prefix="/v1")

    @deliveries.get("/Deliveries")
    def page() -> Response:
        account = authenticate(request, settings)
        return _json(_page(account, store, settings))

    @deliveries.get("/Deliveries/<sid>")
    def fetch(sid: str) -> Response:
        account = authenticate(request, settings)
        return _json(_resource(_find(account, sid, store), base_url(request, settings)))

    @deliveries.post("/Deliveries/<sid>")
    def replay(sid: str) -> Response:
        account = authenticate(request, settings)
        _replay(_find(account, sid, store), request.form, store)
        return _json(_resource(_find(account, sid, store), base_url(request, settings)))

    @deliveries.post("/Routes")
    def route() -> Response:
        account = authenticate(request, settings)
        return _json(explain(account, dict(request.form), store))

    return deliveries


def explain(account: Account, parameters: Mapping[str, str], store: Store) -> dict[str, Any]:
    """Say where a message with these parameters would go, and every step of why; without side effect."""
    made_up = {"AccountSid": account.sid, "MessageSid": "SM" + 32 * "0", "Body": ""}
    try:
        message = Message.parse(list((made_up | dict(parameters) | {"AccountSid": account.sid}).items()))
    except NotAMessage as error:
        raise ApiError(400, 20001, str(error)) from error
    route = resolve(message, store.flows.entries(account.sid, identities(message)))
    return {
        "account_sid": account.sid,
        "channel": message.channel,
        "contact_identity": canonical(message.to, message.channel),
        "flex_flow_sid": route.flow.sid if route.flow else None,
        "friendly_name": route.flow.friendly_name if route.flow else None,
        "integration_type": route.flow.integration.type if route.flow else None,
        "response": route.flow.response if route.flow else None,
        "paused": route.flow.paused if route.flow else None,
        "reason": route.reason or None,
        "steps": list(route.steps),
    }


def replay(delivery: Delivery, store: Store, *, current: bool) -> str:
    """Put a message back into its lane, to its own flow or to the one that today's flows choose.

    Returns `queued`, `busy`, `gone`, `missing`, or `unrouted` when no flow of today takes it.
    """
    flow_sid = ""
    if current or not delivery.flow_sid:
        if not delivery.raw:
            return "gone"
        message = Message.parse(Raw.unpack(delivery.raw).fields())
        route = resolve(message, store.flows.entries(delivery.account_sid, identities(message)))
        if route.flow is None:
            return "unrouted"
        flow_sid = route.flow.sid
    return store.lanes.replay(delivery.account_sid, delivery.message_sid, delivery.lane, flow_sid)


def _replay(delivery: Delivery, form: Mapping[str, str], store: Store) -> None:
    if form.get("Status") != "queued":
        raise ApiError(400, 20001, "Status must be queued: nothing else can be done to a delivery")
    route = form.get("Route", "original").lower()
    if route not in ("original", "current"):
        raise ApiError(400, 20001, f"Route must be original or current, not {route[:40]!r}")
    result = replay(delivery, store, current=route == "current")
    if result == "busy":
        raise ApiError(409, 20409, f"{delivery.message_sid} is {delivery.state} already")
    if result == "gone":
        raise ApiError(410, 20404, f"The body of {delivery.message_sid} has expired; it cannot be sent again")
    if result == "missing":
        raise not_found(request.path)
    if result == "unrouted":
        raise ApiError(409, 20409, "No flow takes this message; add one for its address first")


def _find(account: Account, sid: str, store: Store) -> Delivery:
    delivery = store.deliveries.get(account.sid, sid) if is_sid(sid, "SM", "MM") else None
    if delivery is None:
        raise not_found(request.path)
    return delivery


def _page(account: Account, store: Store, settings: Settings) -> dict[str, Any]:
    filters = {name: request.args[name] for name in _FILTERS if request.args.get(name)}
    asked = read_page(request.args)
    token = asked.token
    if token and not (token.isascii() and token.isdecimal() and len(token) < 16):  # noqa: PLR2004 - ms since 1970
        raise ApiError(400, 20001, "PageToken is not one that this list gave out")
    after, before = _time(filters, "DateCreatedAfter"), _time(filters, "DateCreatedBefore")
    upper = min((bound for bound in (int(token or 0), before) if bound), default=None)
    looked: list[Delivery] = []

    def matching() -> Iterator[Delivery]:
        for delivery in islice(store.deliveries.newest(account.sid, after=after, before=upper), LOOKS):
            looked.append(delivery)
            if matches(delivery, filters):
                yield delivery

    found = list(islice(matching(), asked.size))
    more = len(found) == asked.size or len(looked) == LOOKS
    base = base_url(request, settings)
    return page_body(
        "deliveries",
        [_resource(delivery, base) for delivery in found],
        asked,
        url=f"{base}/v1/Deliveries",
        filters=filters,
        next_token=str(looked[-1].accepted_at) if more and looked else "",
        previous_token="",
    )


_FILTERS = ("Status", "From", "To", "FlexFlowSid", "DateCreatedAfter", "DateCreatedBefore")


def matches(delivery: Delivery, filters: Mapping[str, str]) -> bool:
    """Say whether a delivery is among those that Status, From, To and FlexFlowSid ask for."""
    status, flow_sid = filters.get("Status"), filters.get("FlexFlowSid")
    if status and status not in STATES:
        raise ApiError(400, 20001, f"Status must be one of {', '.join(STATES)}")
    if (status and delivery.state != status) or (flow_sid and delivery.flow_sid != flow_sid):
        return False
    if not (filters.get("From") or filters.get("To")):
        return True
    message = Message.parse(Raw.unpack(delivery.raw).fields())
    return all(
        not wanted or canonical(wanted, channel_of(wanted)) == canonical(address, message.channel)
        for wanted, address in ((filters.get("From"), message.from_), (filters.get("To"), message.to))
    )


def _time(filters: Mapping[str, str], name: str) -> int:
    text = filters.get(name)
    if not text:
        return 0
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        raise ApiError(400, 20001, f"{name} must be an ISO 8601 time, as 2026-05-31T22:00:00Z") from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)).timestamp() * 1000)


def _resource(delivery: Delivery, base: str) -> dict[str, Any]:
    message = Message.parse(Raw.unpack(delivery.raw).fields()) if delivery.raw else None
    created = dt.datetime.fromtimestamp(delivery.accepted_at / 1000, dt.UTC)
    return {
        "sid": delivery.message_sid,
        "account_sid": delivery.account_sid,
        "status": delivery.state,
        "from": message.from_ if message else None,
        "to": message.to if message else None,
        "channel": message.channel if message else None,
        "body": message.body if message else None,
        "num_media": message.num_media if message else None,
        "flex_flow_sid": delivery.flow_sid or None,
        "route": list(delivery.why),
        "attempts": delivery.attempts,
        "replays": delivery.round,
        "duplicates": delivery.duplicates,
        "error": delivery.error or None,
        "history": list(delivery.history),
        "answer": delivery.answer.decode(errors="replace") or None,
        "answered_by": delivery.answered or None,
        "date_created": created.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "url": f"{base}/v1/Deliveries/{delivery.message_sid}",
    }


def _json(body: dict[str, Any]) -> Response:
    return Response(json.dumps(body), 200, content_type="application/json")
