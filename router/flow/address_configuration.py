"""A flow as Twilio's Conversations address configuration: form parameters and JSON.

Parameters without an equivalent in a flow are kept in its `extra`; fields of a flow without an equivalent in an address
configuration are left unchanged by an update.

https://www.twilio.com/docs/conversations-classic/api/address-configuration-resource
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from router.errors import InvalidFlow
from router.flow.flex_flow import FlexFlow, address_sid
from router.flow.kind import Choice, Kind
from router.flow.resource import from_parameters, to_resource
from router.message.channel import ALL, WEB

# Twilio's type to our channel.
_CHANNELS: Final = {type_: name for name, each in ALL.items() for type_ in each.types}
TYPE: Final = Choice(tuple(_CHANNELS))
_INTEGRATIONS: Final = {"webhook": "external", "studio": "studio"}
_CREATION_TYPES: Final = {integration: creation for creation, integration in _INTEGRATIONS.items()}
NAMES: Final = {
    "Address": "ContactIdentity",
    "FriendlyName": "FriendlyName",
    "AutoCreation.Enabled": "Enabled",
    "AutoCreation.ConversationServiceSid": "ChatServiceSid",
    "AutoCreation.WebhookUrl": "Integration.Url",
    "AutoCreation.StudioFlowSid": "Integration.FlowSid",
    "AutoCreation.StudioRetryCount": "Integration.RetryCount",
}
# The parameters that a form may have once; WebhookFilters may be repeated.
ONCE: Final = (*NAMES, "Type", "AddressCountry", "AutoCreation.Type", "AutoCreation.WebhookMethod")
_OURS: Final = {flow: address for address, flow in NAMES.items()} | {"ChannelType": "Type"}
CREATION: Final = Choice(("webhook", "studio", "default"))
METHOD: Final = Choice(("get", "post"))
_COUNTRY: Final = re.compile("[A-Za-z]{2}")
EVENTS: Final = Choice(
    (
        "onMessageAdded", "onMessageUpdated", "onMessageRemoved", "onConversationUpdated", "onConversationStateUpdated",
        "onConversationRemoved", "onParticipantAdded", "onParticipantUpdated", "onParticipantRemoved",
        "onDeliveryUpdated",
    )
)  # fmt: skip


def type_of(flow: FlexFlow) -> str:
    """Return the type of a flow's address in Twilio's address configurations."""
    if flow.channel_type == "custom":
        return str(flow.extra.get("type", "custom"))
    return ALL[flow.channel_type].types[0]


def channel_of_type(type_: str) -> str:
    """Return our channel of Twilio's type."""
    return _CHANNELS[type_]


def to_address(flow: FlexFlow, base_url: str) -> dict[str, Any]:
    """Return the flow as an address configuration, in Twilio's JSON."""
    sid, extra, integration = address_sid(flow), flow.extra, flow.integration
    kind = _CREATION_TYPES.get(integration.type, "default")
    creation: dict[str, Any] = {
        "enabled": flow.enabled,
        "type": kind,
        "conversation_service_sid": flow.chat_service_sid or None,
    }
    if kind == "webhook":
        creation |= {
            "webhook_url": integration.url,
            "webhook_method": extra.get("webhook_method", "POST"),
            "webhook_filters": list(extra.get("webhook_filters", ())),
        }
    elif kind == "studio":
        creation |= {"studio_flow_sid": integration.flow_sid, "studio_retry_count": integration.retry_count}
    resource = to_resource(flow, base_url)
    return {
        "sid": sid,
        "account_sid": flow.account_sid,
        "type": type_of(flow),
        "address": flow.contact_identity.removeprefix(f"{WEB}:"),
        "friendly_name": flow.friendly_name or None,
        "address_country": extra.get("address_country"),
        "auto_creation": creation,
        "date_created": resource["date_created"],
        "date_updated": resource["date_updated"],
        "url": f"{base_url}/v1/Configuration/Addresses/{sid}",
    }


