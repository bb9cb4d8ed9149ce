"""Computes which recorded messages would go elsewhere after a change of flows."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from router.flow.flex_flow import FlexFlow
from router.message.address import canonical, channel_of
from router.message.inbound import Message
from router.routing.rehearsal import Rehearsal
from router.routing.resolve import Likelihood, Route
from router.store.deliveries import Delivery


@dataclass(frozen=True, slots=True)
class Moved:
    """A message that would go elsewhere."""

    delivery: Delivery
    message: Message
    before: Route
    after: Route


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """The result of a rehearsal: the number of messages, the number of those without a body, and what would move."""

    taken: int
    bodiless: int
    moved: tuple[Moved, ...]


def rehearse(  # noqa: PLR0913 - two sets of flows, the messages, and the circumstances
    current: Collection[FlexFlow],
    changed: Collection[FlexFlow],
    deliveries: Iterable[Delivery],
    likelihood: Likelihood,
    *,
    sticky_hours: float,
    to: str = "",
) -> Rehearsed:
    """Route messages by the current flows and by the changed ones.

    Both start without conversations, so only the change can cause a difference.

    Args:
        current: the flows of the account.
        changed: the flows after the change.
        deliveries: its messages, the oldest first.
        likelihood: computes how well a text fits languages.
        sticky_hours: how long a conversation may be idle.
        to: only messages to this address, in any form; "" for all.
    """
    before, after = (Rehearsal(flows, likelihood, sticky_hours) for flows in (current, changed))
    moved, taken, bodiless = [], 0, 0
    for delivery in deliveries:
        if not delivery.raw:
            bodiless += 1
            continue
        message = Message.unpack(delivery.raw)
        if to and canonical(to, channel_of(to)) != message.contact_identity:
            continue
        taken += 1
        routes = [each.take(message, at=delivery.accepted_at, lang=delivery.lang) for each in (before, after)]
        if _sid(routes[0]) != _sid(routes[1]):
            moved.append(Moved(delivery, message, *routes))
    return Rehearsed(taken, bodiless, tuple(moved))


def _sid(route: Route) -> str:
    return route.flow.sid if route.flow else ""
