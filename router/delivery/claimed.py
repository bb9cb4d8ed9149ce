"""Leases that were claimed for free slots, which newer messages took before the claim was answered.

Each gets the next slot that its target gives back, or may have when another one gives it back. To release it instead
would cost a settle now and a claim later.
"""

from collections import deque
from typing import Final

from router.delivery.breaker import Target
from router.store.lanes import Lease

# Seconds for which a lease waits for a slot; another process may have one.
WAIT_SECONDS: Final = 1.0


class Claimed:
    """The waiting leases of one process, by target. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._leases: dict[Target, deque[tuple[float, Lease]]] = {}

    def counts(self) -> dict[Target, int]:
        """Return how many leases wait for each target."""
        return {target: len(waiting) for target, waiting in self._leases.items()}

    def add(self, target: Target, lease: Lease, now: float) -> None:
        """Let a lease wait."""
        self._leases.setdefault(target, deque()).append((now, lease))

    def take(self, target: Target) -> Lease | None:
        """Return the lease that has waited longest for a slot of the target, which is not waiting any more."""
        waiting = self._leases.get(target)
        if waiting is None:
            return None
        _, lease = waiting.popleft()
        if not waiting:
            del self._leases[target]
        return lease

    def overdue(self, now: float) -> list[Lease]:
        """Return the leases that have waited for too long, which are not waiting any more."""
        found = []
        for target, waiting in list(self._leases.items()):
            while waiting and now - waiting[0][0] >= WAIT_SECONDS:
                found.append(waiting.popleft()[1])
            if not waiting:
                del self._leases[target]
        return found
