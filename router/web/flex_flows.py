"""`/v1/FlexFlows`: Twilio's resource, wire-compatible, and the history of each flow's changes.

https://www.twilio.com/docs/flex/developer/messaging/flow
"""

import time
from collections.abc import Mapping
from itertools import islice
from typing import Any

from flask import Blueprint, Response, request

from router.errors import StoreUnavailable
from router.flow.flex_flow import FIELDS, FlexFlow
from router.flow.resource import from_parameters, to_resource
from router.flow.warning import Surroundings
from router.queries.flow_warnings import around_address, unread
from router.settings import Settings
from router.sid import is_sid, new_sid
from router.store import Store
from router.web.auth import Caller, identify
from router.web.errors import ApiError, not_found
from router.web.flow_paging import read_flow_page
from router.web.form import read_form
from router.web.paging import base_url, json_response, no_content, page_body, read_page, seal, unseal


def blueprint(settings: Settings, store: Store) -> Blueprint:
    """Return the routes of Flex Flows."""
    flex_flows = Blueprint("flex_flows", __name__, url_prefix="/v1/FlexFlows")
    around = Surroundings.of(settings)

    @flex_flows.get("")
    def page() -> Response:
        return json_response(_page(identify(request, settings), settings, store))

    @flex_flows.post("")
    def create() -> Response:
        caller = identify(request, settings)
        flow = _make(caller, settings, _form(), None)
        store.flows.put(flow, by=caller.user)
        return json_response(_resource(flow, settings) | {"warnings": _warnings(flow, around, store)}, 201)

    @flex_flows.get("/<sid>")
    def fetch(sid: str) -> Response:
        caller = identify(request, settings)
        return json_response(_resource(store.flows.get(caller.account.sid, _sid(sid)), settings))

    @flex_flows.post("/<sid>")
    def update(sid: str) -> Response:
        caller, form = identify(request, settings), _form()
        flow = store.flows.update(
            caller.account.sid,
            _sid(sid),
            lambda current: _make(caller, settings, form, current),
            by=caller.user,
        )
        if flow is None:
            raise not_found(request.path)
        return json_response(_resource(flow, settings) | {"warnings": _warnings(flow, around, store)})

    @flex_flows.delete("/<sid>")
    def delete(sid: str) -> Response:
        caller = identify(request, settings)
        if store.flows.remove(caller.account.sid, _sid(sid), by=caller.user) is None:
            raise not_found(request.path)
        return no_content()

    @flex_flows.get("/<sid>/Changes")
    def changes(sid: str) -> Response:
        return json_response(_changes(identify(request, settings), _sid(sid), settings, store))

    return flex_flows


def _warnings(written: FlexFlow, around: Surroundings, store: Store) -> list[str]:
    """Return the warnings about the flows of the flow's address; none if the store has become unavailable."""
    try:
        found = around_address(written, store, around)
        behind = unread(written.account_sid, [written], store)
    except StoreUnavailable:  # the write itself has succeeded
        return []
    return [*(each.full for each in found), *([behind] if behind else [])]


def _sid(sid: str) -> str:
    if not is_sid(sid, "FO"):
        raise not_found(request.path)
    return sid


def _form() -> dict[str, str]:
    return read_form(request, (each.wire for each in FIELDS)).to_dict()


def _make(caller: Caller, settings: Settings, form: Mapping[str, str], current: FlexFlow | None) -> FlexFlow:
    return from_parameters(
        form,
        account_sid=caller.account.sid,
        current=current,
        handlers=settings.handlers_of(caller.account.sid),
        now=int(time.time()),
        sid=new_sid("FO"),
    )


def _resource(flow: FlexFlow | None, settings: Settings) -> dict[str, Any]:
    if flow is None:
        raise not_found(request.path)
    return to_resource(flow, base_url(request, settings))


def _page(caller: Caller, settings: Settings, store: Store) -> dict[str, Any]:
    asked, name = read_page(request.args), request.args.get("FriendlyName", "")
    found = read_flow_page(
        store.flows,
        caller.account,
        asked,
        f"FlexFlows {caller.account.sid} {name}",
        name=name,
        wanted=(lambda flow: flow.friendly_name == name) if name else None,
    )
    base = base_url(request, settings)
    return page_body(
        "flex_flows",
        [to_resource(flow, base) for flow in found.flows],
        asked,
        url=f"{base}/v1/FlexFlows",
        filters={"FriendlyName": name} if name else {},
        next_token=found.next,
        previous_token=found.previous,
    )


def _changes(caller: Caller, sid: str, settings: Settings, store: Store) -> dict[str, Any]:
    account, asked = caller.account, read_page(request.args)
    scope = f"Changes {account.sid} {sid}"
    cursor = unseal(account, scope, asked.token)
    if asked.number and not cursor:
        raise ApiError(400, 20001, "Page: needs the PageToken of next_page_url")
    found = list(islice(store.changes.newest(account.sid, flex_flow_sid=sid, before=cursor), asked.size + 1))
    if not found and not cursor and store.flows.get(account.sid, sid) is None:
        raise not_found(request.path)
    shown, base = found[: asked.size], base_url(request, settings)
    return page_body(
        "changes",
        [change.resource() for change in shown],
        asked,
        url=f"{base}/v1/FlexFlows/{sid}/Changes",
        filters={},
        next_token=seal(account, scope, shown[-1].id) if len(found) > len(shown) else "",
        previous_token="",
    )
