"""Explains why a flow does not take a message, or no message to an address."""

from collections.abc import Mapping
from typing import Any

from router.flow.flex_flow import FlexFlow
from router.message.address import channel_of
from router.sid import is_sid
from router.store import Store


def why_not(answer: Mapping[str, Any], flex_flow_sid: str, store: Store) -> list[str]:
    """Return why a flow does not take a message, as sentences; the first reason first.

    Args:
        answer: where the message goes: the result of `router.queries.route.explain`.
        flex_flow_sid: the flow.
        store: the store.
    """
    if answer["flex_flow_sid"] == flex_flow_sid:
        return ["It takes this message."]
    flow = store.flows.get(answer["account_sid"], flex_flow_sid)
    if flow is None:
        return [f"There is no Flex Flow {flex_flow_sid!r}."]
    if reason := misfit(flow, answer["contact_identity"], store):
        return [f"{reason[:1].upper()}{reason[1:]}."]
    if steps := [step for step in answer["steps"] if flex_flow_sid in step]:
        return steps
    taken = answer["flex_flow_sid"]
    return [f"{taken} comes before it and takes the message." if taken else "Its conditions are not met."]


def misfit(flow: FlexFlow, ours: str, store: Store) -> str:
    """Return why a flow accepts no messages to our address; "" if it does, or may."""
    channel = channel_of(ours)
    if not flow.enabled:
        return f"{flow.sid} is disabled"
    if flow.channel_type != channel:
        return f"{flow.sid} takes {flow.channel_type} messages, and {ours} gets {channel} messages"
    if flow.contact_identity == ours:
        return ""
    if flow.contact_identity != "*" and not is_sid(flow.contact_identity, "MG"):
        return f"{flow.sid} takes messages to {flow.contact_identity}, not to {ours}"
    (entry,) = store.flows.entries(flow.account_sid, (ours,))
    if any(each.enabled and each.channel_type == channel and each.is_default for each in entry.flows):
        return f"{flow.sid} is for {flow.contact_identity}, and {ours} has its own default flow"
    return ""
