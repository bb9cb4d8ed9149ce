"""The Flex Flow: defines which integration receives the messages for an address.

Its parameters, with their wire names, kinds and defaults, are in `router.flow.parameter.FIELDS`.

https://www.twilio.com/docs/flex/developer/messaging/flow
"""

from collections.abc import Collection, Mapping
from dataclasses import field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final

from router.errors import InvalidFlow
from router.flow.integration_type import INTEGRATION_TYPES, integration_type
from router.flow.parameter import (
    FIELDS,
    REQUIRED,
    Field,
    default_response,
    default_retry_policy,
)
from router.flow.web_chat import WebChat
from router.message.address import canonical, channel_of
from router.message.channel import WEB
from router.sid import is_sid
from router.url import origin
from router.value import value

__all__ = [
    "FIELDS",
    "REQUIRED",
    "Field",
    "FlexFlow",
    "Integration",
    "address_sid",
    "from_parameters",
    "is_given",
    "own_address",
    "to_resource",
    "value_of",
]

_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})
_NO_WEB_CHAT: Final = WebChat()


@value
class Integration:
    """The integration that receives the messages of a flow. Texts that were not given are ""; times are seconds.

    An empty `retry_policy` becomes the default of the type.
    """

    type: str
    flow_sid: str = ""
    url: str = ""
    proxy_service_sid: str = ""
    handler: str = ""
    workspace_sid: str = ""
    workflow_sid: str = ""
    channel: str = "default"
    timeout: int = 86_400
    priority: int = 0
    creation_on_message: bool = False
    task_attributes: str = ""
    task_per_conversation: bool = True
    interaction: str = ""
    retry_count: int = 3
    retry_policy: tuple[str, ...] = ()
    signing_key: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        if not self.retry_policy:
            object.__setattr__(self, "retry_policy", default_retry_policy(self.type))

    @property
    def target(self) -> str:
        """What names its target: a URL, a SID or a handler; "" if it has none, or the account's own."""
        for each in integration_type(self.type).targets:
            if name := getattr(self, each):
                return str(name)
        return ""


@value
class FlexFlow:
    """A Flex Flow. `contact_identity` is canonical, dates are Unix seconds.

    An empty `response` becomes the default of the integration's type. `extra` has the parameters that only the address
    configuration (IG…) of the flow has.
    """

    sid: str
    account_sid: str
    friendly_name: str
    chat_service_sid: str
    channel_type: str
    contact_identity: str
    integration: Integration
    enabled: bool = True
    long_lived: bool = False
    janitor_enabled: bool = False
    validity_period: int = 14_400
    language: tuple[str, ...] = ()
    language_change: bool = False
    language_commands: bool = False
    match: str = ""
    priority: int = 0
    response: str = ""
    capture: str = "auto"
    migrate_to: str = ""
    migrate_percent: int = 0
    paused: bool = False
    fallback_twiml: str = ""
    test_page: bool = True
    web_chat: WebChat = _NO_WEB_CHAT
    date_created: int = 0
    date_updated: int = 0
    extra: Mapping[str, Any] = field(default_factory=lambda: _NOTHING, hash=False)

    def __post_init__(self) -> None:
        if not self.response:
            object.__setattr__(self, "response", default_response(self.integration.type))

    @property
    def is_default(self) -> bool:
        """Whether it takes every message for its address: an address has at most one such enabled flow."""
        return not self.language and not self.match

    @property
    def undeliverable(self) -> str:
        """Why this version cannot deliver its messages, which wait; "" if it can."""
        kind = self.integration.type
        if kind not in INTEGRATION_TYPES:
            return f"goes to {kind}, which this version does not know"
        if self.channel_type == WEB and not integration_type(kind).takes_web:
            return f"goes to {kind}, which this version cannot deliver web chats to"
        return ""

    @property
    def is_held(self) -> bool:
        """Whether its messages wait until it is changed: it is paused, or this version cannot deliver to it."""
        return self.paused or bool(self.undeliverable)

    @property
    def has_own_address(self) -> bool:
        """Whether it is a web flow with its own address, because it was created without a ContactIdentity."""
        return self.channel_type == WEB and self.contact_identity == own_address(self.sid)

    @property
    def is_lasting(self) -> bool:
        """Whether a conversation stays with it however long it is idle."""
        return self.long_lived and not self.janitor_enabled

    @property
    def target(self) -> str:
        """The target, for breakers, shares and metrics: an origin, a handler, or the integration's type."""
        kind = integration_type(self.integration.type)
        if not kind.separate:
            return self.integration.type
        name = self.integration.target
        return origin(name) if kind.targets == ("url",) else f"{kind.name}:{name}"


