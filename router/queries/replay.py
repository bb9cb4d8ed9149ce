"""The replay of one message: it is put back into its lane and sent again."""

from collections.abc import Mapping
from typing import Final

from router.queries.route import route_of_today
from router.routing.resolve import Likelihood
from router.store import Store
from router.store.deliveries import Delivery

NOT_REPLAYED: Final[Mapping[str, str]] = {
    "busy": "it already waits, is held, or is being sent",
    "gone": "it cannot be sent again: its body has expired",
    "missing": "its record has expired",
    "unrouted": "no flow takes it now: add a flow for its address, or change one",
}
"""Why `replay` did not put a message back, in REST, commands and console; the subject is the message."""

REPLAY_DOES_NOT_ANSWER: Final = (
    "A replay does not answer the customer: TwiML that the target returns is not sent. A target that sends messages "
    "itself, such as a Studio flow, sends them again"
)


def replay(delivery: Delivery, store: Store, likelihood: Likelihood, *, current: bool, by: str) -> str:
    """Put a message back into its lane, for its own flow or, with `current`, for the one that the current flows select.

    A message that never had a flow is routed by the current flows. `by` names the actor in the change log.

    Returns `queued`; `busy` when it is already queued or being sent, or was sent again since it was read; `gone` when
    its body has expired; `missing` when its record has; `unrouted` when no flow accepts it.
    """
    flow_sid = language = ""
    if current or not delivery.flow_sid:
        if not delivery.raw:
            return "gone"
        route = route_of_today(delivery, store, likelihood)
        if route.flow is None:
            return "unrouted"
        flow_sid, language = route.flow.sid, route.language
    sid, lane = delivery.message_sid, delivery.lane
    return store.lanes.replay(delivery.account_sid, sid, lane, flow_sid, language, round_=delivery.round, by=by)
