"""`/v1/Configuration/Addresses`: the default flows of addresses, as Twilio's Conversations show them.

https://www.twilio.com/docs/conversations-classic/api/address-configuration-resource
"""

import time
from typing import Any, Final

from flask import Blueprint, Response, request
from werkzeug.datastructures import MultiDict

from router.errors import FlowConflict, InvalidFlow
from router.flow.address_configuration import ONCE, TYPE, channel_of_type, from_form, to_address, type_of
from router.flow.flex_flow import FlexFlow
from router.message.address import canonical, channel_of
from router.message.channel import WEB
from router.settings import Account, Settings
from router.sid import is_sid, new_sid
from router.store import Store
from router.web.auth import Caller, identify
from router.web.errors import ApiError, error_response, invalid, not_found
from router.web.flow_paging import read_flow_page
from router.web.form import read_form
from router.web.paging import base_url, json_response, no_content, page_body, read_page

# Twilio's largest page. A larger PageSize is reduced to it: the official libraries send the total number of items that
# the caller wants, `list(limit=100)`.
_PAGE_MOST: Final = 50


def blueprint(settings: Settings, store: Store) -> Blueprint:
    """Return the routes of address configurations."""
    addresses = Blueprint("addresses", __name__, url_prefix="/v1/Configuration/Addresses")

    @addresses.get("")
    def page() -> Response:
        return json_response(_page(identify(request, settings).account, settings, store))

    @addresses.post("")
    def create() -> Response:
        caller = identify(request, settings)
        flow = _make(caller, settings, _form(), None)
        store.flows.put(flow, by=caller.user, only_default=True)
        return json_response(to_address(flow, base_url(request, settings)), 201)

    @addresses.get("/<path:name>")
    def fetch(name: str) -> Response:
        flow = _find(identify(request, settings).account, name, store)
        return json_response(to_address(flow, base_url(request, settings)))

    @addresses.post("/<path:name>")
    def update(name: str) -> Response:
        caller, form = identify(request, settings), _form()
        flow = store.flows.update(
            caller.account.sid,
            _find(caller.account, name, store).sid,
            lambda current: _make(caller, settings, form, _shown(current)),
            by=caller.user,
        )
        return json_response(to_address(_shown(flow), base_url(request, settings)))

    @addresses.delete("/<path:name>")
    def delete(name: str) -> Response:
        caller = identify(request, settings)
        sid = _find(caller.account, name, store).sid
        if store.flows.remove(caller.account.sid, sid, by=caller.user) is None:
            raise not_found(request.path)
        return no_content()

    addresses.register_error_handler(InvalidFlow, _refuse)
    return addresses


def _refuse(error: InvalidFlow) -> Response:
    """Answer with this resource's parameter names; its own error codes are not documented: docs/rest-api.md."""
    if isinstance(error, FlowConflict):
        reason = "the address already has a configuration or an enabled flow; fetch it by its address, and update it"
        return error_response(ApiError(409, 20409, f"Address: {reason}"))
    return error_response(ApiError(400, 20001, str(error)))


def _form() -> MultiDict[str, str]:
    return read_form(request, ONCE)


def _make(caller: Caller, settings: Settings, form: MultiDict[str, str], current: FlexFlow | None) -> FlexFlow:
    return from_form(
        form.to_dict(),
        form.getlist("AutoCreation.WebhookFilters"),
        account_sid=caller.account.sid,
        current=current,
        handlers=settings.handlers_of(caller.account.sid),
        now=int(time.time()),
        sid=new_sid("FO"),
    )


def _shown(flow: FlexFlow | None) -> FlexFlow:
    """Return a flow that this resource can represent; raise `ApiError` 404 for one with a language or a match."""
    if flow is None or not flow.is_default:
        raise not_found(request.path)
    return flow


def _find(account: Account, name: str, store: Store) -> FlexFlow:
    """Find the flow by its SID, or by its address in any form: the enabled flow of the address, else the newest."""
    if is_sid(name, "IG"):
        return _shown(store.flows.get(account.sid, f"FO{name[2:]}"))
    entries = store.flows.entries(
        account.sid, tuple(dict.fromkeys((canonical(name, channel_of(name)), name, canonical(name, WEB))))
    )
    flows = [flow for entry in entries for flow in entry.flows if flow.is_default]
    return _shown(max(flows, key=lambda flow: (flow.enabled, flow.date_created, flow.sid), default=None))


def _page(account: Account, settings: Settings, store: Store) -> dict[str, Any]:
    asked, type_ = read_page(request.args, most=_PAGE_MOST, cut=True), request.args.get("Type", "")
    try:
        type_ = type_ and TYPE.parse(type_)
    except ValueError as error:
        raise invalid("Type", str(error)) from None
    found = read_flow_page(
        store.flows,
        account,
        asked,
        f"Addresses {account.sid} {type_}",
        channel=channel_of_type(type_) if type_ else "",
        wanted=lambda flow: flow.is_default and type_ in ("", type_of(flow)),
    )
    base = base_url(request, settings)
    return page_body(
        "address_configurations",
        [to_address(flow, base) for flow in found.flows],
        asked,
        url=f"{base}/v1/Configuration/Addresses",
        filters={"Type": type_} if type_ else {},
        next_token=found.next,
        previous_token=found.previous,
    )
