"""Queries and changes of contacts, for the REST API and the command line."""

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from router.errors import RouterError
from router.flow.flex_flow import FlexFlow
from router.flow.kind import Choice, Languages, Sid, Text
from router.language.tag import best, meant
from router.message.address import canonical, channel_of
from router.routing.contact import Assignment
from router.sid import is_sid
from router.store import Store
from router.store.contacts import ALL, Contact
from router.store.lanes import new_token

# The maximum number of aliases of a contact: each of its messages reads all of them.
ALIASES_MOST: Final = 20

ADDRESS: Final = Text(256)
CLOSED: Final = Choice(("closed",))
_TAG: Final = Languages(most=1)
_TAG_TEXT: Final = Text(64)  # characters; RFC 5646, section 4.4.1, requires at least 35
_FLOW: Final = Sid("FO")


class InvalidContact(RouterError):  # noqa: N818 - named for the condition, as `InvalidFlow`
    """An invalid parameter of a contact: its name, and what is allowed."""

    def __init__(self, parameter: str, reason: str) -> None:
        super().__init__(f"{parameter}: {reason}")
        self.parameter = parameter
        self.reason = reason


class ContactConflict(InvalidContact):
    """An alias that belongs to another contact."""


@dataclass(frozen=True, slots=True)
class Change:
    """The requested changes of a contact.

    Args:
        language: the language that the contact is known to use, "" to remove it; None for no change.
        preference: the language that the contact chose; "" and None as above.
        aliases: further addresses of the same person, in canonical form.
        address: our address, which selects one conversation, "" for all.
        flex_flow_sid: the flow to assign to this conversation, "" for no change.
        closed: whether the conversation, or all of them, are closed.
    """

    language: str | None = None
    preference: str | None = None
    aliases: tuple[str, ...] = ()
    address: str = ""
    flex_flow_sid: str = ""
    closed: bool = False


def identity_of(text: str, parameter: str = "Identity") -> str:
    """Return the canonical form of an address in any notation; raise InvalidContact if it is not an address."""
    address = canonical(_parsed(parameter, ADDRESS.parse, text), channel_of(text))
    if "\N{REPLACEMENT CHARACTER}" in address:
        raise InvalidContact(parameter, "is not UTF-8")
    if not address.rpartition(":")[2].strip() or address == "*" or is_sid(address, "MG"):
        raise InvalidContact(
            parameter, f"{text!r} is not a person's address such as +14155550100 or whatsapp:+14155550100"
        )
    return address


def read_change(parameters: Mapping[str, str]) -> Change:
    """Read `Language`, `Preference`, `Alias`, `Address`, `FlexFlowSid` and `Status`; raise InvalidContact."""
    values = {name: text for name, text in parameters.items() if text}
    address = identity_of(values["Address"], "Address") if "Address" in values else ""
    flex_flow_sid = _parsed("FlexFlowSid", _FLOW.parse, values["FlexFlowSid"]) if "FlexFlowSid" in values else ""
    closed = "Status" in values and bool(_parsed("Status", CLOSED.parse, values["Status"]))
    if closed and flex_flow_sid:
        raise InvalidContact("Status", "closed ends the conversation that FlexFlowSid would move; give one of them")
    if flex_flow_sid and not address:
        raise InvalidContact("Address", "is missing: set it to your address in the conversation that FlexFlowSid takes")
    if address and not (flex_flow_sid or closed):
        raise InvalidContact(
            "Address", "needs FlexFlowSid, the flow that takes the conversation with it, or Status=closed"
        )
    aliases = [part for part in values.get("Alias", "").split(",") if part.strip()]
    return Change(
        language=_tag("Language", parameters),
        preference=_tag("Preference", parameters),
        aliases=tuple(dict.fromkeys(identity_of(each, "Alias") for each in aliases)),
        address=address,
        flex_flow_sid=flex_flow_sid,
        closed=closed,
    )


def _tag(name: str, parameters: Mapping[str, str]) -> str | None:
    text = parameters.get(name)
    if text and "," in text:
        raise InvalidContact(name, "must be one language tag such as en, pt-BR or zh-Hant")
    tag = text and _parsed(name, lambda values: _TAG.parse(_TAG_TEXT.parse(values))[0], text)
    if tag and (code := meant(tag)):
        raise InvalidContact(name, f"{tag} is not a language code: did you mean {code}?")
    return tag


def _parsed(name: str, parse: Callable[[str], str], text: str) -> str:
    try:
        return parse(text)
    except ValueError as error:
        raise InvalidContact(name, str(error)) from None


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
    if reason := why_not(flow, wanted.address, store):
        raise InvalidContact("FlexFlowSid", reason)
    return flow


def why_not(flow: FlexFlow, ours: str, store: Store) -> str:
    """Return why a flow accepts no messages to our address; "" if it does, or may."""
    channel = channel_of(ours)
    if not flow.enabled:
        return f"{flow.sid} is disabled"
    if flow.channel_type != channel:
        return f"{flow.sid} takes {flow.channel_type} messages, and {ours} gets {channel} messages"
    if flow.contact_identity == ours:
        return ""
    if flow.contact_identity != "*" and not is_sid(flow.contact_identity, "MG"):
        return f"{flow.sid} takes messages to {flow.contact_identity}, not to {ours}"
    (entry,) = store.flows.entries(flow.account_sid, (ours,))
    if any(each.enabled and each.channel_type == channel and each.is_default for each in entry.flows):
        return f"{flow.sid} is for {flow.contact_identity}, and {ours} has its own default flow"
    return ""


def _language(flow: FlexFlow, wanted: Change, contact: Contact | None) -> str:
    """Return the language in which a flow serves a contact, "" if unknown."""
    known = contact.known if contact else None
    tags = (
        known.preference if known and wanted.preference is None else wanted.preference,
        known.language if known and wanted.language is None else wanted.language,
    )
    fitting = (best(tag, flow.language) for tag in tags if tag)
    return next(filter(None, fitting), flow.language[0] if len(flow.language) == 1 else "")


def describe(contact: Contact, store: Store, *, now: float) -> dict[str, Any]:
    """Return a contact for JSON, without its URL; `now` is in seconds since 1970."""
    known = contact.known
    latest = sorted(contact.assignments.items(), key=lambda pair: pair[1].at, reverse=True)
    since = int((now - store.contacts.sticky_hours * 3600) * 1000)
    return {
        "account_sid": contact.account_sid,
        "identity": contact.identity,
        "aliases": list(contact.aliases),
        "language": known.language or None,
        "preference": known.preference or None,
        "learned": {tag: round(share, 3) for tag, share in known.learned.items()} or None,
        "conversations": [
            {
                "address": ours,
                "flex_flow_sid": assignment.flow_sid,
                "language": assignment.language or None,
                "confident": assignment.confident,
                "status": _status(
                    ours, assignment, store.flows.get(contact.account_sid, assignment.flow_sid), store, since
                ),
                "date_updated": dt.datetime.fromtimestamp(assignment.at / 1000, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            }
            for ours, assignment in latest
        ],
    }


def _status(ours: str, assignment: Assignment, flow: FlexFlow | None, store: Store, since: int) -> str:
    """Return the state of a conversation, with Twilio's names; it is idle if its last message is before `since`.

    https://www.twilio.com/docs/conversations/api/conversation-resource
    """
    active = (
        flow is not None and assignment.is_active(since, lasting=flow.is_lasting) and not why_not(flow, ours, store)
    )
    return "active" if active else "inactive"
