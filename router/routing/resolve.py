"""Resolve: selects the flow that takes a message, and explains every step.

Pure functions: address entries, the contact and the time are arguments.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from router.flow.flex_flow import FlexFlow
from router.match.values import bucket
from router.message.inbound import Message
from router.routing.contact import Assignment, Candidate, Choice, Known, Migration, keeps, moves
from router.routing.selection import CIRCUMSTANCE, Circumstance, Likelihood, Selection, not_taken

__all__ = [
    "Circumstance",
    "Entry",
    "Likelihood",
    "Route",
    "disposition",
    "facts",
    "identities",
    "pinned",
    "preview",
    "resolve",
]


# The MigratePercent at which contacts move that have the flow already.
ALL_PERCENT: Final = 100


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
        flow: the flow that takes it; None if no flow does.
        entries: the entries that the route came from, and those of flows that the conversation may stay with; a change
            of any of them may change the route.
        steps: what was looked at, in order, in sentences that a person understands.
        reason: why there is no flow; "" when there is one.
        language: of the message, where a flow that has conditions takes it; "" where undecided or not asked.
        choice: what `accept` weighs against the flow that the conversation has; None where no flow has conditions.
        failed: the flows whose Match could not be evaluated, each with the reason.

    """

    flow: FlexFlow | None
    entries: tuple[Entry, ...]
    steps: tuple[str, ...]
    reason: str = ""
    language: str = ""
    choice: Choice | None = None
    failed: tuple[tuple[str, str], ...] = ()

    def kept(self, flow_sid: str, language: str, *, moved: bool = False) -> "Route":
        """Return the route of a message whose conversation stays with, or moves to, one of the choice's candidates."""
        flow = next((each for entry in self.entries for each in entry.flows if each.sid == flow_sid), self.flow)
        how = "The contact moves to" if moved else "The conversation stays with"
        step = f"{how} {flow_sid}{f' in {language}' if language else ''}"
        return replace(self, flow=flow, language=language, reason="", steps=(*self.steps, step))


def identities(message: Message) -> tuple[str, ...]:
    """Return the contact identities that a message's flow may be found by; the first that has a flow wins."""
    if message.messaging_service_sid:
        return (message.contact_identity, message.messaging_service_sid, "*")
    return (message.contact_identity, "*")


def resolve(message: Message, entries: Sequence[Entry], circumstance: Circumstance = CIRCUMSTANCE) -> Route:
    """Choose the flow of a message from the entries of its `identities`, in that order.

    The first entry that has a flow which takes the message decides. Flows with a Match or a Language go by the smallest
    Priority, a Match before a Language, then the oldest; the flow without either takes the rest. A flow that is paused
    is chosen like any other: its messages wait.
    """
    steps: list[str] = []
    selection: Selection | None = None
    chosen: FlexFlow | None = None
    looked: list[Entry] = []
    for entry in entries:
        looked.append(entry)
        ranked = tuple(sorted(entry.flows, key=_rank)) if len(entry.flows) > 1 else entry.flows
        taking = tuple(flow for flow in ranked if flow.enabled and flow.channel_type == message.channel)
        if any(not flow.is_default for flow in taking):
            selection = selection or Selection(message, circumstance)
            chosen = selection.choose(taking)
        elif taking:
            chosen = taking[0]
        if chosen is None or len(ranked) > 1:
            # Flows of other channels explain something only where nothing is found: `*` has one for each of them.
            of_interest = (
                ranked if chosen is None else [each for each in ranked if each.channel_type == message.channel]
            )
            steps += _not_taken(of_interest, message.channel)
        if selection is not None:
            steps += selection.take_steps()
        if chosen is not None:
            steps.append(f"{entry.identity} has {chosen.sid}{_waiting(chosen)}")
            break
        if not ranked:
            steps.append(f"{entry.identity} has no flow")
    if selection is None:
        return Route(chosen, tuple(looked), tuple(steps), "" if chosen else _reason(message, entries))
    reachable = _reachable(entries, message.channel)
    migration = _migration(chosen, looked[-1], message, steps) if chosen and chosen.migrate_to else None
    return Route(
        flow=chosen,
        entries=reachable,
        steps=tuple(steps),
        reason="" if chosen else _reason(message, entries),
        language=selection.language if chosen and not chosen.is_default else "",
        choice=replace(selection.choice(chosen, _candidates(reachable, message.channel)), migration=migration),
        failed=tuple(selection.failed),
    )


