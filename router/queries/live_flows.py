"""Compares the flows of an account at Twilio with the router's flows."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final

from router.errors import InvalidFlow
from router.flow.diff import Change, change, in_order
from router.flow.file import address_of
from router.flow.flex_flow import FlexFlow
from router.queries.live_record import flow_sid, to_flow
from router.twilio_api.flows import LiveRecord

# The integrations that one of Twilio's two resources can have.
_KNOWN_TO_TWILIO: Final = ("studio", "external", "task", "conversation")


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
        unique.setdefault(flow_sid(record), record)
    owners = {address_of(flow): flow.sid for flow in current.values() if flow.sid not in unique and _owns(flow)}
    changes, left_out = [], []
    for sid, record in unique.items():
        before = current.get(sid)
        try:
            after = to_flow(record, before, account_sid=account_sid, handlers=handlers, now=now)
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


def _owns(flow: FlexFlow) -> bool:
    return flow.enabled and flow.is_default


def _is_expressible(flow: FlexFlow) -> bool:
    return flow.is_default and flow.integration.type in _KNOWN_TO_TWILIO


def _taken(flow: FlexFlow, owner: str, *, at_twilio: bool) -> str:
    place = "at Twilio, too" if at_twilio else "here"
    return f"{flow.contact_identity} has the enabled {flow.channel_type} flow {owner} {place}; disable one of them"