def address_sid(flow: FlexFlow) -> str:
    """Return the SID of the flow as an address configuration, which has the same hexadecimal digits."""
    return "IG" + flow.sid[2:]


def own_address(sid: str) -> str:
    """Return the address of a web flow that was created without one."""
    return f"{WEB}:IG{sid[2:]}"


def from_parameters(  # noqa: PLR0913 - pure: time, names and SID are keyword arguments
    params: Mapping[str, str],
    *,
    account_sid: str,
    current: FlexFlow | None,
    handlers: Collection[str],
    now: int,
    sid: str,
    required: Collection[str] = REQUIRED,
) -> FlexFlow:
    """Create or change a flow with the parameters of a form.

    Unknown parameters, and those that the integration's type does not use, are ignored, as by Twilio
    (https://www.twilio.com/docs/api/errors/20001). An empty parameter means its default. Without an IntegrationType, a
    flow with an Integration.FlowSid is `studio` and one with an Integration.Url `external`; with neither, a new flow is
    `proxy`, or `conversation` on web, and a changed flow keeps its type. A `conversation` flow always keeps it. If the
    type changes, a Response or RetryPolicy that was the default becomes the default of the new type.

    Args:
        params: the parameters by their wire names.
        account_sid: the account of a new flow.
        current: the flow to change; None for a new one.
        handlers: the names that Integration.Handler may have.
        now: Unix seconds.
        sid: the SID of a new flow.
        required: the parameters that a new flow must have.

    Raises:
        InvalidFlow: a parameter is missing or invalid.
    """
    given = {each.wire: _parse(each, params[each.wire]) for each in FIELDS if each.wire in params}
    missing = (wire for wire in required if not given.get(wire) and (wire in given or current is None))
    if (wire := next(missing, None)) is not None:
        raise InvalidFlow(wire, "is required")
    values = {each.wire: given.get(each.wire, _value(current, each)) for each in FIELDS}
    kind = values["IntegrationType"] = _integration_type(params, given, current)
    channel = values["ChannelType"]
    if channel == WEB and not params.get("ContactIdentity") and (current is None or "ContactIdentity" in params):
        values["ContactIdentity"] = own_address(current.sid if current else sid)
    values["ContactIdentity"] = _contact_identity(values["ContactIdentity"], channel)
    for wire in integration_type(kind).needs:
        if not values[wire]:
            raise InvalidFlow(wire, f"is required when IntegrationType is {kind}")
    handler = values["Integration.Handler"]
    # The handler may have been removed from the settings since: pausing the flow must still be possible.
    if kind == "handler" and handler not in handlers and (current is None or handler != current.integration.handler):
        known = ", ".join(sorted(handlers)) or "they have no handlers"
        raise InvalidFlow("Integration.Handler", f"{handler!r} is not a handler in the router's settings ({known})")
    _check_response(values["Response"], kind, channel)
    _check_conversation(values, kind)
    if values["MigrateTo"] == (current.sid if current else sid):
        raise InvalidFlow("MigrateTo", "is the flow itself; it names the flow that takes over")
    parts: dict[str, dict[str, Any]] = {"": {}, "integration": {}, "web_chat": {}}
    for each in FIELDS:
        place, _, name = each.attribute.rpartition(".")
        if each.used_by(kind, channel):
            parts[place][name] = values[each.wire]
    return FlexFlow(
        sid=current.sid if current else sid,
        account_sid=current.account_sid if current else account_sid,
        integration=Integration(**parts["integration"]),
        web_chat=WebChat(**parts["web_chat"]),
        date_created=current.date_created if current else now,
        date_updated=now,
        extra=current.extra if current else _NOTHING,
        **parts[""],
    )