def pinned(flow_sid: str, entries: Sequence[Entry], why: str) -> Route | None:
    """Return the route to a flow that the message is pinned to, whatever its conditions; None where it is disabled.

    `why` is the reason, to be read after the flow's SID.
    """
    found = (flow for entry in entries for flow in entry.flows if flow.sid == flow_sid and flow.enabled)
    flow = next(found, None) if flow_sid else None
    return Route(flow, tuple(entries), (f"The chat is pinned to {flow.sid} {why}",)) if flow else None


def _unknown() -> bool:
    return False


def preview(  # noqa: PLR0913 - what `accept` knows, by keyword
    message: Message,
    entries: Sequence[Entry],
    circumstance: Circumstance,
    *,
    known: Known,
    assignment: Assignment | None,
    sticky_hours: float,
    may_move: Callable[[], bool] = _unknown,
) -> tuple[Route, bool]:
    """Say by which route `accept` would take a message, and whether because its conversation stays there.

    Like the webhook it first asks the message alone, and then, where that moves the conversation, what is known of the
    contact.

    Args:
        message: what came.
        entries: those of its `identities`.
        circumstance: without what is known of the contact.
        known: that.
        assignment: the flow that the conversation has.
        sticky_hours: how long a conversation may be idle.
        may_move: says whether the contact is in no session that a migration has to respect; unknown means false.

    """
    route = resolve(message, entries, circumstance)
    for each in (circumstance.known, known):
        if each.version:
            route = resolve(message, entries, replace(circumstance, known=each))
        if route.choice is None:
            break
        now = int(circumstance.at * 1000)
        free = route.choice.migration is not None and may_move()
        to = moves(assignment, route.choice, now=now, sticky_hours=sticky_hours, may_move=free)
        if assignment and keeps(assignment, route.choice, now=now, sticky_hours=sticky_hours):
            if to:
                return route.kept(to, route.choice.language, moved=True), True
            return route.kept(assignment.flow_sid, assignment.language), True
        if route.choice.settled:
            break
    if route.choice and (to := moves(None, route.choice, now=0, sticky_hours=sticky_hours, may_move=free)):
        return route.kept(to, route.choice.language, moved=True), True
    return route, False


def disposition(flow: FlexFlow | None) -> Literal["queue", "unrouted", "redirected"]:
    """Say what becomes of a message that a flow takes."""
    if flow is None:
        return "unrouted"
    return "redirected" if flow.response == "redirect" else "queue"


def facts(packed: bytes, route: Route, lang: str) -> dict[str, str | bytes]:
    """Return what is written of a message when it is accepted: the packed request, where it goes and why.

    `lang` is the language that the webhook's URL named, which the packed request does not hold.
    """
    kept: dict[str, str | bytes] = {"raw": packed, "why": "\n".join(route.steps)}
    if route.flow is not None:
        kept["flow"] = route.flow.sid
    else:
        kept["error"] = route.reason
    return kept | {name: value for name, value in (("language", route.language), ("lang", lang)) if value}


