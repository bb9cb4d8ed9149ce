"""Before a bulk replay: its messages in groups, and the result that it would have."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from router.queries.route import route_of_today
from router.routing.resolve import Likelihood
from router.store import Store
from router.store.deliveries import Delivery

# The maximum number of messages of a replay: in its list each takes about 50 bytes.
MOST: Final = 50_000
# The maximum number of messages that a dry run routes by the current flows: 0.2 ms each.
_FORETOLD: Final = 500
# After so many messages this process may accept others.
_BREAK: Final = 20


@dataclass(frozen=True, slots=True)
class Group:
    """Dead messages with the same reason and flow."""

    flow_sid: str
    state: str
    error: str
    count: int
    conversations: int
    newest: int


@dataclass(frozen=True, slots=True)
class Foretold:
    """The result that a replay would have: the numbers of messages and of their conversations.

    Of the first `checked` messages, `elsewhere` would go to a flow other than before, and `nowhere` to none; `expired`
    is the number of messages without content. `more` is whether more messages match than a replay takes.
    """

    count: int
    conversations: int
    checked: int
    elsewhere: int
    nowhere: int
    expired: int
    more: bool


def grouped(deliveries: Iterable[Delivery]) -> list[Group]:
    """Group dead messages by flow and reason, the largest group first."""
    groups: dict[tuple[str, str, str], list[Delivery]] = {}
    for each in deliveries:
        groups.setdefault((each.flow_sid, each.state, each.error), []).append(each)
    found = [
        Group(*key, len(own), len({each.lane for each in own}), max(each.accepted_at for each in own))
        for key, own in groups.items()
    ]
    return sorted(found, key=lambda group: -group.count)


def foretell(
    store: Store, likelihood: Likelihood, deliveries: Sequence[Delivery], *, current: bool, more: bool = False
) -> Foretold:
    """Return what a replay of these messages would do; nothing is replayed."""
    elsewhere = nowhere = 0
    checked = deliveries[:_FORETOLD]
    there: dict[str, bool] = {}
    for number, each in enumerate(checked):
        if number % _BREAK == 0:
            time.sleep(0)
        if not each.raw:
            continue
        if current or not each.flow_sid:
            flow = route_of_today(each, store, likelihood).flow
            nowhere += flow is None
            elsewhere += flow is not None and flow.sid != each.flow_sid
        else:
            if each.flow_sid not in there:
                own = store.flows.get(each.account_sid, each.flow_sid)
                there[each.flow_sid] = own is not None and own.enabled
            nowhere += not there[each.flow_sid]
    return Foretold(
        count=len(deliveries),
        conversations=len({each.lane for each in deliveries}),
        checked=len(checked),
        elsewhere=elsewhere,
        nowhere=nowhere,
        expired=sum(not each.raw for each in deliveries),
        more=more,
    )
