"""`/v1/Contacts/{identity}`: what is known of a contact, and setting, closing and erasing it."""

import time
from typing import Any
from urllib.parse import quote

from flask import Blueprint, Response, request

from router.contact_erasure import erase
from router.contact_inquiry import ContactConflict, InvalidContact, change, describe, find, identity_of, read_change
from router.settings import Settings
from router.store import Store
from router.store.contacts import Contact
from router.web.auth import authenticate
from router.web.errors import ApiError, error_response, not_found
from router.web.page import base_url, json_response


def blueprint(settings: Settings, store: Store) -> Blueprint:
    """Make the routes of contacts."""
    contacts = Blueprint("contacts", __name__, url_prefix="/v1/Contacts")

    def resource(contact: Contact | None) -> dict[str, Any]:
        if contact is None:
            raise not_found(request.path)
        shown = describe(contact, store, sticky_hours=settings.sticky_hours, now=time.time())
        return shown | {"url": f"{base_url(request, settings)}/v1/Contacts/{quote(contact.identity, safe='')}"}

    # merge_slashes: an address may have two slashes side by side, as a URL has.
    @contacts.get("/<path:identity>", merge_slashes=False)
    def fetch(identity: str) -> Response:
        account = authenticate(request, settings)
        return json_response(resource(find(identity, account.sid, store)))

    @contacts.post("/<path:identity>", merge_slashes=False)
    def update(identity: str) -> Response:
        account = authenticate(request, settings)
        aliases = {"Alias": ",".join(request.form.getlist("Alias"))}
        wanted = read_change(request.form.to_dict() | aliases)
        return json_response(resource(change(identity, wanted, account.sid, store)))

    @contacts.delete("/<path:identity>", merge_slashes=False)
    def delete(identity: str) -> Response:
        account = authenticate(request, settings)
        _erase(identity, account.sid, store)
        return Response(status=204)

    contacts.register_error_handler(InvalidContact, _refuse)
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
            f"{erasure.waiting} messages of this contact are not done yet, and are delivered first; {erasure.messages} "
            "others were erased. The contact stays until then: try again",
        )


def _refuse(error: InvalidContact) -> Response:
    if isinstance(error, ContactConflict):
        return error_response(ApiError(409, 20409, str(error)))
    return error_response(ApiError(400, 20001, str(error)))
