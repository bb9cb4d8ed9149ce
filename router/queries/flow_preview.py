"""Previews a change of a flow: its differences, its warnings, and where recent messages would have gone."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

from router.flow.coverage import ALL
from router.flow.diff import Change, Difference, applied, differences
from router.flow.flex_flow import FlexFlow
from router.flow.warned import Warned
from router.flow.warning import Surroundings, of_flows, sharing
from router.message.inbound import Message
from router.queries.rehearsed import Rehearsed, rehearse
from router.routing.resolve import Likelihood, identities
from router.store import Store
from router.store.deliveries import Delivery

# The maximum number of messages of the last hour that are routed again, and after how many the process yields.
MESSAGES: Final = 500
_BREAK: Final = 10
# The number of addresses that are read in one call.
_TOGETHER: Final = 100


@dataclass(frozen=True, slots=True)
class Preview:
    """The effects of a change.

    `rehearsed` is about the newest messages of the last hour; `unrouted` of them would no longer have a flow.
    """

    differences: tuple[Difference, ...]
    warnings: tuple[Warned, ...]
    rehearsed: Rehearsed
    unrouted: int


def preview(change: Change, store: Store, likelihood: Likelihood, around: Surroundings, *, now: float) -> Preview:
    """Preview one change of a flow; `now` is in seconds since 1970."""
    sid = change.flow.account_sid
    since = int((now - 3600) * 1000)
    deliveries = list(islice(store.deliveries.newest(sid, after=since), MESSAGES))[::-1]
    current = _flows(change, deliveries, store)
    changed = applied(current, [change])
    sticky = store.contacts.sticky_hours
    rehearsed = rehearse(current, changed, _yielding(deliveries), likelihood, sticky_hours=sticky)
    written = [flow for flow in (change.before, change.after) if flow]
    return Preview(
        tuple(differences(change.before, change.after)),
        tuple(of_flows(sharing(changed, written), around, others=changed)),
        rehearsed,
        sum(each.after.flow is None for each in rehearsed.moved),
    )


def _flows(change: Change, deliveries: Sequence[Delivery], store: Store) -> list[FlexFlow]:
    """Return the flows that the messages may go to, before the change and after it."""
    wanted = {ALL, *(flow.contact_identity for flow in (change.before, change.after) if flow)}
    for delivery in deliveries:
        if delivery.raw:
            wanted.update(identities(Message.unpack(delivery.raw)))
    names, found = sorted(wanted), dict[str, FlexFlow]()
    for start in range(0, len(names), _TOGETHER):
        for entry in store.flows.entries(change.flow.account_sid, names[start : start + _TOGETHER]):
            found |= {flow.sid: flow for flow in entry.flows}
    return list(found.values())


def _yielding(deliveries: Sequence[Delivery]) -> Iterator[Delivery]:
    for number, each in enumerate(deliveries):
        if number % _BREAK == 0:
            time.sleep(0)  # lets this process accept messages
        yield each
