"""Changes of addresses: the form with its preview, the switches, and deletion."""

import time
from collections.abc import Mapping
from typing import Final

from flask import Blueprint, Response, request

from router.errors import FlowConflict, InvalidFlow
from router.flow.diff import Change, differences
from router.flow.flex_flow import FIELDS, FlexFlow
from router.flow.warning import Surroundings
from router.queries.flow_preview import Preview, preview
from router.queries.flow_state import SWITCHES, losing, remove, switch
from router.store.flows import FlowChanged
from router.web.console.address_form import Typed, read_typed, reason_of, sections, version_of
from router.web.console.addresses import find_flow
from router.web.console.desk import Desk, see, view
from router.web.console.guard import Refused
from router.web.console.page import page

_FLAGS: Final = ("JanitorEnabled", "LongLived")


def register(console: Blueprint, desk: Desk) -> None:
    """Add the routes."""
    around = Surroundings.of(desk.settings)
    _register_new(console, desk, around)
    _register_edit(console, desk, around)
    _register_switch(console, desk)
    _register_delete(console, desk, around)


def _register_new(console: Blueprint, desk: Desk, around: Surroundings) -> None:
    @console.get("/<account_sid>/addresses/new")
    def new() -> Response:
        like = find_flow(desk, request.args["like"]) if "like" in request.args else None
        return _form(desk, like, {"FriendlyName": ""} if like else {}, {}, heading="New address")

    @console.post("/<account_sid>/addresses/new")
    def create() -> Response:
        typed = _typed(desk, None)
        if typed.flow is None or _is_preview():
            return _answer(desk, None, typed, around, "New address")
        try:
            desk.store.flows.put(typed.flow, by=view().who)
        except InvalidFlow as error:
            return _form(desk, None, _values(), {error.parameter: reason_of(error)}, status=409, heading="New address")
        return see(f"addresses/{typed.flow.sid}", notice="created")


def _register_edit(console: Blueprint, desk: Desk, around: Surroundings) -> None:
    @console.get("/<account_sid>/addresses/<sid>/edit")
    def edit(sid: str) -> Response:
        flow = find_flow(desk, sid)
        return _form(desk, flow, {}, {}, heading=f"Edit {flow.friendly_name}")

    @console.post("/<account_sid>/addresses/<sid>/edit")
    def save(sid: str) -> Response:
        flow = find_flow(desk, sid)
        heading = f"Edit {flow.friendly_name}"
        typed = _typed(desk, flow)
        stale = request.form.get("version", "") != version_of(flow)
        if typed.flow is None or stale or _is_preview():
            return _answer(desk, flow, typed, around, heading, stale=stale)
        if not list(differences(flow, typed.flow)):
            return see(f"addresses/{sid}", notice="same")
        try:
            desk.store.flows.put(typed.flow, replaces=flow, by=view().who)
        except FlowChanged:
            return _answer(desk, find_flow(desk, sid), typed, around, heading, stale=True)
        except InvalidFlow as error:
            return _form(desk, flow, _values(), {error.parameter: reason_of(error)}, status=409, heading=heading)
        return see(f"addresses/{sid}", notice="saved")


def _register_switch(console: Blueprint, desk: Desk) -> None:
    @console.post("/<account_sid>/addresses/<sid>/switch")
    def switch_one(sid: str) -> Response:
        flow, which = find_flow(desk, sid), request.form.get("switch", "")
        if which in SWITCHES:
            try:
                done = switch(flow, which, desk.store, by=view().who, now=int(time.time()))
            except FlowConflict as error:
                raise Refused(409, "Not switched", f"{reason_of(error)}. Nothing was changed.") from None
            return see(f"addresses/{sid}", result=done.meaning if done else "")
        name, _, value = which.partition("=")
        if name not in _FLAGS or value not in {"true", "false"}:
            raise Refused(400, "No such switch", f"{which[:60]!r} is not a switch of a flow. Nothing was changed.")
        typed = read_typed({name: value}, account_sid=view().sid, current=flow, handlers=_handlers(desk))
        if typed.flow is not None:
            try:
                desk.store.flows.put(typed.flow, replaces=flow, by=view().who)
            except FlowChanged:
                raise Refused(409, "Not switched", "Another person has just changed the flow. Try again.") from None
        return see(f"addresses/{sid}", notice="saved")


def _register_delete(console: Blueprint, desk: Desk, around: Surroundings) -> None:
    @console.get("/<account_sid>/addresses/<sid>/delete")
    def ask(sid: str) -> Response:
        flow = find_flow(desk, sid)
        return page(
            "address_delete.html",
            flow=flow,
            losing=losing(flow, desk.store),
            preview=_preview(desk, Change(flow, None), around),
        )

    @console.post("/<account_sid>/addresses/<sid>/delete")
    def delete(sid: str) -> Response:
        remove(find_flow(desk, sid), desk.store, by=view().who)
        return see("addresses", notice="deleted")


def _handlers(desk: Desk) -> frozenset[str]:
    return desk.settings.handlers_of(view().sid)


def _values() -> dict[str, str]:
    """Return the values of the form. The last value of a name counts: a checked box follows a hidden field `false`."""
    return {name: values[-1] for name, values in request.form.lists()}


def _typed(desk: Desk, current: FlexFlow | None) -> Typed:
    return read_typed(_values(), account_sid=view().sid, current=current, handlers=_handlers(desk))


def _is_preview() -> bool:
    return request.form.get("do") == "preview"


def _answer(  # noqa: PLR0913 - the flow, the input, and how they are shown
    desk: Desk, flow: FlexFlow | None, typed: Typed, around: Surroundings, heading: str, *, stale: bool = False
) -> Response:
    """Show the form again with the input and its errors, another person's changes, or a preview."""
    foreseen = _preview(desk, Change(flow, typed.flow), around) if typed.flow else None
    status = 409 if stale else 200 if typed.flow else 400
    return _form(desk, flow, _values(), typed.errors, status=status, heading=heading, preview=foreseen, stale=stale)


def _preview(desk: Desk, change: Change, around: Surroundings) -> Preview:
    return preview(change, desk.store, desk.likelihood, around, now=time.time())


def _form(  # noqa: PLR0913 - a flow, the input, and its errors
    desk: Desk,
    flow: FlexFlow | None,
    typed: Mapping[str, str],
    errors: Mapping[str, str],
    *,
    heading: str,
    status: int = 200,
    preview: Preview | None = None,
    stale: bool = False,
) -> Response:
    unknown = {name: text for name, text in errors.items() if name not in {each.wire for each in FIELDS}}
    return page(
        "address_form.html",
        status,
        form_heading=heading,
        flow=flow if not request.path.endswith("/new") else None,
        sections=sections(flow, typed, errors, _handlers(desk)),
        errors=errors,
        unknown=unknown,
        version=version_of(flow) if flow else "",
        preview=preview,
        stale=stale,
    )