def value_of(flow: FlexFlow, attribute: str) -> Any:
    """Return the value of one of `FIELDS`, by its attribute."""
    place, _, name = attribute.rpartition(".")
    return getattr(getattr(flow, place) if place else flow, name)


def is_given(flow: FlexFlow, each: Field) -> bool:
    """Return whether a flow has another value than the default for one of `FIELDS`."""
    return bool(value_of(flow, each.attribute) != _default(each, flow.integration.type))


def _default(each: Field, integration_type: str) -> Any:
    if each.wire == "Response":
        return default_response(integration_type)
    return default_retry_policy(integration_type) if each.wire == "Integration.RetryPolicy" else each.default


def _value(current: FlexFlow | None, each: Field) -> Any:
    return value_of(current, each.attribute) if current and is_given(current, each) else each.default


def _parse(each: Field, text: str) -> Any:
    try:
        return each.kind.parse(text) if text else each.default
    except ValueError as error:
        raise InvalidFlow(each.wire, str(error)) from None


def _integration_type(params: Mapping[str, str], given: Mapping[str, Any], current: FlexFlow | None) -> str:
    if params.get("IntegrationType"):
        return str(given["IntegrationType"])
    if current and current.integration.type == "conversation":  # it may have either of them
        return "conversation"
    if params.get("Integration.FlowSid"):
        return "studio"
    if params.get("Integration.Url"):
        return "external"
    if current:
        return current.integration.type
    return "conversation" if given.get("ChannelType") == WEB else "proxy"


def _check_response(response: str, kind: str, channel: str) -> None:
    if channel == WEB and kind == "proxy":
        fit = ", ".join(each for each in INTEGRATION_TYPES if each != "proxy")
        raise InvalidFlow("IntegrationType", f"web cannot use Proxy; choose one of {fit}")
    if response == "redirect" and channel == WEB:
        raise InvalidFlow("Response", "redirect needs a webhook of Twilio, but web has none; choose relay or accept")
    if response == "redirect" and not integration_type(kind).redirects:
        fit = " or ".join(each.name for each in INTEGRATION_TYPES.values() if each.redirects)
        raise InvalidFlow("Response", f"redirect needs a URL, which {kind} does not have; it works with {fit}")


def _check_conversation(values: Mapping[str, Any], kind: str) -> None:
    if kind == "conversation" and values["Integration.FlowSid"] and values["Integration.Url"]:
        raise InvalidFlow(
            "Integration.Url",
            "a Conversation goes to a Studio flow or to a webhook, not both: leave this or FlowSid empty",
        )


def _contact_identity(written: str, channel_type: str) -> str:
    """Return the canonical form; raise InvalidFlow for an address of another channel, which would get no message."""
    identity = canonical(written, channel_type)
    if not identity:
        raise InvalidFlow("ContactIdentity", "is empty; write * for every address")
    if identity == "*" or channel_type == WEB or is_sid(identity, "MG"):
        return identity
    channel = channel_of(identity)
    if channel != channel_type and not (channel_type == "custom" and ":" not in identity):
        raise InvalidFlow("ContactIdentity", f"{identity!r} is an address of {channel}, not of {channel_type}")
    return identity


def to_resource(flow: FlexFlow, base_url: str) -> dict[str, Any]:
    """Return the flow in Twilio's JSON, without write-only parameters; a text that was not given is null."""
    resource: dict[str, Any] = {"sid": flow.sid, "account_sid": flow.account_sid}
    parts: dict[str, dict[str, Any]] = {"integration": {}}
    for each in FIELDS:
        place, _, name = each.attribute.rpartition(".")
        used = each.used_by(flow.integration.type, flow.channel_type)
        value = value_of(flow, each.attribute)
        value = list(value) if isinstance(value, tuple) else value
        if name == "type":
            resource["integration_type"] = value
        elif not place and (used or not each.channels):
            resource[name] = None if value == "" else value
        elif place and value != "" and used and not each.write_only:
            parts.setdefault(place, {})[name] = value
    return (
        resource
        | parts
        | {
            "date_created": _iso(flow.date_created),
            "date_updated": _iso(flow.date_updated),
            "url": f"{base_url}/v1/FlexFlows/{flow.sid}",
        }
    )


def _iso(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
