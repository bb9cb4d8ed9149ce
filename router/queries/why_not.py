"""Explains why a flow does not take a message."""

from collections.abc import Mapping
from typing import Any

from router.queries.contacts import why_not as why_not_there
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
    if reason := why_not_there(flow, answer["contact_identity"], store):
        return [f"{reason[:1].upper()}{reason[1:]}."]
    if steps := [step for step in answer["steps"] if flex_flow_sid in step]:
        return steps
    taken = answer["flex_flow_sid"]
    return [f"{taken} comes before it and takes the message." if taken else "Its conditions are not met."]
