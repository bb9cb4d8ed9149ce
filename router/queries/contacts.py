"""Contacts: found by any of their addresses, and changed."""

from typing import Final

from router.flow.flex_flow import FlexFlow
from router.language.tag import best
from router.queries.contact_change import Change, ContactConflict, InvalidContact, identity_of
from router.queries.why_not import misfit
from router.store import Store
from router.store.contacts import ALL, Contact
from router.store.lanes import new_token

# The maximum number of aliases of a contact: each of its messages reads all of them.
ALIASES_MOST: Final = 20


def find(identity: str, account_sid: str, store: Store) -> Contact | None:
    """Return the contact of an address in any form; None for an unknown address."""
    try:
        return store.contacts.get(account_sid, identity_of(identity))
    except InvalidContact:
        return None


def change(identity: str, wanted: Change, account_sid: str, store: Store) -> Contact | None:
    """Change a contact; if it does not exist and something is set, create it.

    Setting a preference closes the contact's conversations: the next message is routed again, by the preference.

    Returns:
        The resulting contact; None if it does not exist and nothing was set.

    Raises:
        InvalidContact: the address is not valid, or the flow does not accept the conversation.
        ContactConflict: an alias belongs to another contact.
    """
    own = identity_of(identity)
    contact = store.contacts.get(account_sid, own)
    if wanted == Change():
        return contact
    _check_aliases(own, contact, wanted.aliases, store, account_sid)
    assignment = None
    lasting = bool(wanted.aliases)  # explicit settings do not expire
    if wanted.flex_flow_sid:
        flow = _flow_for(wanted, store, account_sid)
        assignment = wanted.address, flow.sid, _language(flow, wanted, contact)
        lasting = lasting or flow.is_lasting
    ends_all = wanted.preference or (wanted.closed and not wanted.address)
    store.contacts.change(
        account_sid,
        own,
        version=new_token(),
        preference=wanted.preference,
        language=wanted.language,
        aliases=wanted.aliases,
        close=ALL if ends_all else wanted.address if wanted.closed else "",
        assignment=assignment,
        lasting=lasting,
    )
    return store.contacts.get(account_sid, own)


def _check_aliases(own: str, contact: Contact | None, aliases: tuple[str, ...], store: Store, account_sid: str) -> None:
    known = {contact.identity, *contact.aliases} if contact else {own}
    for alias in aliases:
        other = store.contacts.get(account_sid, alias)
        if other and alias != other.identity and other.identity not in known:
            raise ContactConflict(
                "Alias", f"{alias} is known as {other.identity}: name that one, and the two contacts become one"
            )
        known |= {alias, *(other.aliases if other else ())}
        if len(known) > ALIASES_MOST + 1:
            raise InvalidContact("Alias", f"a contact has at most {ALIASES_MOST} aliases")


def _flow_for(wanted: Change, store: Store, account_sid: str) -> FlexFlow:
    flow = store.flows.get(account_sid, wanted.flex_flow_sid)
    if flow is None:
        raise InvalidContact("FlexFlowSid", f"there is no Flex Flow {wanted.flex_flow_sid}")
    if reason := misfit(flow, wanted.address, store):
        raise InvalidContact("FlexFlowSid", reason)
    return flow


def _language(flow: FlexFlow, wanted: Change, contact: Contact | None) -> str:
    """Return the language in which a flow serves a contact, "" if unknown."""
    known = contact.known if contact else None
    tags = (
        known.preference if known and wanted.preference is None else wanted.preference,
        known.language if known and wanted.language is None else wanted.language,
    )
    fitting = (best(tag, flow.language) for tag in tags if tag)
    return next(filter(None, fitting), flow.language[0] if len(flow.language) == 1 else "")
