"""`/v1/Contacts/{identity}`: read, update and erase a contact, and close its conversations."""

import time
from typing import Any, Final
from urllib.parse import quote

from flask import Blueprint, Response, request

from router.errors import InvalidFlow, RouterError
from router.queries.contact_change import ContactConflict, InvalidContact, identity_of, read_change
from router.queries.contact_json import describe
from router.queries.contacts import change, find
from router.queries.erasure import erase
from router.settings import Settings
from router.store import Store
from router.store.contacts import Contact
from router.web.auth import authenticate
from router.web.errors import ApiError, error_response, not_found
from router.web.form import read_form
from router.web.paging import base_url, json_response, no_content

_ONCE: Final = ("Language", "Preference", "Address", "FlexFlowSid", "Status")  # Alias may be repeated


def blueprint(settings: Settings, store: Store) -> Blueprint:
    """Return the routes of contacts."""
    contacts = Blueprint("contacts", __name__, url_prefix="/v1/Contacts")

    def resource(contact: Contact | None) -> dict[str, Any]:
        if contact is None:
            raise not_found(request.path)
        url = f"{base_url(request, settings)}/v1/Contacts/{quote(contact.identity, safe='')}"
        return describe(contact, store, now=time.time()) | {"url": url}

    # merge_slashes: an address may have two slashes in a row, as in a URL.
    @contacts.get("/<path:identity>", merge_slashes=False)
    def fetch(identity: str) -> Response:
        account = authenticate(request, settings)
        return json_response(resource(find(identity, account.sid, store)))

    @contacts.post("/<path:identity>", merge_slashes=False)
    def update(identity: str) -> Response:
        account = authenticate(request, settings)
        form = read_form(request, _ONCE)
        wanted = read_change(form.to_dict() | {"Alias": ",".join(form.getlist("Alias"))})
        return json_response(resource(change(identity, wanted, account.sid, store)))

    @contacts.delete("/<path:identity>", merge_slashes=False)
    def delete(identity: str) -> Response:
        account = authenticate(request, settings)
        _erase(identity, account.sid, store)
        return no_content()

    contacts.register_error_handler(InvalidContact, _refuse)
    contacts.register_error_handler(InvalidFlow, _refuse)  # a parameter with two values
    return contacts


def _erase(identity: str, account_sid: str, store: Store) -> None:
    try:
        erasure = erase(identity_of(identity), account_sid, store)
    except InvalidContact:
        raise not_found(request.path) from None
    if not erasure.found:
        raise not_found(request.path)
    if erasure.waiting:
        raise ApiError(
            409,
            20409,
            f"{erasure.waiting} of the contact's messages must be delivered first, so the contact was kept. Erased: "
            f"{erasure.messages} other messages. Try again later",
        )


def _refuse(error: RouterError) -> Response:
    if isinstance(error, ContactConflict):
        return error_response(ApiError(409, 20409, str(error)))
    return error_response(ApiError(400, 20001, str(error)))
