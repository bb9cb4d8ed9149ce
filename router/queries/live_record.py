"""Converts a record of Twilio to a flow of the router.

A FlexFlow becomes the flow of the same SID, an Address Configuration (`IG…`) the flow whose SID has the same digits.
Parameters that Twilio does not have (`Paused`, `ValidityPeriod`, a signing key, …) do not change.
"""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from router.flow.address_configuration import from_form
from router.flow.flex_flow import FIELDS, FlexFlow
from router.flow.resource import from_parameters
from router.sid import is_sid
from router.twilio_api.flows import LiveRecord

_ADDRESS_PARAMETERS: Final = ("Type", "Address", "FriendlyName", "AddressCountry")
_CREATION_PARAMETERS: Final = (
    "Enabled", "Type", "ConversationServiceSid", "WebhookUrl", "WebhookMethod", "StudioFlowSid", "StudioRetryCount",
)  # fmt: skip
_WORD: Final = re.compile(r"(?<!^)(?=[A-Z])")


def flow_sid(record: LiveRecord) -> str:
    """Return the SID of the record's flow."""
    return "FO" + record.sid[2:] if is_sid(record.sid, "IG") else record.sid


def to_flow(
    record: LiveRecord, before: FlexFlow | None, *, account_sid: str, handlers: Collection[str], now: int
) -> FlexFlow:
    """Convert a record to a flow, with the parameters that only the router's flow `before` has.

    Raises:
        InvalidFlow: a value that a flow of the router cannot have, with the parameter's name in Twilio's resource.
        ValueError: an invalid SID, or a value that is not a text, integer or boolean.
    """
    if not is_sid(record.sid, "FO", "IG"):
        raise ValueError("its SID is not that of a FlexFlow or an Address Configuration")
    read: Callable[..., FlexFlow] = _read_address if record.sid.startswith("IG") else _read_flex_flow
    flow = read(
        record.values,
        account_sid=account_sid,
        current=before,
        handlers=handlers,
        now=now,
        sid=flow_sid(record),
    )
    created = record.values.get("date_created")
    if before is None and isinstance(created, datetime):
        flow = replace(flow, date_created=int(created.timestamp()))
    return flow


def _read_flex_flow(values: Mapping[str, Any], **more: Any) -> FlexFlow:
    nested = values.get("integration") or {}
    flat = dict(values) | {f"integration.{name}": value for name, value in nested.items()}
    params = {each.wire: _text(flat[each.key]) for each in FIELDS if each.key in flat}
    return from_parameters(params, required=("ChannelType",), **more)


def _read_address(values: Mapping[str, Any], **more: Any) -> FlexFlow:
    creation = values.get("auto_creation") or {}
    form = {name: _text(values.get(_snake(name))) for name in _ADDRESS_PARAMETERS}
    for name in _CREATION_PARAMETERS:
        if _snake(name) in creation:
            form[f"AutoCreation.{name}"] = _text(creation[_snake(name)])
    filters = creation.get("webhook_filters")
    # An empty filter means "no filters", which is different from not setting them.
    return from_form(form, [""] if filters == [] else filters or [], **more)


def _snake(name: str) -> str:
    return _WORD.sub("_", name).lower()


def _text(value: object) -> str:
    """Convert a JSON value to a form value; null becomes the empty text, which stands for the default."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | int):
        return str(value)
    raise ValueError(f"{str(value)[:40]!r} is not a text, integer or boolean")
