"""The form of a flow: sections and fields come from the table of parameters; errors are shown beside their fields."""

import hashlib
import re
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from router.errors import InvalidFlow
from router.flow.file import REQUIRED
from router.flow.flex_flow import FIELDS, Field, FlexFlow, is_given, value_of
from router.flow.kind import Choice, Flag
from router.flow.record import to_record
from router.flow.resource import from_parameters
from router.message.channel import WEB
from router.sid import new_sid
from router.web.console.page import value
from router.web.errors import flow_code

# The sections of the page with their parameters; the last section has all other parameters.
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
# Parameters whose default depends on the integration type, and which are shown empty while they have it.
_OF_THE_TYPE: Final = ("Response", "Integration.RetryPolicy")
# The maximum number of characters of a value: three times the maximum of FallbackTwiml.
_MOST: Final = 200_000
# Replacements for required values that are wrong, to find the other errors.
_STAND_INS: Final = {"FriendlyName": "-", "ContactIdentity": "*"}
# The suggested values of a new flow; Twilio recommends the Channel Janitor for new flows.
SUGGESTED: Final = {
    "ChannelType": "sms",
    "ContactIdentity": "",
    "IntegrationType": "external",
    "JanitorEnabled": "true",
}


@dataclass(frozen=True, slots=True)
class Input:
    """One field of the page. `shape` is its kind of input; `classes` are the types for which it is shown."""

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
    """The parsed form: its flow, or None and the errors by parameter."""

    flow: FlexFlow | None
    errors: Mapping[str, str]


def version_of(flow: FlexFlow) -> str:
    """Return a hash of the flow, with which a form detects that the flow has changed since."""
    return hashlib.sha256(to_record(flow).encode()).hexdigest()[:24]


def read_typed(
    form: Mapping[str, str], *, account_sid: str, current: FlexFlow | None, handlers: Collection[str]
) -> Typed:
    """Convert a form to a new flow, or to a changed `current`; find all errors."""
    names = {each.wire: each for each in FIELDS if each.wire in form}
    params = {
        name: form[name][:_MOST].replace("\r\n", "\n").strip()
        for name, each in names.items()
        if form[name] or not each.write_only  # an empty write-only field keeps its value
    }
    # An empty address does not mean all addresses, as `*` does; a web flow generates its own.
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
            # Parse again without it, so that all errors are shown together.
            params.pop(error.parameter, None)
            if error.parameter in _STAND_INS:
                params[error.parameter] = _STAND_INS[error.parameter]
        else:
            return Typed(None if errors else flow, errors)


def reason_of(error: InvalidFlow) -> str:
    """Return what is wrong with a parameter, with Twilio's code."""
    return f"{error.reason[:1].upper()}{error.reason[1:]} ({flow_code(error)})"


def sections(
    flow: FlexFlow | None, form: Mapping[str, str], errors: Mapping[str, str], handlers: Collection[str]
) -> list[tuple[str, list[Input]]]:
    """Return the sections of the page, with the input, else the flow's values, else the suggested ones."""
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
        hint += ". It is never shown; leave it empty to keep it"
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
    """Return a parameter's name in words, for example `Retry count`."""
    words = _WORD.findall(name)
    text = " ".join([words[0], *(word.lower() for word in words[1:])])
    for word, right in _SPELT.items():
        text = re.sub(rf"\b{word}\b", right, text, flags=re.IGNORECASE)
    return text


def _text(each: Field, flow: FlexFlow | None) -> str:
    if each.write_only or (flow and each.wire in _OF_THE_TYPE and not is_given(flow, each)):
        return ""
    found = SUGGESTED.get(each.wire, each.default) if flow is None else value_of(flow, each.attribute)
    return value(found, comma=",")
