"""The slots of a process: how many attempts may be in progress, for each account and for each target.

A target belongs to an account: failures that one account causes at a host, by too many messages or a wrong URL, do not
affect another account's flows to the same host. Only a host that cannot be connected to is down for all accounts.

An attempt cannot be cancelled, so a slot may be in use for up to 22 s. Hence no account or target may take so many
slots that none is left for the next one: an account gets another slot while it has less than three times the number of
free slots, a target while it has less than the number of free slots, and at most a quarter of all. So one busy account
has up to three quarters of the slots, two have three sevenths each, and so on: when further accounts become active, an
account returns the slots above its limit, one with each message. (These are the dynamic thresholds of shared-memory
switches: Choudhury and Hahne, 1998.) An account without any slot gets one even if all are taken, so that no account
waits for another account's attempts to end.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, TypeVar

from router.delivery.breaker import Breaker

K = TypeVar("K")

# An account's limit, as a multiple of the free slots; not applied if there is only one account.
ACCOUNT_FACTOR: Final = 3
# Targets kept in memory; above this number, unused ones are dropped, oldest first. Targets with an open breaker are
# passed to the store with each call of `claim`.
REMEMBERED: Final = 2_000
# The prefix of a handler's target. A handler may kill its process, so a handler's message is given up when two
# processes that had claimed it were lost. So a handler's message is claimed only if it can be sent now.
HANDLER: Final = "handler:"
# A target is fast if this many of its attempts end during a sweep: messages are claimed ahead of its slots.
AHEAD_FROM: Final = 16


class Target(NamedTuple):
    """A target of one account: `name` is `FlexFlow.target`; accounts may have targets of the same name."""

    account_sid: str
    name: str


NONE_WAIT: Final[Mapping[Target, int]] = {}


@dataclass(slots=True)
class _Use:
    """The attempts in progress, those that ended since the last sweep, and the breaker.

    `pace` is how many ended during recent sweeps: it rises to the number of the last sweep, or halves with each sweep.
    """

    sending: int = 0
    ended: int = 0
    pace: int = 0
    breaker: Breaker = field(default_factory=Breaker)

    @property
    def ending(self) -> int:
        """How many attempts in progress are expected to end during a sweep."""
        return 0 if self.breaker.open else min(max(self.ended, self.pace), self.sending)

    @property
    def ahead(self) -> int:
        """How many messages are claimed before there is a slot for them, to be sent during the next claim."""
        pace = max(self.ended, self.pace)
        return 0 if self.breaker.open or pace < AHEAD_FROM else pace

    def begin_sweep(self) -> None:
        self.pace, self.ended = max(self.ended, self.pace // 2), 0


@dataclass(frozen=True, slots=True)
class Capacity:
    """The free capacity of a process, as expected for the time when the store has answered.

    Args:
        free: how many slots are free.
        share: how many slots a target may have.
        factor: an account's limit as a multiple of `free`; 0 for no limit.
        accounts: how many slots each account uses.
        targets: the targets in use: how many slots each uses, and how many it may use.
        names: for target names with an open breaker, how many more slots they may use over all accounts: a probe.
        shut: targets with an open breaker and no probe due.
        shut_names: target names with an open breaker and no probe due, for all accounts.

    """

    free: int
    share: int
    factor: int
    accounts: Mapping[str, int]
    targets: Mapping[Target, tuple[int, int]]
    names: Mapping[str, int]
    shut: Sequence[Target]
    shut_names: Sequence[str]


class Slots:
    """Slots of a process: `limit` in all, and for one target at most a quarter of them (but at least one).

    Each target has a breaker, which opens when the target refuses or does not answer. Each target name has one for all
    accounts, which opens when no connection can be made. `shared` is whether there are several accounts.
    """

    def __init__(self, limit: int, *, shared: bool) -> None:
        self.limit = limit
        self.share = max(1, limit // 4)
        self.sending = 0
        self.opened = 0  # breakers that are open
        self._factor = ACCOUNT_FACTOR if shared else 0
        self._accounts: Counter[str] = Counter()
        self._targets: dict[Target, _Use] = {}
        self._names: dict[str, _Use] = {}

    @property
    def free(self) -> int:
        """Return how many slots are free."""
        return self.limit - self.sending

    def take(self, target: Target, now: float) -> bool:
        """Take a slot for the target if its limits allow it; `now` is in monotonic seconds."""
        use, name = self._remembered(self._targets, target), self._remembered(self._names, target.name)
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
        """Release a slot; if it was a probe and nothing was sent, another probe is allowed immediately."""
        self.sending -= 1
        self._accounts[target.account_sid] -= 1
        if not self._accounts[target.account_sid]:
            del self._accounts[target.account_sid]
        for use in (self._targets[target], self._names[target.name]):
            use.sending -= 1
            use.ended += 1
            if not use.sending:
                use.breaker.give_back()

    def is_open(self, target: Target) -> bool:
        """Return whether a breaker of the target, which holds a slot, is open."""
        return self._targets[target].breaker.open or self._names[target.name].breaker.open

    def is_owed(self, target: Target) -> bool:
        """Return whether the target should release a slot, because it is above the present limit."""
        account = self._accounts[target.account_sid]
        return not self._may_have(self._targets[target].sending - 1, account - 1, self.free + 1)

    def report(self, target: Target, now: float, *, missed: bool, unreachable: bool, succeeded: bool) -> Target | None:
        """Record the outcome of an attempt.

        Args:
            target: a target that holds a slot.
            now: monotonic seconds.
            missed: whether it refused, or did not answer.
            unreachable: whether no connection could be made, which does not depend on the account.
            succeeded: whether it accepted the message. An error answer closes a breaker, but is not a success.

        Returns:
            The target, if this is its first success since its breaker was open, else None; with the account `""` if
            the breaker of its name was open, for every account.

        """
        of_name, of_target = self._names[target.name].breaker, self._targets[target].breaker
        before = of_name.open + of_target.open
        name = of_name.report(now, missed=unreachable, succeeded=succeeded)
        own = of_target.report(now, missed=missed and not unreachable, succeeded=succeeded)
        self.opened += of_name.open + of_target.open - before
        return Target("", target.name) if name else target if own else None

    def begin_sweep(self) -> None:
        """Begin a new count of the attempts that end."""
        for use in self._targets.values():
            use.begin_sweep()

    def capacity(self, now: float, waiting: Mapping[Target, int] = NONE_WAIT) -> Capacity:
        """Return the free capacity that a claim may use.

        Attempts end while the store answers the claim. So as many slots as became free in recent sweeps count as free.
        A fast target gets the same number again, ahead of its slots, so that it is not idle until the next claim is
        answered. A handler gets only as many as it has free slots now. Messages that were claimed before and are
        `waiting` for a slot are subtracted.
        """
        remote = {each: use for each, use in self._targets.items() if not each.name.startswith(HANDLER)}
        ahead = {each: min(use.ahead, self.share) for each, use in remote.items() if use.ahead}
        # The slots that waiting messages will take, less those that become free in the meantime.
        reserved = {**waiting} | {
            each: waiting.get(each, 0) - use.ending for each, use in remote.items() if use.sending
        }
        accounts = self._accounts.copy()
        for target, slots in reserved.items():
            accounts[target.account_sid] += slots
        return Capacity(
            free=max(0, self.free - sum(reserved.values())),
            share=self.share,
            factor=self._factor,
            accounts={sid: has for sid, has in accounts.items() if has > 0},
            targets={
                each: (use.sending + reserved.get(each, 0) - ahead.get(each, 0), self._most(use, now))
                for each, use in self._targets.items()
                if use.sending or use.breaker.open or each in waiting or each in ahead
            },
            names={name: 1 for name, use in self._names.items() if use.breaker.open},
            shut=[each for each, use in self._targets.items() if not use.breaker.lets_through(now)],
            shut_names=[name for name, use in self._names.items() if not use.breaker.lets_through(now)],
        )

    def shut(self) -> list[tuple[str, str]]:
        """Return account and name of the targets to which only probes are sent, because a breaker is open."""
        names = {name for name, use in self._names.items() if use.breaker.open}
        if not names and not any(use.breaker.open for use in self._targets.values()):
            return []
        targets = (each for each, use in self._targets.items() if use.breaker.open or each.name in names)
        return [(each.account_sid, each.name) for each in targets]

    def _most(self, use: _Use, now: float) -> int:
        """Return how many slots a target may have: its share, or one more for a probe if its breaker is open."""
        return use.sending + int(use.breaker.lets_through(now)) if use.breaker.open else self.share

    def _remembered(self, uses: dict[K, _Use], key: K) -> _Use:
        """Return the entry of a key, creating it if needed; above the size limit, drop half of the unused entries."""
        use = uses.get(key)
        if use is None:
            if len(uses) >= REMEMBERED:
                idle = [each for each, known in uses.items() if not known.sending]
                for each in idle[: (len(idle) + 1) // 2]:
                    self.opened -= uses.pop(each).breaker.open
            use = uses[key] = _Use()
        return use

    def _may_have(self, target: int, account: int, free: int) -> bool:
        """Return whether a target and an account with these numbers of slots may have one more."""
        if not self._factor:
            return target < free
        return not account or (target < free and account < self._factor * free)
