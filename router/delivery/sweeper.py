"""The sweeper: finds due lanes, and starts their delivery.

These are retries, leases of processes that died, and lanes for which a process had no slot; a healthy message never
waits for the sweeper. Each process has one, and there is no other worker.
"""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import gevent

from router.delivery.deliverer import Deliverer
from router.delivery.slots import Target
from router.errors import StoreUnavailable, unexpected
from router.store import Store
from router.store.keys import bucket
from router.store.lanes import ANYWHERE, Claim, Room

# The pause between two sweeps if no due lane is left.
SWEEP_SECONDS: Final = 0.5
# The pause if due lanes are left, so that more than one slot is free at the next sweep.
SWEEP_LEFT: Final = 0.005
# After a sweep that claimed this many messages there is no pause, because one call of `claim` for many is cheap.
SWEEP_MANY: Final = 32
# The minimum pause while the rest of an index is read where nothing can be sent, and the maximum share of the time for
# this reading.
SWEEP_LEAST: Final = 0.02
SWEEP_PART: Final = 0.2


@dataclass(frozen=True, slots=True)
class Swept:
    """A sweep's result: is there `more` of an index to read, are due lanes `left`, and how many heads it `claimed`."""

    more: bool = False
    left: bool = False
    claimed: int = 0

    def pause(self, seconds: float) -> float:
        """Return how long to wait after a sweep that took `seconds`."""
        if self.left:
            return 0.0 if self.claimed >= SWEEP_MANY else SWEEP_LEFT
        return min(SWEEP_SECONDS, max(SWEEP_LEAST, seconds / SWEEP_PART))


@dataclass(slots=True)
class _Index:
    """How far a bucket's index of due lanes was read."""

    place: int = 0
    """The place to continue from."""

    incomplete: bool = False
    """Whether due lanes before that place may not have been read, or were left."""

    left: bool = False
    """Whether the last claim left due lanes because slots were missing."""

    def advance(self, claim: Claim) -> bool:
        """Set the place of the next claim; return whether to claim again even if no slot becomes free."""
        self.left = claim.left
        if claim.left and (claim.place or self.place == ANYWHERE):
            self.incomplete = True
        if claim.place:  # the rest of the index is still to be read
            self.place = claim.place
            return True
        # The end is reached. If claims did not begin at the beginning, or left lanes, lanes before their places may be
        # due now: read the index again from its beginning. After that, the next claim begins at a random place, so that
        # the flows take turns.
        again, self.incomplete = self.incomplete, False
        self.place = ANYWHERE if claim.left and not again else 0
        return again


class Sweeper:
    """Claims due lanes for the free slots of a process; `fault` is called with a description of each error."""

    def __init__(self, store: Store, deliverer: Deliverer, fault: Callable[[str], None]) -> None:
        self._store = store
        self._deliverer = deliverer
        self._fault = fault
        self._indexes = {tag: _Index() for tag in store.buckets}

    def run(self) -> None:
        """Claim due lanes until the process stops."""
        while not self._deliverer.stopping:
            started, swept = time.monotonic(), Swept()
            try:
                swept = self.sweep()
            except StoreUnavailable:
                pass
            except Exception as error:  # noqa: BLE001 - an error must not stop the other messages
                self._fault(f"sweeper: {unexpected(error)}")
            gevent.sleep(swept.pause(time.monotonic() - started))
            if not swept.more:
                self._deliverer.freed.wait(SWEEP_SECONDS)
            self._deliverer.freed.clear()

    def sweep(self) -> Swept:
        """Claim once from each bucket with due lanes."""
        more, claimed, idle = False, 0, False
        self._deliverer.decline_overdue(time.monotonic())
        # Buckets where lanes were left are claimed without asking first whether any are due: this saves two calls.
        left = [tag for tag, index in self._indexes.items() if index.left]
        buckets = [*left, *self._store.lanes.due(tag for tag, index in self._indexes.items() if not index.left)]
        random.shuffle(buckets)  # so that the same bucket is not always last when slots are short
        for tag in buckets:
            if self._deliverer.stopping:
                return Swept()
            index = self._indexes[tag]
            try:
                claim = self._store.lanes.claim(tag, self._room(tag), place=index.place)
            except StoreUnavailable:  # in a Cluster, other buckets may still answer
                continue
            for lease in claim.leases:
                self._deliverer.begin(lease)
            claimed += len(claim.leases)
            idle = idle or (claim.place > 0 and not claim.leases)
            more = index.advance(claim) or more
        self._deliverer.slots.begin_sweep()
        starved = any(index.left for index in self._indexes.values())
        self._deliverer.starved = starved
        return Swept(
            more=more and self._deliverer.slots.free > 0,
            left=bool(claimed or starved) and not idle,
            claimed=claimed,
        )

    def _room(self, tag: str) -> Room:
        """Return the process's capacity for a bucket's accounts, as a claim takes it."""
        capacity = self._deliverer.slots.capacity(time.monotonic(), self._deliverer.claimed.counts())
        shut = (_name(each) for each in capacity.shut if bucket(each.account_sid) == tag)
        return Room(
            free=capacity.free,
            share=capacity.share,
            factor=capacity.factor,
            accounts={sid: has for sid, has in capacity.accounts.items() if bucket(sid) == tag},
            targets={_name(each): has for each, has in capacity.targets.items() if bucket(each.account_sid) == tag},
            names=capacity.names,
            shut=[*shut, *capacity.shut_names],
        )


def _name(target: Target) -> str:
    return f"{target.account_sid} {target.name}"
