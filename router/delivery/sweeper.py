"""The sweeper: finds what is due, and starts it.

What waits for it: retries, leases of processes that died, lanes that were beyond a process's limit; never a healthy
message. Each process has one, and there is no other worker.
"""

import random
import time
from collections.abc import Callable
from typing import Final

import gevent

from router.delivery.breaker import Target
from router.delivery.deliverer import Deliverer
from router.errors import StoreUnavailable
from router.store import Store
from router.store.keys import bucket
from router.store.lanes import Room

# Between two sweeps when nothing is left.
SWEEP_SECONDS: Final = 0.5
# The same when something is left: for slots that come free one by one, and for the rest of a long index.
SWEEP_LEAST: Final = 0.02
# A sweep may take so large a part of the store's time: a long index is gone through more slowly instead.
SWEEP_PART: Final = 0.2


class Sweeper:
    """Claims what is due into the free slots of a process; `fault` is told of what goes wrong."""

    def __init__(self, store: Store, deliverer: Deliverer, fault: Callable[[str], None]) -> None:
        self._store = store
        self._deliverer = deliverer
        self._fault = fault
        self._places = dict.fromkeys(store.buckets, 0)  # where in each index to go on
        self._cut: set[str] = set()  # buckets where the last look stopped early, because no slot was free

    def run(self) -> None:
        """Claim what is due, until the process stops."""
        while not self._deliverer.stopping:
            started, more = time.monotonic(), False
            try:
                more = self.sweep()
            except StoreUnavailable:
                pass
            except Exception as error:  # noqa: BLE001 - whatever it is, the other messages go on
                self._fault(f"{type(error).__name__}: {error}")
            gevent.sleep(min(SWEEP_SECONDS, max(SWEEP_LEAST, (time.monotonic() - started) / SWEEP_PART)))
            if not more:
                self._deliverer.freed.wait(SWEEP_SECONDS)
            self._deliverer.freed.clear()

    def sweep(self) -> bool:
        """Claim once from each bucket where something is due; say whether to go on at once."""
        more = starved = False
        buckets = self._store.lanes.due(self._places)
        random.shuffle(buckets)  # so that no bucket always comes last when slots are short
        for tag in buckets:
            if self._deliverer.stopping:
                return False
            try:
                claim = self._store.lanes.claim(tag, self._room(tag), place=self._places[tag])
            except StoreUnavailable:  # in a Cluster that concerns some buckets only
                continue
            self._places[tag] = claim.place
            for lease in claim.leases:
                self._deliverer.begin(lease)
            starved = starved or claim.left
            # A look that stopped early skipped nothing before its place, but lanes there may be due by now:
            # after the end of the index, look once more from its beginning.
            goes_on = claim.place > 0 or tag in self._cut
            more = more or (goes_on and self._deliverer.targets.free > 0)
            if claim.place and claim.left:
                self._cut.add(tag)
            elif not claim.place:
                self._cut.discard(tag)
        self._deliverer.starved = starved
        return more

    def _room(self, tag: str) -> Room:
        """Say what the process has room for, of a bucket's accounts."""
        room = self._deliverer.targets.room(time.monotonic())
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
