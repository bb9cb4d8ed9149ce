"""Contacts: the stored data of a contact, its changes, and its erasure."""

import time
from typing import Final

from flask import Blueprint, Response, request

from router.errors import InvalidFlow
from router.queries.contact_change import InvalidContact, identity_of, read_change
from router.queries.contact_json import describe
from router.queries.contacts import change, find
from router.queries.erasure import erase
from router.web.console.desk import Desk, see, view
from router.web.console.guard import Refused
from router.web.console.message_rows import names
from router.web.console.page import page

_CHANGES: Final = ("Language", "Preference", "Alias", "Address", "FlexFlowSid", "Status")
_MOST: Final = 256


def register(console: Blueprint, desk: Desk) -> None:
    """Add the routes."""
    store = desk.store

    @console.get("/<account_sid>/contacts")
    def contacts() -> Response:
        return _show(desk, request.args.get("identity", "").strip()[:_MOST])

    @console.post("/<account_sid>/contacts")
    def change_one() -> Response:
        identity = request.form.get("identity", "").strip()[:_MOST]
        values = {name: request.form[name].strip() for name in _CHANGES if name in request.form}
        try:
            change(identity, read_change(values), view().sid, store)
        except (InvalidContact, InvalidFlow) as error:
            return _show(desk, identity, wrong={error.parameter: error.reason}, typed=values, status=400)
        store.changes.note(view().sid, view().who, "changed a contact", **_what(values))
        return see("contacts", identity=identity, notice="contact")

    @console.post("/<account_sid>/contacts/erase")
    def erase_one() -> Response:
        identity = request.form.get("identity", "").strip()[:_MOST]
        if request.form.get("typed", "").strip() != identity:
            wrong = {"typed": "Type the address exactly as it is above to erase the contact"}
            return _show(desk, identity, wrong=wrong, typed={}, status=400)
        try:
            erasure = erase(identity_of(identity), view().sid, store)
        except InvalidContact as error:
            raise Refused(404, "No such contact", str(error)) from None
        # The log does not name the address, because it was erased.
        store.changes.note(view().sid, view().who, "erased a contact", messages=erasure.messages)
        if erasure.waiting:
            raise Refused(
                409,
                "Not completely erased",
                f"{erasure.waiting} of the contact's messages must be delivered first; "
                f"{erasure.messages} others are erased. Erase the contact again when they are delivered.",
            )
        return see("contacts", notice="erased")


def _show(
    desk: Desk,
    identity: str,
    *,
    wrong: dict[str, str] | None = None,
    typed: dict[str, str] | None = None,
    status: int = 200,
) -> Response:
    found = find(identity, view().sid, desk.store) if identity else None
    it = describe(found, desk.store, now=time.time()) if found else None
    wrong = dict(wrong or {})
    if identity and not wrong:
        try:
            identity_of(identity)
        except InvalidContact as error:
            wrong["identity"] = error.reason
    sids = [each["flex_flow_sid"] for each in it["conversations"]] if it else []
    return page(
        "contacts.html",
        status,
        identity=identity,
        it=it,
        wrong=wrong,
        typed=typed or {},
        names=names(sids, desk.store),
    )


def _what(values: dict[str, str]) -> dict[str, str]:
    """Return the changed values for the log, without the customer's addresses."""
    return {name: text for name, text in values.items() if text and name not in {"Alias", "Address"}}
