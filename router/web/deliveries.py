"""`/v1/Deliveries`: every message and its delivery state; `/v1/Routes`: where a message would be routed, and why."""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode

from flask import Blueprint, Response, request

from router.errors import NotAMessage
from router.iso_time import ms_of
from router.queries.control import ACTIONS, DONE_AS, note
from router.queries.delivery_filter import STATES, Wanted
from router.queries.delivery_json import describe
from router.queries.delivery_page import read_page_of
from router.queries.replay import NOT_REPLAYED, replay
from router.queries.route import explain
from router.queries.waiting import waiting_for
from router.routing.resolve import Likelihood
from router.settings import Account, Settings
from router.sid import is_sid
from router.store import Store
from router.store.deliveries import Delivery
from router.web.auth import Caller, authenticate, identify
from router.web.errors import ApiError, not_found
from router.web.form import read_form
from router.web.paging import base_url, json_response, page_body, read_page, seal, unseal
from router.web.request import LANG_MOST


def blueprint(settings: Settings, store: Store, likelihood: Likelihood) -> Blueprint:
    """Return the routes of deliveries and routes."""
    deliveries = Blueprint("deliveries", __name__, url_prefix="/v1")

    @deliveries.get("/Deliveries")
    def page() -> Response:
        account = authenticate(request, settings)
        return json_response(_page(account, store, settings))

    @deliveries.get("/Deliveries/<sid>")
    def fetch(sid: str) -> Response:
        account = authenticate(request, settings)
        delivery = _find(account, sid, store)
        resource = _resource(delivery, base_url(request, settings))
        return json_response(resource | {"waiting_for": waiting_for(delivery, store)})

    @deliveries.post("/Deliveries/<sid>")
    def update(sid: str) -> Response:
        caller = identify(request, settings)
        _update(caller, _find(caller.account, sid, store), read_form(request, ()), store, likelihood)
        return json_response(_resource(_find(caller.account, sid, store), base_url(request, settings)))

    @deliveries.post("/Routes")
    def route() -> Response:
        account = authenticate(request, settings)
        try:
            form = read_form(request, ())
            lang = form.get("lang", "")[:LANG_MOST]
            return json_response(explain(account.sid, dict(form), store, likelihood, lang=lang))
        except NotAMessage as error:
            raise ApiError(400, 20001, str(error)) from error

    return deliveries


# The actions of an update by its Status, except a replay; `canceled` is Twilio's spelling.
_BY_STATUS: Final = {"sending": "hurry", "canceled": "cancel", "cancelled": "cancel"}
_BY_HELD: Final = {"true": "hold", "false": "release"}


def _update(caller: Caller, delivery: Delivery, form: Mapping[str, str], store: Store, likelihood: Likelihood) -> None:
    status, held = form.get("Status", ""), form.get("Held", "").lower()
    if bool(status) == bool(held):
        raise ApiError(400, 20001, "either Status or Held is required, not both: docs/rest-api.md")
    if status == "queued":
        _replay(caller, delivery, form, store, likelihood)
        return
    action = _BY_STATUS.get(status) if status else _BY_HELD.get(held)
    if action is None and status:
        raise ApiError(400, 20001, "Status must be queued (send again), sending (send now) or canceled (give up)")
    if action is None:
        raise ApiError(400, 20001, "Held must be true or false")
    done = ACTIONS[action](delivery, store, by=caller.user)
    if done.gone:
        raise not_found(request.path)
    if not done.done:
        raise ApiError(409, 20409, f"{delivery.message_sid}: {done.outcome}")
    if done.changed:
        note(store, [(delivery.account_sid, delivery.message_sid)], DONE_AS[action], by=caller.user)


def _replay(caller: Caller, delivery: Delivery, form: Mapping[str, str], store: Store, likelihood: Likelihood) -> None:
    route = form.get("Route", "original").lower()
    if route not in ("original", "current"):
        raise ApiError(400, 20001, f"Route must be original or current, not {route[:40]!r}")
    result = replay(delivery, store, likelihood, current=route == "current", by=caller.user)
    if result == "missing":
        raise not_found(request.path)
    if why := NOT_REPLAYED.get(result):
        status, code = (410, 20404) if result == "gone" else (409, 20409)
        raise ApiError(status, code, f"{delivery.message_sid}: {why}")
    note(store, [(delivery.account_sid, delivery.message_sid)], "replayed", by=caller.user, route=route)


def _find(account: Account, sid: str, store: Store) -> Delivery:
    delivery = store.deliveries.get(account.sid, sid) if is_sid(sid, "SM", "MM", "IM") else None
    if delivery is None:
        raise not_found(request.path)
    return delivery


def _page(account: Account, store: Store, settings: Settings) -> dict[str, Any]:
    filters = {name: request.args[name] for name in _FILTERS if request.args.get(name)}
    asked = read_page(request.args)
    scope = f"Deliveries {account.sid} {urlencode(filters)}"
    last = _last_seen(unseal(account, scope, asked.token))
    after, before = _time(filters, "DateCreatedAfter"), _time(filters, "DateCreatedBefore")
    wanted = _wanted(filters)
    found = read_page_of(store, account.sid, wanted, after=after, before=before, last=last, size=asked.size)
    cursor = f"{found.last[0]}-{found.last[1]}" if found.last else ""
    base = base_url(request, settings)
    return page_body(
        "deliveries",
        [_resource(delivery, base) for delivery in found.deliveries],
        asked,
        url=f"{base}/v1/Deliveries",
        filters=filters,
        next_token=seal(account, scope, cursor),
        previous_token="",
    )


def _last_seen(cursor: str) -> tuple[int, str] | None:
    """Parse a page's cursor: time and SID of the last delivery on the previous page."""
    time, _, sid = cursor.partition("-")
    return (int(time), sid) if cursor else None


_FILTERS = ("Status", "Held", "From", "To", "FlexFlowSid", "DateCreatedAfter", "DateCreatedBefore")


def _wanted(filters: Mapping[str, str]) -> Wanted:
    status = filters.get("Status", "")
    if status and status not in STATES:
        raise ApiError(400, 20001, f"Status must be one of {', '.join(STATES)}")
    held = filters.get("Held", "").lower()
    if held not in ("", "true", "false"):
        raise ApiError(400, 20001, "Held must be true or false")
    return Wanted(
        status,
        filters.get("From", ""),
        filters.get("To", ""),
        filters.get("FlexFlowSid", ""),
        held == "true" if held else None,
    )


def _time(filters: Mapping[str, str], name: str) -> int:
    text = filters.get(name)
    if not text:
        return 0
    try:
        return ms_of(text)
    except ValueError:
        raise ApiError(400, 20001, f"{name} must be an ISO 8601 time such as 2026-05-31T22:00:00Z") from None


def _resource(delivery: Delivery, base: str) -> dict[str, Any]:
    return describe(delivery) | {"url": f"{base}/v1/Deliveries/{delivery.message_sid}"}
