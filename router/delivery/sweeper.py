"""The sweeper: finds what is due, and starts it.

What waits for it: retries, leases of processes that died, lanes that were beyond a process's limit; never a healthy
message. Each process has one, and there is no other worker.
"""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import gevent

from router.delivery.breaker import Target
from router.delivery.deliverer import Deliverer
from router.errors import StoreUnavailable
from router.store import Store
from router.store.keys import bucket
from router.store.lanes import ANYWHERE, Claim, Room

# Between two sweeps when nothing is left.
SWEEP_SECONDS: Final = 0.5
# The same when something is left: for slots that come free one by one, or many at a time where a target is fast.
SWEEP_LEFT: Final = 0.005
# After a sweep that claimed so many messages there is no pause: a call of `claim` for as many is cheap.
SWEEP_MANY: Final = 32
# The same for the rest of an index where nothing can be sent, and the part of the time that looking there may take.
SWEEP_LEAST: Final = 0.02
SWEEP_PART: Final = 0.2


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep found: `more` to look at in any case; something `left` that has no slot; how many it `claimed`."""

    more: bool = False
    left: bool = False
    claimed: int = 0

    def pause(self, seconds: float) -> float:
        """Return for how long to wait after a sweep that took so many seconds."""
        if self.left:
            return 0.0 if self.claimed >= SWEEP_MANY else SWEEP_LEFT
        return min(SWEEP_SECONDS, max(SWEEP_LEAST, seconds / SWEEP_PART))


class Sweeper:
    """Claims what is due into the free slots of a process; `fault` is told of what goes wrong."""

    def __init__(self, store: Store, deliverer: Deliverer, fault: Callable[[str], None]) -> None:
        self._store = store
        self._deliverer = deliverer
        self._fault = fault
        self._places = dict.fromkeys(store.buckets, 0)  # where in each index to go on
        self._cut: set[str] = set()  # buckets where what is before that place has to be looked at again
        self._left: set[str] = set()  # buckets where the last claim left something for want of room

    def run(self) -> None:
        """Claim what is due, until the process stops."""
        while not self._deliverer.stopping:
            started, swept = time.monotonic(), Swept()
            try:
                swept = self.sweep()
            except StoreUnavailable:
                pass
            except Exception as error:  # noqa: BLE001 - whatever it is, the other messages go on
                self._fault(f"{type(error).__name__}: {error}")
            gevent.sleep(swept.pause(time.monotonic() - started))
            if not swept.more:
                self._deliverer.freed.wait(SWEEP_SECONDS)
            self._deliverer.freed.clear()

    def sweep(self) -> Swept:
        """Claim once from each bucket where something is due."""
        more, claimed, idle = False, 0, False
        self._deliverer.decline_overdue(time.monotonic())
        # Where something was left, `claim` itself finds out whether it is due still: two calls less.
        buckets = [*self._left, *self._store.lanes.due(tag for tag in self._places if tag not in self._left)]
        random.shuffle(buckets)  # so that no bucket always comes last when slots are short
        for tag in buckets:
            if self._deliverer.stopping:
                return Swept()
            place = self._places[tag]
            try:
                claim = self._store.lanes.claim(tag, self._room(tag), place=place)
            except StoreUnavailable:  # in a Cluster that concerns some buckets only
                continue
            for lease in claim.leases:
                self._deliverer.begin(lease)
            claimed += len(claim.leases)
            idle = idle or (claim.place > 0 and not claim.leases)
            more = self._goes_on(tag, place, claim) or more
        self._deliverer.targets.begin_sweep()
        self._deliverer.starved = bool(self._left)
        return Swept(
            more=more and self._deliverer.targets.free > 0,
            left=bool(claimed or self._left) and not idle,
            claimed=claimed,
        )

    def _goes_on(self, tag: str, place: int, claim: Claim) -> bool:
        """Note where the next claim begins; say whether it has to come even if no slot comes free."""
        (self._left.add if claim.left else self._left.discard)(tag)
        if claim.left and (claim.place or place == ANYWHERE):
            self._cut.add(tag)
        if claim.place:  # more of the index is left to look at
            self._places[tag] = claim.place
            return True
        # A look that began later, or stopped early, skipped nothing before its place, but lanes there may be due by
        # now: after the end of the index, look once more from its beginning. After that look the flows take turns.
        again = tag in self._cut
        self._places[tag] = ANYWHERE if claim.left and not again else 0
        self._cut.discard(tag)
        return again

    def _room(self, tag: str) -> Room:
        """Say what the process has room for, of a bucket's accounts."""
        room = self._deliverer.targets.room(time.monotonic(), self._deliverer.claimed.counts())
        return Room(
            free=room.free,
            share=room.share,
            factor=room.factor,
            accounts={sid: has for sid, has in room.accounts.items() if bucket(sid) == tag},
            targets={_name(each): has for each, has in room.targets.items() if bucket(each.account_sid) == tag},
            names=room.names,
            shut=[*(_name(each) for each in room.shut if bucket(each.account_sid) == tag), *room.shut_names],
        )


def _name(target: Target) -> str:
    return f"{target.account_sid} {target.name}"
