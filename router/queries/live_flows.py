"""Converts the flows of an account at Twilio, and compares them with the router's flows.

A FlexFlow becomes the flow of the same SID, an Address Configuration (`IG…`) the flow whose SID has the same digits.
Parameters that Twilio does not have (`Paused`, `ValidityPeriod`, a signing key, …) do not change.
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from router.errors import InvalidFlow
from router.flow.address_configuration import from_form
from router.flow.diff import Change, change, in_order
from router.flow.file import address_of
from router.flow.flex_flow import FIELDS, FlexFlow
from router.flow.resource import from_parameters
from router.sid import is_sid
from router.twilio_api.flows import LiveRecord

# The integrations that one of Twilio's two resources can have.
_KNOWN_TO_TWILIO: Final = ("studio", "external", "task", "conversation")
_ADDRESS_PARAMETERS: Final = ("Type", "Address", "FriendlyName", "AddressCountry")
_CREATION_PARAMETERS: Final = (
    "Enabled", "Type", "ConversationServiceSid", "WebhookUrl", "WebhookMethod", "StudioFlowSid", "StudioRetryCount",
)  # fmt: skip
_WORD: Final = re.compile(r"(?<!^)(?=[A-Z])")


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A record of Twilio that cannot be a flow of the router: its SID, its name or address, and the reason."""

    sid: str
    label: str
    reason: str

    def __str__(self) -> str:
        """Return it in one line."""
        return f"{self.sid} “{self.label}”: {self.reason}"


@dataclass(frozen=True, slots=True)
class Comparison:
    """The comparison of an account at Twilio with the router's flows.

    Args:
        read: how many records Twilio has.
        changes: the changes after which the router has Twilio's flows, in the order in which they can be written.
        left_out: records that cannot be flows of the router.
        only_here: flows of the router that Twilio could have, but does not have.
    """

    read: int
    changes: tuple[Change, ...]
    left_out: tuple[LeftOut, ...]
    only_here: tuple[FlexFlow, ...]

    @property
    def same(self) -> bool:
        """Whether there is no difference."""
        return not (self.changes or self.left_out or self.only_here)


def compare(
    records: Iterable[LiveRecord], here: Iterable[FlexFlow], *, account_sid: str, handlers: Collection[str], now: int
) -> Comparison:
    """Compare the records of Twilio with the router's flows.

    Args:
        records: the FlexFlows, then the addresses; for a flow that is in both, the second record is ignored.
        here: all flows of the account in the router.
        account_sid: the account.
        handlers: the handlers that its flows may name.
        now: the date of the changes, in Unix seconds.
    """
    current = {flow.sid: flow for flow in here}
    unique: dict[str, LiveRecord] = {}
    for record in records:
        unique.setdefault(_flow_sid(record), record)
    owners = {address_of(flow): flow.sid for flow in current.values() if flow.sid not in unique and _owns(flow)}
    changes, left_out = [], []
    for sid, record in unique.items():
        before = current.get(sid)
        try:
            after = _flow(record, before, account_sid=account_sid, handlers=handlers, now=now)
            reason = ""
            if _owns(after) and (owner := owners.setdefault(address_of(after), sid)) != sid:
                reason = _taken(after, owner, at_twilio=owner in unique)
        except (InvalidFlow, ValueError) as error:
            reason = str(error)
        if reason:
            label = str(record.values.get("friendly_name") or record.values.get("address") or "")
            left_out.append(LeftOut(record.sid, label, reason))
        elif found := change(before, after):
            changes.append(found)
    only_here = (flow for flow in current.values() if flow.sid not in unique and _is_expressible(flow))
    return Comparison(len(unique), in_order(changes), tuple(left_out), tuple(only_here))


def _flow_sid(record: LiveRecord) -> str:
    return "FO" + record.sid[2:] if is_sid(record.sid, "IG") else record.sid


def _owns(flow: FlexFlow) -> bool:
    return flow.enabled and flow.is_default


def _is_expressible(flow: FlexFlow) -> bool:
    return flow.is_default and flow.integration.type in _KNOWN_TO_TWILIO


def _taken(flow: FlexFlow, owner: str, *, at_twilio: bool) -> str:
    place = "at Twilio, too" if at_twilio else "here"
    return f"{flow.contact_identity} has the enabled {flow.channel_type} flow {owner} {place}; disable one of them"


def _flow(
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
        sid=_flow_sid(record),
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
