"""The filter for deliveries of REST, commands and console, and a walk over those that match."""

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from router.message.address import canonical, channel_of
from router.message.inbound import Message
from router.settings import Account
from router.store import Store
from router.store.deliveries import Delivery

STATES: Final = ("queued", "sending", "delivered", "undelivered", "unrouted", "redirected")
# The states in the store's index of dead messages, which is independent of the account's other messages.
DEAD: Final = frozenset(("undelivered", "unrouted"))


@dataclass(frozen=True, slots=True)
class Wanted:
    """A filter for deliveries; a criterion that is "" or None is ignored. Addresses may be written in any form.

    `error` is a part of the reason why an attempt failed, case-insensitive. `flows` are the only flows wanted; None
    for all of them. With `any_channel` a telephone number matches on every channel: `+34…` matches `whatsapp:+34…`.
    """

    status: str = ""
    from_: str = ""
    to: str = ""
    flex_flow_sid: str = ""
    held: bool | None = None
    channel: str = ""
    language: str = ""
    error: str = ""
    flows: frozenset[str] | None = None
    any_channel: bool = False

    def takes(self, delivery: Delivery) -> bool:
        """Return whether a delivery matches the filter."""
        error = self.error.lower()
        fits = (
            (not self.status or delivery.state == self.status)
            and self.held in (None, delivery.held)
            and (not self.flex_flow_sid or delivery.flow_sid == self.flex_flow_sid)
            and (self.flows is None or delivery.flow_sid in self.flows)
            and (not self.language or delivery.language.lower() == self.language.lower())
            and (not error or error in " ".join((delivery.error, *delivery.history)).lower())
        )
        if not fits or not (self.from_ or self.to or self.channel):
            return fits
        if not delivery.raw:
            return False
        message = Message.unpack(delivery.raw)
        return (not self.channel or message.channel == self.channel) and all(
            not wanted or self._is(wanted, canonical(address, message.channel))
            for wanted, address in ((self.from_, message.from_), (self.to, message.to))
        )

    def _is(self, wanted: str, address: str) -> bool:
        same = canonical(wanted, channel_of(wanted))
        return address == same or (self.any_channel and same[:1] == "+" and address.endswith(f":{same}"))


def newest(store: Store, accounts: Iterable[Account], wanted: Wanted, since: int) -> Iterator[Delivery]:
    """Iterate over the wanted deliveries of some accounts, the newest first; `since` is in ms since 1970."""
    sids = [account.sid for account in accounts]
    if wanted.status in DEAD:
        # They are few and have their own index, by the time at which they were given up.
        dead = (each for sid in sids for each in store.deliveries.newest(sid, after=since, dead=True))
        walk = iter(sorted((each for each in dead if each.accepted_at >= since), key=_accepted, reverse=True))
    else:
        walks = [store.deliveries.newest(sid, after=since) for sid in sids]
        walk = heapq.merge(*walks, key=_accepted, reverse=True)
    return (each for each in walk if wanted.takes(each))


def _accepted(delivery: Delivery) -> int:
    return delivery.accepted_at
