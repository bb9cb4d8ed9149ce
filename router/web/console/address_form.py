"""The form of a flow: sections and fields are made from the table of parameters; errors stand beside their fields."""

import hashlib
import re
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from router.errors import InvalidFlow
from router.flow.file import REQUIRED
from router.flow.flex_flow import FIELDS, Field, FlexFlow, is_given, value_of
from router.flow.kind import Choice, Flag
from router.flow.record import to_record
from router.flow.resource import from_parameters
from router.message.channel import WEB
from router.sid import new_sid
from router.web.errors import flow_code

# What stands together on the page; every other parameter comes under the last heading.
_SECTIONS: Final[tuple[tuple[str, tuple[str, ...]], ...]] = (
    ("Name and address", ("FriendlyName", "ChannelType", "ContactIdentity", "ChatServiceSid")),
    ("Integration", ("IntegrationType", "Integration.")),
    ("Which messages", ("Language", "LanguageChange", "LanguageCommands", "Match", "Priority")),
    ("Conversations", ("JanitorEnabled", "LongLived")),
    ("The web chat", ("WebChat.", "TestPage")),
    ("State and answers", ()),
)
_LABELS: Final = {
    "FriendlyName": "Name",
    "ChannelType": "Channel",
    "ContactIdentity": "Address",
    "ChatServiceSid": "Chat service",
    "IntegrationType": "Integration",
    "JanitorEnabled": "Channel Janitor",
    "LongLived": "Long-lived",
    "ValidityPeriod": "Validity period",
}
_WORD: Final = re.compile("[A-Z]+[a-z]*")
_SPELT: Final = {"url": "URL", "sid": "SID", "twiml": "TwiML"}
_TALL: Final = ("Match", "FallbackTwiml", "WebChat.Form", "WebChat.Greeting", "WebChat.AllowedOrigins")
_TALL_ENDS: Final = ("Attributes", "Interaction")
# Parameters whose default depends on the type: left empty, they follow it.
_OF_THE_TYPE: Final = ("Response", "Integration.RetryPolicy")
# Values that a form of the page may have: three times FallbackTwiml's.
_MOST: Final = 200_000
# What stands in for a required value that is wrong, to find what else is.
_STAND_INS: Final = {"FriendlyName": "-", "ContactIdentity": "*"}
# A new flow as the console suggests it; Twilio recommends the Channel Janitor for new flows.
SUGGESTED: Final = {
    "ChannelType": "sms",
    "ContactIdentity": "",
    "IntegrationType": "external",
    "JanitorEnabled": "true",
}


@dataclass(frozen=True, slots=True)
class Input:
    """One field of the page. `shape` is how it is drawn; `classes` say for which types it is shown."""

    name: str
    label: str
    hint: str
    value: str
    error: str
    shape: str
    options: tuple[str, ...]
    classes: str
    required: bool


@dataclass(frozen=True, slots=True)
class Typed:
    """What was typed: the flow that it makes, or None with what is wrong, by parameter."""

    flow: FlexFlow | None
    errors: Mapping[str, str]


def version_of(flow: FlexFlow) -> str:
    """Return a text that any change of the flow changes, by which a form knows that it is out of date."""
    return hashlib.sha256(to_record(flow).encode()).hexdigest()[:24]


def read_typed(
    form: Mapping[str, str], *, account_sid: str, current: FlexFlow | None, handlers: Collection[str]
) -> Typed:
    """Make a flow of a form, or change one; find everything that is wrong in it."""
    names = {each.wire: each for each in FIELDS if each.wire in form}
    params = {
        name: form[name][:_MOST].replace("\r\n", "\n").strip()
        for name, each in names.items()
        if form[name] or not each.write_only  # what was written and cannot be shown is kept
    }
    # Every address is meant only where `*` is written; a web flow makes itself an address.
    required = REQUIRED if form.get("ChannelType") == WEB else (*REQUIRED, "ContactIdentity")
    errors: dict[str, str] = {}
    while True:
        try:
            flow = from_parameters(
                params,
                account_sid=account_sid,
                current=current,
                handlers=handlers,
                now=int(time.time()),
                sid=new_sid("FO"),
                required=required,
            )
        except InvalidFlow as error:
            if error.parameter in errors:
                return Typed(None, errors)
            errors[error.parameter] = reason_of(error)
            # The others are read without it, so that all errors are shown at once.
            params.pop(error.parameter, None)
            if error.parameter in _STAND_INS:
                params[error.parameter] = _STAND_INS[error.parameter]
        else:
            return Typed(None if errors else flow, errors)


def reason_of(error: InvalidFlow) -> str:
    """Write what is wrong with a parameter, with Twilio's code."""
    return f"{error.reason[:1].upper()}{error.reason[1:]} ({flow_code(error)})"


def sections(
    flow: FlexFlow | None, form: Mapping[str, str], errors: Mapping[str, str], handlers: Collection[str]
) -> list[tuple[str, list[Input]]]:
    """Return the page's sections: with what was typed, else with the flow's values, else with what is suggested."""
    left = {each.wire: each for each in FIELDS}
    found = []
    for heading, beginnings in _SECTIONS:
        own = [
            wire for each in beginnings for wire in left if wire == each or (each[-1] == "." and wire.startswith(each))
        ]
        own = own if beginnings else list(left)
        inputs = [_input(left.pop(wire), flow, form, errors, handlers) for wire in own]
        found.append((heading, inputs))
    return found


def _input(
    each: Field, flow: FlexFlow | None, form: Mapping[str, str], errors: Mapping[str, str], handlers: Collection[str]
) -> Input:
    options: tuple[str, ...] = ()
    tall = each.wire in _TALL or each.wire.endswith(_TALL_ENDS)
    shape = "flag" if isinstance(each.kind, Flag) else "area" if tall else "text"
    if isinstance(each.kind, Choice):
        shape, options = "choice", tuple(each.kind.values)
    if each.wire == "Integration.Handler":
        shape, options = "choice", tuple(sorted(handlers))
    hint = each.help
    if each.write_only:
        hint += ". It is never shown; left empty, it stays as it is"
    return Input(
        name=each.wire,
        label=_LABELS.get(each.wire) or _words(each.wire.rpartition(".")[2]),
        hint=hint,
        value=form[each.wire] if each.wire in form else _text(each, flow),
        error=errors.get(each.wire, ""),
        shape=shape,
        options=options,
        classes=" ".join(["type", *each.types] if each.types else ["channel", *each.channels] if each.channels else []),
        required=each.wire in REQUIRED,
    )


def _words(name: str) -> str:
    """Write a parameter's name in words, as `Retry count`."""
    words = _WORD.findall(name)
    text = " ".join([words[0], *(word.lower() for word in words[1:])])
    for word, right in _SPELT.items():
        text = re.sub(rf"\b{word}\b", right, text, flags=re.IGNORECASE)
    return text


def _text(each: Field, flow: FlexFlow | None) -> str:
    if each.write_only or (flow and each.wire in _OF_THE_TYPE and not is_given(flow, each)):
        return ""
    if flow is None:
        value: Any = SUGGESTED.get(each.wire, each.default)
    else:
        value = value_of(flow, each.attribute)
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)
