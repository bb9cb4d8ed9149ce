"""Resolve: which flow takes a message, and every step of why. Pure: the entries of its addresses come as arguments."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from router.flow import FlexFlow
from router.message import Message

# Steps are stored with every message: beyond so many flows that were not taken for one reason, only their number is.
_NAMED: Final = 3


@dataclass(frozen=True, slots=True)
class Entry:
    """What is known of one contact identity: its flows, and the version of that knowledge, "" for no such entry."""

    identity: str
    version: str
    flows: tuple[FlexFlow, ...]


@dataclass(frozen=True, slots=True)
class Route:
    """Where a message goes, and why.

    Args:
        flow: the flow that takes it; None when there is none.
        decisive: whether nothing but the flow's address was asked. A conversation may stay with another candidate
            where it was not.
        candidates: the SIDs of the flows that could take it.
        entries: the entries that the route came from; a change of any of them may change the route.
        steps: what was looked at, in order, in sentences that a person understands.
        reason: why there is no flow; "" when there is one.

    """

    flow: FlexFlow | None
    decisive: bool
    candidates: tuple[str, ...]
    entries: tuple[Entry, ...]
    steps: tuple[str, ...]
    reason: str = ""


def identities(message: Message) -> tuple[str, ...]:
    """Return the contact identities that a message's flow may be found by; the first that has a flow wins."""
    if message.messaging_service_sid:
        return (message.contact_identity, message.messaging_service_sid, "*")
    return (message.contact_identity, "*")


def resolve(message: Message, entries: Sequence[Entry]) -> Route:
    """Choose the flow of a message from the entries of its `identities`, in that order.

    The first entry that has an enabled flow of the message's channel decides; of several such flows the one with the
    smallest Priority, then the oldest. A flow that is paused is chosen like any other: its messages wait.
    """
    steps: list[str] = []
    decisive = True
    for place, entry in enumerate(entries):
        flows = entry.flows
        if len(flows) > 1:
            flows = tuple(sorted(flows, key=_rank))
        chosen = next((flow for flow in flows if _why_not(flow, message.channel) is None), None)
        if chosen is None or len(flows) > 1:
            # Flows of other channels explain something only where nothing is found: `*` has one for each of them.
            of_interest = flows if chosen is None else [each for each in flows if each.channel_type == message.channel]
            steps += _not_taken(of_interest, message.channel)
            # Language and Match are not looked at yet: when they are, they may choose one of these instead.
            decisive = decisive and not any(_is_conditional(flow, message.channel) for flow in flows)
        if chosen is not None:
            steps.append(f"{entry.identity} has {chosen.sid}{', which is paused' if chosen.paused else ''}")
            return Route(chosen, decisive, (chosen.sid,), tuple(entries[: place + 1]), tuple(steps))
        if not flows:
            steps.append(f"{entry.identity} has no flow")
    reason = _reason(message, entries)
    return Route(None, decisive, (), tuple(entries), tuple(steps), reason)


def _rank(flow: FlexFlow) -> tuple[int, int, str]:
    return flow.priority, flow.date_created, flow.sid


def _why_not(flow: FlexFlow, channel: str) -> str | None:
    """Say why a flow does not take a message that came for its address; None when it does."""
    if flow.channel_type != channel:
        return f"for {flow.channel_type}"
    if not flow.enabled:
        return "disabled"
    if not flow.is_default:
        return "for a Language or Match, which are not looked at yet"
    return None


def _is_conditional(flow: FlexFlow, channel: str) -> bool:
    return flow.enabled and flow.channel_type == channel and not flow.is_default


def _not_taken(flows: Iterable[FlexFlow], channel: str) -> list[str]:
    refused: dict[str, list[str]] = {}
    for flow in flows:
        why = _why_not(flow, channel)
        if why is not None:
            refused.setdefault(why, []).append(flow.sid)
    return [
        f"{', '.join(sids) if len(sids) <= _NAMED else f'{len(sids)} flows'} not taken: {why}"
        for why, sids in refused.items()
    ]


def _reason(message: Message, entries: Sequence[Entry]) -> str:
    """Say in one sentence why nothing takes the message, and what would be nearest to taking it."""
    flows = [(entry.identity, flow) for entry in entries for flow in entry.flows]
    near = [(identity, flow) for identity, flow in flows if flow.channel_type == message.channel]
    if len(near) == 1:
        identity, flow = near[0]
        return f"the only {message.channel} flow for {identity} ({flow.sid}) is {_why_not(flow, message.channel)}"
    if near:
        return f"none of the {len(near)} {message.channel} flows for {_listed(near)} is enabled and takes every message"
    if flows:
        return f"no {message.channel} flow for {_listed(flows)}, only for {_types(flow for _, flow in flows)}"
    first, *others = (entry.identity for entry in entries)
    also = f" (nor for {', nor for '.join(others)})" if others else ""
    return f"no flow for {first}{also}"


def _listed(flows: Iterable[tuple[str, FlexFlow]]) -> str:
    return " and ".join(dict.fromkeys(identity for identity, _ in flows))


def _types(flows: Iterable[FlexFlow]) -> str:
    return ", ".join(sorted({flow.channel_type for flow in flows}))