def _migration(flow: FlexFlow, entry: Entry, message: Message, steps: list[str]) -> Migration | None:
    """Say how the chosen flow gives way to its MigrateTo."""
    to = next((each for each in entry.flows if each.sid == flow.migrate_to), None)
    if to is None or not to.enabled or to.channel_type != message.channel:
        steps.append(f"its MigrateTo {flow.migrate_to} is no enabled {message.channel} flow of {entry.identity}")
        return None
    place = bucket(message)
    share = place < flow.migrate_percent
    steps.append(
        f"it gives way to {to.sid} for {flow.migrate_percent} % of the contacts; this one is "
        f"{'among them' if share else 'not'} ({place:.1f})"
    )
    return Migration(
        from_=flow.sid,
        to=to.sid,
        share=share,
        drain=flow.migrate_percent == ALL_PERCENT,
        proxy=flow.integration.type == "proxy",
        service=flow.integration.proxy_service_sid,
    )


def _waiting(flow: FlexFlow) -> str:
    if flow.undeliverable:
        return f", which {flow.undeliverable}: the message waits"
    return ", which is paused" if flow.paused else ""


def _reachable(entries: Sequence[Entry], channel: str) -> tuple[Entry, ...]:
    """Return the entries that a conversation's flow may be of: all up to the first one that takes the rest."""
    for number, entry in enumerate(entries, 1):
        if any(flow.enabled and flow.channel_type == channel and flow.is_default for flow in entry.flows):
            return tuple(entries[:number])
    return tuple(entries)


def _candidates(entries: Iterable[Entry], channel: str) -> tuple[Candidate, ...]:
    flows = (flow for entry in entries for flow in entry.flows if flow.enabled and flow.channel_type == channel)
    return tuple(
        Candidate(flow.sid, disposition(flow), flow.is_lasting) for flow in sorted(flows, key=lambda flow: flow.sid)
    )


def _rank(flow: FlexFlow) -> tuple[bool, int, bool, int, str]:
    """Order flows of one address: the one that takes every message is the last, whatever its Priority."""
    return flow.is_default, flow.priority, not flow.match, flow.date_created, flow.sid


def _why_not(flow: FlexFlow, channel: str) -> str | None:
    """Say why a flow takes no message that came for its address on a channel; None when it may."""
    if flow.channel_type != channel:
        return f"for {flow.channel_type}"
    return None if flow.enabled else "disabled"


def _not_taken(flows: Iterable[FlexFlow], channel: str) -> list[str]:
    refused: dict[str, list[str]] = {}
    for flow in flows:
        why = _why_not(flow, channel)
        if why is not None:
            refused.setdefault(why, []).append(flow.sid)
    return not_taken(refused)


def _reason(message: Message, entries: Sequence[Entry]) -> str:
    """Say in one sentence why nothing takes the message, and what would be nearest to taking it."""
    flows = [(entry.identity, flow) for entry in entries for flow in entry.flows]
    near = [(identity, flow) for identity, flow in flows if flow.channel_type == message.channel]
    if len(near) == 1:
        identity, flow = near[0]
        why = "disabled" if not flow.enabled else "for other messages: its Language or Match is not this one's"
        return f"the only {message.channel} flow for {identity} ({flow.sid}) is {why}"
    if near and not any(flow.enabled for _, flow in near):
        return f"none of the {len(near)} {message.channel} flows for {_listed(near)} is enabled"
    if near:
        return (
            f"none of the {len(near)} {message.channel} flows for {_listed(near)} takes this message, and there is no "
            "enabled one without Language and Match that takes the rest"
        )
    if flows:
        return f"no {message.channel} flow for {_listed(flows)}, only for {_types(flow for _, flow in flows)}"
    first, *others = (entry.identity for entry in entries)
    also = f" (nor for {', nor for '.join(others)})" if others else ""
    return f"no flow for {first}{also}"


def _listed(flows: Iterable[tuple[str, FlexFlow]]) -> str:
    return " and ".join(dict.fromkeys(identity for identity, _ in flows))


def _types(flows: Iterable[FlexFlow]) -> str:
    return ", ".join(sorted({flow.channel_type for flow in flows}))
