"""The shadow of a migration: where the contacts of past messages would go, at each share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

from router.flow.flex_flow import FlexFlow
from router.match.values import bucket
from router.message.inbound import Message, conversation_id
from router.routing.contact import contact_id, identities_of
from router.store import Store

# The percentages for which contacts are counted.
SHARES: Final = (1, 10, 25, 50, 100)
# The maximum number of the account's newest messages that are read.
_MOST: Final = 100_000


@dataclass(frozen=True, slots=True)
class Shadow:
    """The contacts of past messages: their number, how many would move at each share, and how many are in sessions."""

    messages: int
    contacts: int
    by_share: Mapping[int, int]
    in_session: int


def shadow(old: FlexFlow, store: Store, *, since: int, most: int = _MOST) -> Shadow:
    """Count where the contacts of the flow's messages since then (ms since 1970) would go; nothing is changed.

    At most the newest `most` messages of the account are read.
    """
    messages, places, busy = 0, dict[str, float](), 0
    for delivery in islice(store.deliveries.newest(old.account_sid, after=since), most):
        if delivery.flow_sid != old.sid or not delivery.raw:
            continue
        messages += 1
        message = Message.unpack(delivery.raw)
        lane = conversation_id(message.account_sid, message.channel, message.to, message.from_)
        if lane not in places:
            places[lane] = bucket(message)
            ids = [contact_id(each) for each in identities_of(message)]
            busy += not store.proxied.may_move(old.account_sid, ids, lane)
    return Shadow(messages, len(places), shares_of(list(places.values())), busy)


def shares_of(places: Sequence[float]) -> dict[int, int]:
    """Return for each share how many contacts it has; `places` are their hashes, from 0 to 100."""
    return {percent: sum(place < percent for place in places) for percent in SHARES}
