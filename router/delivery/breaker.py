"""The circuit breaker of a target: stops sending to a target that is down, except for a probe every few seconds.

What counts as a miss is decided in `Deliverer._record`. The breakers are in slots.py: one for each target of an
account, and one for each target's name.
"""

from dataclasses import dataclass
from typing import Final

# Misses in a row that open a breaker, and seconds between probes.
OPENS_AFTER: Final = 5
PROBE_SECONDS: Final = 5.0


@dataclass(slots=True)
class Breaker:
    """Counts consecutive misses; while it is open, one attempt may be sent as a probe at `probe_at`.

    `was_open`: whether it has opened since the last success.
    """

    misses: int = 0
    probe_at: float = 0.0
    probing: bool = False
    was_open: bool = False

    @property
    def open(self) -> bool:
        """Whether only probes may be sent."""
        return self.misses >= OPENS_AFTER

    def lets_through(self, now: float) -> bool:
        """Return whether an attempt may be sent at `now`, in monotonic seconds."""
        return not self.open or now >= self.probe_at

    def take(self, now: float) -> None:
        """Record that an attempt takes a slot: while the breaker is open, it is the probe."""
        if self.open:
            self.probe_at = now + PROBE_SECONDS
            self.probing = True

    def give_back(self) -> None:
        """Record that no attempt has a slot any more; if the probe was not sent, another one may be sent at once."""
        if self.probing:
            self.probing = False
            self.probe_at = 0.0

    def report(self, now: float, *, missed: bool, succeeded: bool) -> bool:
        """Record the outcome of an attempt; return whether it is the first success since the breaker was open."""
        self.misses = self.misses + 1 if missed else 0
        self.probing = False
        if self.misses == OPENS_AFTER:
            self.probe_at = now + PROBE_SECONDS
            self.was_open = True
        back = self.was_open and succeeded
        self.was_open = self.was_open and not succeeded
        return back
