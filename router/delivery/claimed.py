"""Claimed leases without a slot: newer messages took the slots before the claim was answered.

Each waits for a slot, which its own target or another one gives back. Releasing it instead would cost a settle now and
a claim later.
"""

from collections import deque
from typing import Final

from router.delivery.slots import Target
from router.store.lanes import Lease

# The maximum time for which a lease waits for a slot; then another process may claim it.
WAIT_SECONDS: Final = 1.0


class Claimed:
    """The waiting leases of one process, by target. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._leases: dict[Target, deque[tuple[float, Lease]]] = {}

    def counts(self) -> dict[Target, int]:
        """Return how many leases wait for each target."""
        return {target: len(waiting) for target, waiting in self._leases.items()}

    def add(self, target: Target, lease: Lease, now: float) -> None:
        """Add a lease that waits from `now` on."""
        self._leases.setdefault(target, deque()).append((now, lease))

    def take(self, target: Target) -> Lease | None:
        """Remove and return the lease that has waited longest for a slot of the target."""
        waiting = self._leases.get(target)
        if waiting is None:
            return None
        _, lease = waiting.popleft()
        if not waiting:
            del self._leases[target]
        return lease

    def overdue(self, now: float) -> list[Lease]:
        """Remove and return the leases that have waited for too long."""
        overdue = []
        for target, waiting in list(self._leases.items()):
            while waiting and now - waiting[0][0] >= WAIT_SECONDS:
                overdue.append(waiting.popleft()[1])
            if not waiting:
                del self._leases[target]
        return overdue