def from_form(  # noqa: PLR0913 - as router.flow.resource.from_parameters
    form: Mapping[str, str],
    filters: Sequence[str],
    *,
    account_sid: str,
    current: FlexFlow | None,
    handlers: Collection[str],
    now: int,
    sid: str,
) -> FlexFlow:
    """Create or change a flow with the parameters of an address configuration.

    Without AutoCreation.Enabled, the flow is created disabled, as with Twilio. `AutoCreation.Type=default` changes a
    studio or webhook integration to `conversation`, and leaves other integrations unchanged, since they are shown as
    `default`.

    Args:
        form: the parameters by their wire names.
        filters: the values of `AutoCreation.WebhookFilters`, which may be given several times.
        account_sid: as for `router.flow.resource.from_parameters`.
        current: the same.
        handlers: the same.
        now: the same.
        sid: the same.

    Raises:
        InvalidFlow: a parameter is missing or invalid; it has the name of this resource.
    """
    extra = _extra(form, filters, current)
    given = {flow: form[name] for name, flow in NAMES.items() if name in form}
    if current is None:
        kind = _parse("Type", form.get("Type", ""), TYPE, required=True)
        given["ChannelType"] = _CHANNELS[kind]
        if given["ChannelType"] == "custom" and kind != "custom":
            extra["type"] = kind
    else:
        given.pop("ContactIdentity", None)  # the address of a configuration cannot be changed
    if current is None or "Enabled" in given:
        given["Enabled"] = given.get("Enabled") or "false"
    given |= _integration_type(form, current)
    try:
        flow = from_parameters(
            given,
            account_sid=account_sid,
            current=current,
            handlers=handlers,
            now=now,
            sid=sid,
            required=("ContactIdentity",),
        )
    except InvalidFlow as error:
        raise _translated(error) from None
    return replace(flow, extra=extra)


def _integration_type(form: Mapping[str, str], current: FlexFlow | None) -> dict[str, str]:
    """Return the integration type as a parameter of the flow; empty if the flow keeps its type."""
    kind = form.get("AutoCreation.Type", "")
    if kind:
        _parse("AutoCreation.Type", kind, CREATION)
        if kind in _INTEGRATIONS:
            return {"IntegrationType": _INTEGRATIONS[kind]}
        kept = current is not None and current.integration.type not in _CREATION_TYPES
        return {"IntegrationType": current.integration.type if current and kept else "conversation"}
    if form.get("AutoCreation.StudioFlowSid"):
        return {"IntegrationType": "studio"}
    if form.get("AutoCreation.WebhookUrl"):
        return {"IntegrationType": "external"}
    if current:
        return {}
    return {"IntegrationType": "conversation"}


def _extra(form: Mapping[str, str], filters: Sequence[str], current: FlexFlow | None) -> dict[str, Any]:
    """Return the values for the flow's `extra`, with the changes of the form; empty values are removed."""
    extra = dict(current.extra) if current else {}
    given: dict[str, Any] = {}
    if "AutoCreation.WebhookMethod" in form:
        method = form["AutoCreation.WebhookMethod"]
        given["webhook_method"] = _parse("AutoCreation.WebhookMethod", method.lower(), METHOD).upper()
    if filters:
        events = (_parse("AutoCreation.WebhookFilters", event, EVENTS) for event in filters)
        given["webhook_filters"] = [event for event in dict.fromkeys(events) if event]
    if current is None and "AddressCountry" in form:
        country = form["AddressCountry"]
        if country and not _COUNTRY.fullmatch(country):
            raise InvalidFlow("AddressCountry", f"{country[:20]!r} is not an ISO 3166-1 alpha-2 code, as US")
        given["address_country"] = country.upper()
    return {name: value for name, value in (extra | given).items() if value}


def _parse(name: str, text: str, kind: Kind, *, required: bool = False) -> str:
    if not text and required:
        raise InvalidFlow(name, "is required")
    try:
        return str(kind.parse(text)) if text else ""
    except ValueError as error:
        raise InvalidFlow(name, str(error)) from None


def _translated(error: InvalidFlow) -> InvalidFlow:
    """Translate an error of the flow to the parameters of the address configuration."""
    reason = error.reason
    for integration, kind in _CREATION_TYPES.items():
        reason = reason.replace(f"IntegrationType is {integration}", f"AutoCreation.Type is {kind}")
    return InvalidFlow(_OURS.get(error.parameter, error.parameter), reason)
