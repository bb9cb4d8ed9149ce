"""The parameters that change a contact, and the errors in them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from router.errors import InvalidParameter
from router.flow.kind import Choice, Languages, Sid, Text
from router.language.tag import meant
from router.message.address import canonical, channel_of
from router.sid import is_sid

ADDRESS: Final = Text(256)
CLOSED: Final = Choice(("closed",))
_TAG: Final = Languages(most=1)
_TAG_TEXT: Final = Text(64)  # characters; RFC 5646, section 4.4.1, requires at least 35
_FLOW: Final = Sid("FO")


class InvalidContact(InvalidParameter):
    """A parameter of a contact."""


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
