"""How much of a process each target may have: a share of its attempts, and none while the target is down."""

from dataclasses import dataclass
from typing import Final

# Refusals or unknown outcomes in a row that open a target's breaker, and seconds between probes: DESIGN 7.
OPENS_AFTER: Final = 5
PROBE_SECONDS: Final = 5.0
# Targets remembered; beyond it the ones not in use are forgotten.
REMEMBERED: Final = 10_000


@dataclass(slots=True)
class Target:
    """One target as this process sees it: attempts under way, failures in a row, and when it may be probed."""

    sending: int = 0
    misses: int = 0
    probe_at: float = 0.0
    probing: bool = False

    @property
    def open(self) -> bool:
        """Say whether the breaker is open: nothing but a probe goes out."""
        return self.misses >= OPENS_AFTER


class Targets:
    """Slots of a process: `limit` at a time, and at most a quarter of them (but one) to one target."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.share = max(1, limit // 4)
        self.sending = 0
        self._targets: dict[str, Target] = {}

    @property
    def free(self) -> int:
        """Return how many slots are free."""
        return self.limit - self.sending

    def take(self, name: str, now: float) -> bool:
        """Take a slot for the target when it has room; `now` is in monotonic seconds."""
        target = self._targets.get(name)
        if target is None:
            if len(self._targets) >= REMEMBERED:
                self._targets = {key: kept for key, kept in self._targets.items() if kept.sending or kept.misses}
            target = self._targets[name] = Target()
        if self.sending >= self.limit or not self._room(target, now):
            return False
        if target.open:
            target.probe_at = now + PROBE_SECONDS
            target.probing = True
        self.sending += 1
        target.sending += 1
        return True

    def give_back(self, name: str) -> None:
        """Give a slot back; a probe that nothing was sent with may be taken again at once."""
        target = self._targets[name]
        self.sending -= 1
        target.sending -= 1
        if target.probing and not target.sending:
            target.probing = False
            target.probe_at = 0.0

    def report(self, name: str, now: float, *, answered: bool) -> None:
        """Say that the target answered (whatever it said), or that it refused or did not answer."""
        target = self._targets[name]
        target.misses = 0 if answered else target.misses + 1
        target.probing = False
        if target.misses == OPENS_AFTER:
            target.probe_at = now + PROBE_SECONDS

    def full(self, now: float) -> list[str]:
        """Return the targets that have no room now."""
        return [name for name, target in self._targets.items() if not self._room(target, now)]

    def open(self) -> list[str]:
        """Return the targets whose breaker is open."""
        return [name for name, target in self._targets.items() if target.open]

    def _room(self, target: Target, now: float) -> bool:
        if target.open:
            return now >= target.probe_at
        return target.sending < self.share
