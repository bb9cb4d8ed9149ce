"""The FlexFlows resource: creates or changes a Flex Flow with the parameters of a form, and shows it as Twilio's JSON.

https://www.twilio.com/docs/flex/developer/messaging/flow
"""

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any, Final

from router.errors import InvalidFlow
from router.flow.flex_flow import FlexFlow, Integration, is_given, own_address, value_of
from router.flow.integration_type import INTEGRATION_TYPES, integration_type
from router.flow.parameter import FIELDS, REQUIRED, Field
from router.flow.web_chat import WebChat
from router.iso_time import utc
from router.message.address import canonical, channel_of
from router.message.channel import WEB
from router.sid import is_sid

_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


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
    # If the handler has been removed from the settings since, it must still be possible to pause the flow.
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
    if current and current.integration.type == "conversation":  # it may have a FlowSid or a Url
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
    """Return the canonical form; raise InvalidFlow for an address of another channel, which would match no message."""
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
            "date_created": utc(1000 * flow.date_created),
            "date_updated": utc(1000 * flow.date_updated),
            "url": f"{base_url}/v1/FlexFlows/{flow.sid}",
        }
    )
