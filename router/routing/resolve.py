"""Resolve: selects the flow that takes a message, and explains every step.

Pure functions: address entries, the contact and the time are arguments.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Final, Literal

from router.flow.flex_flow import FlexFlow
from router.match.values import bucket
from router.message.inbound import Message
from router.routing.contact import Assignment, Candidate, Choice, Known, Migration, keeps, moves
from router.routing.selection import CIRCUMSTANCE, Circumstance, Likelihood, Selection, not_taken
from router.value import value

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


# The MigratePercent at which contacts that already have the flow move too.
ALL_PERCENT: Final = 100


@value
class Entry:
    """The entry of one contact identity: its flows, and its version, "" if there is no entry."""

    identity: str
    version: str
    flows: tuple[FlexFlow, ...]


@value
class Route:
    """The flow of a message, and the reasons.

    Args:
        flow: the flow that takes it; None if no flow does.
        entries: the entries on which the route depends, including those of flows that the conversation may stay with.
        steps: the steps of the decision, in order, in sentences for people.
        reason: why no flow takes it; "" if a flow does.
        language: the language of the message, if a flow with conditions takes it; "" if undecided or not needed.
        choice: the choice that `accept` compares with the conversation's flow; None if no flow has conditions.
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
        """Return the route for a conversation that stays with one of the choice's candidates, or moves to it."""
        flow = next((each for entry in self.entries for each in entry.flows if each.sid == flow_sid), self.flow)
        how = "The contact moves to" if moved else "The conversation stays with"
        step = f"{how} {flow_sid}{f' in {language}' if language else ''}"
        return replace(self, flow=flow, language=language, reason="", steps=(*self.steps, step))


def identities(message: Message) -> tuple[str, ...]:
    """Return the contact identities whose flows may take a message; the first that has such a flow decides."""
    if message.messaging_service_sid:
        return (message.contact_identity, message.messaging_service_sid, "*")
    return (message.contact_identity, "*")


def resolve(message: Message, entries: Sequence[Entry], circumstance: Circumstance = CIRCUMSTANCE) -> Route:
    """Choose the flow of a message from the entries of its `identities`, in that order.

    The first entry with a flow that takes the message decides. Flows with a Match or a Language are checked in the
    order of Priority, a Match before a Language, then by age; the flow with neither takes all other messages. A paused
    flow is chosen like any other: its messages wait.
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
            # Flows of other channels are only mentioned if no flow is found: `*` has a flow for each channel.
            of_interest = (
                ranked if chosen is None else [each for each in ranked if each.channel_type == message.channel]
            )
            steps += _not_taken(of_interest, message.channel)
        if selection is not None:
            steps += selection.take_steps()
        if chosen is not None:
            steps.append(f"Flow for {_address(entry)}: {chosen.sid}{_waiting(chosen)}")
            break
        if not ranked:
            steps.append(f"No flow for {_address(entry)}")
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
    """Return the route to a flow that the message is pinned to, whatever its conditions; None if it is disabled.

    `why` is the reason, a phrase after the flow's SID.
    """
    found = (flow for entry in entries for flow in entry.flows if flow.sid == flow_sid and flow.enabled)
    flow = next(found, None) if flow_sid else None
    return Route(flow, tuple(entries), (f"The chat is pinned to {flow.sid} {why}",)) if flow else None


def _address(entry: Entry) -> str:
    return "every address (*)" if entry.identity == "*" else entry.identity


def _may_not_move() -> bool:
    return False


def preview(  # noqa: PLR0913 - the data that `accept` uses, by keyword
    message: Message,
    entries: Sequence[Entry],
    circumstance: Circumstance,
    *,
    known: Known,
    assignment: Assignment | None,
    sticky_hours: float,
    may_move: Callable[[], bool] = _may_not_move,
) -> tuple[Route, bool]:
    """Return the route by which `accept` would take a message, and whether its conversation decides it.

    Like the webhook it first uses the message alone and then, if that would move the conversation, the contact's
    languages.

    Args:
        message: the message.
        entries: the entries of its `identities`.
        circumstance: the circumstance without the contact's languages.
        known: what is known about the contact's languages.
        assignment: the flow that the conversation has.
        sticky_hours: how long a conversation may be idle.
        may_move: returns whether the contact is in no session that a migration must respect; False if unknown.

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
    """Return whether a message is queued, unrouted or redirected, by the flow that takes it."""
    if flow is None:
        return "unrouted"
    return "redirected" if flow.response == "redirect" else "queue"


def facts(packed: bytes, route: Route, lang: str) -> dict[str, str | bytes]:
    """Return the fields of a message's record at its acceptance: the packed request, and its flow with the reasons.

    `lang` is the language in the webhook's URL, which is not in the packed request.
    """
    fields: dict[str, str | bytes] = {"raw": packed, "why": "\n".join(route.steps)}
    if route.flow is not None:
        fields["flow"] = route.flow.sid
    else:
        fields["error"] = route.reason
    return fields | {name: value for name, value in (("language", route.language), ("lang", lang)) if value}


def _migration(flow: FlexFlow, entry: Entry, message: Message, steps: list[str]) -> Migration | None:
    """Return the migration from the chosen flow to its MigrateTo, None if that flow cannot take over."""
    to = next((each for each in entry.flows if each.sid == flow.migrate_to), None)
    if to is None or not to.enabled or to.channel_type != message.channel:
        steps.append(f"its MigrateTo {flow.migrate_to} is not an enabled {message.channel} flow of {entry.identity}")
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
    """Return the entries whose flows a conversation may have: all up to the first with a flow without conditions."""
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
    """Return the sort key of a flow among those of its address: the flow without conditions is always the last."""
    return flow.is_default, flow.priority, not flow.match, flow.date_created, flow.sid


def _why_not(flow: FlexFlow, channel: str) -> str | None:
    """Return why a flow takes no message of a channel; None if it may take one."""
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
    """Return in one sentence why no flow takes the message, and which flow comes closest."""
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
