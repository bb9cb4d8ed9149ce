"""How much of a process each account and each target may have: a share of its slots, and none while a target is down.

A target belongs to an account: what one account's flows make of a host, by too many messages or a wrong URL, says
nothing about another account's flows to the same host. Only a host that cannot be connected to is down for all.

An attempt cannot be broken off, so what is lent is gone for up to 22 s. Hence nobody may have so much that nothing is
left for the next: an account gets another slot while it has less than three times what is free, a target while it has
less than what is free, and no more than a quarter. So one busy account has up to three quarters of the slots, two have
three sevenths each, and so on: when others come, what an account has beyond that goes back message by message. (These
are the dynamic thresholds of shared-memory switches: Choudhury and Hahne, 1998.) And an account that has no slot at all
gets one although all are taken, so that no account ever waits for another's attempts to end.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

K = TypeVar("K")

# Misses in a row that open a breaker, and seconds between probes: DESIGN 7.
OPENS_AFTER: Final = 5
PROBE_SECONDS: Final = 5.0
# How many times what is free an account may have; there is no such limit where there is only one.
ACCOUNT_FACTOR: Final = 3
# Targets remembered; beyond it those that are not in use are forgotten, first the ones that were used first. Those
# whose breaker is open go with each call of `claim`.
REMEMBERED: Final = 2_000


@dataclass(frozen=True, slots=True)
class Target:
    """What an account's flows send to: `name` is `FlexFlow.target`, and the same for every account."""

    account_sid: str
    name: str


@dataclass(slots=True)
class _Breaker:
    """Misses in a row; when it is open, when one attempt may go out to probe."""

    misses: int = 0
    probe_at: float = 0.0
    probing: bool = False

    @property
    def open(self) -> bool:
        return self.misses >= OPENS_AFTER

    def lets_through(self, now: float) -> bool:
        return not self.open or now >= self.probe_at

    def take(self, now: float) -> None:
        if self.open:
            self.probe_at = now + PROBE_SECONDS
            self.probing = True

    def give_back(self) -> None:
        if self.probing:  # nothing was sent
            self.probing = False
            self.probe_at = 0.0

    def report(self, now: float, *, missed: bool) -> None:
        self.misses = self.misses + 1 if missed else 0
        self.probing = False
        if self.misses == OPENS_AFTER:
            self.probe_at = now + PROBE_SECONDS


@dataclass(slots=True)
class _Use:
    """How many attempts are under way, and the breaker."""

    sending: int = 0
    breaker: _Breaker = field(default_factory=_Breaker)


@dataclass(frozen=True, slots=True)
class Room:
    """What a process has room for now.

    Args:
        free: how many slots are free.
        share: how many slots a target may have.
        factor: how many times what is free an account may have; 0 where that is not limited.
        accounts: how many slots each has.
        targets: those that are in use: how many slots each has, and may have.
        names: how many more targets of that name may have together, where its breaker is open: a probe.
        shut: where the breaker is open, and no probe is due.
        shut_names: the same, for every account.

    """

    free: int
    share: int
    factor: int
    accounts: Mapping[str, int]
    targets: Mapping[Target, tuple[int, int]]
    names: Mapping[str, int]
    shut: Sequence[Target]
    shut_names: Sequence[str]


class Targets:
    """Slots of a process: `limit` at a time, and at most a quarter of them (but one) to one target.

    A target has a breaker, which opens when it refuses or does not answer; and so has its name, over all accounts,
    which opens when it cannot be connected to. `shared` says that there are several accounts.
    """

    def __init__(self, limit: int, *, shared: bool) -> None:
        self.limit = limit
        self.share = max(1, limit // 4)
        self.sending = 0
        self._factor = ACCOUNT_FACTOR if shared else 0
        self._accounts: Counter[str] = Counter()
        self._targets: dict[Target, _Use] = {}
        self._names: dict[str, _Use] = {}

    @property
    def free(self) -> int:
        """Return how many slots are free."""
        return self.limit - self.sending

    def take(self, target: Target, now: float) -> bool:
        """Take a slot for the target when it has room; `now` is in monotonic seconds."""
        use, name = _remembered(self._targets, target), _remembered(self._names, target.name)
        if use.sending >= self._most(use, now) or not name.breaker.lets_through(now):
            return False
        if not self._may_have(use.sending, self._accounts[target.account_sid], self.free):
            return False
        use.breaker.take(now)
        name.breaker.take(now)
        self.sending += 1
        use.sending += 1
        name.sending += 1
        self._accounts[target.account_sid] += 1
        return True

    def give_back(self, target: Target) -> None:
        """Give a slot back; a probe that nothing was sent with may be taken again at once."""
        self.sending -= 1
        self._accounts[target.account_sid] -= 1
        if not self._accounts[target.account_sid]:
            del self._accounts[target.account_sid]
        for use in (self._targets[target], self._names[target.name]):
            use.sending -= 1
            if not use.sending:
                use.breaker.give_back()

    def is_owed(self, target: Target) -> bool:
        """Say whether a slot that the target has should go back: more was free when it was lent."""
        account = self._accounts[target.account_sid]
        return not self._may_have(self._targets[target].sending - 1, account - 1, self.free + 1)

    def report(self, target: Target, now: float, *, missed: bool, unreachable: bool) -> None:
        """Say what came of an attempt.

        Args:
            target: one that has a slot.
            now: monotonic seconds.
            missed: it refused, or did not answer.
            unreachable: that was because it cannot be connected to, which does not depend on the account.

        """
        self._names[target.name].breaker.report(now, missed=unreachable)
        self._targets[target].breaker.report(now, missed=missed and not unreachable)

    def room(self, now: float) -> Room:
        """Say what there is room for."""
        return Room(
            free=self.free,
            share=self.share,
            factor=self._factor,
            accounts=dict(self._accounts),
            targets={
                each: (use.sending, self._most(use, now))
                for each, use in self._targets.items()
                if use.sending or use.breaker.open
            },
            names={name: 1 for name, use in self._names.items() if use.breaker.open},
            shut=[each for each, use in self._targets.items() if not use.breaker.lets_through(now)],
            shut_names=[name for name, use in self._names.items() if not use.breaker.lets_through(now)],
        )

    def open(self) -> list[str]:
        """Return the names of targets whose breaker is open, once for each."""
        own = [target.name for target, use in self._targets.items() if use.breaker.open]
        return own + [name for name, use in self._names.items() if use.breaker.open]

    def _most(self, use: _Use, now: float) -> int:
        """Return how many slots a target may have: its share, or a probe more than it has, or none more."""
        return use.sending + int(use.breaker.lets_through(now)) if use.breaker.open else self.share

    def _may_have(self, target: int, account: int, free: int) -> bool:
        """Say whether a target and an account that have so many slots may have one more."""
        if not self._factor:
            return target < free
        return not account or (target < free and account < self._factor * free)


def _remembered(uses: dict[K, _Use], key: K) -> _Use:
    """Return what is known of a key; where too much is known already, forget half of what is not in use."""
    use = uses.get(key)
    if use is None:
        if len(uses) >= REMEMBERED:
            idle = [each for each, known in uses.items() if not known.sending]
            for each in idle[: (len(idle) + 1) // 2]:
                del uses[each]
        use = uses[key] = _Use()
    return use
