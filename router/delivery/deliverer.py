"""Deliver: take a slot, send the head of a lane (`attempt`), settle the result, continue with the next head.

The process that accepted a message sends it immediately, in a greenlet; the sweeper starts all other due messages.
"""

import contextlib
import math
import random
import time
from collections.abc import Callable
from typing import Final

import gevent
from gevent.event import Event

from router import metrics
from router.crew import Crew
from router.delivery import settling
from router.delivery.attempt import Attempts
from router.delivery.claimed import Claimed
from router.delivery.reading import NOTHING, Reading, read_answer, show
from router.delivery.report import AttemptReport
from router.delivery.slots import Slots, Target
from router.delivery.waiter import Waiters
from router.errors import StoreUnavailable
from router.flow.flex_flow import FlexFlow
from router.flow.succession import has_succeeded
from router.integrations import Integrations
from router.integrations.base import AttemptError, Failure
from router.message.channel import WEB
from router.message.twiml import Answer, Twiml
from router.settings import Settings
from router.settings.settings import LEASE_MARGIN
from router.store import Store
from router.store.keys import bucket
from router.store.lanes import Lease, Settlement, new_token
from router.value import value

# A head with less than this left for its attempt is released, not sent.
LEAST_SECONDS: Final = 0.5
# How long a message waits if this version cannot deliver to its flow, and the flow's record does not show this.
HELD_SECONDS: Final = 60.0
# A settle that the store does not answer is repeated for this long: a late success still counts.
SETTLE_SECONDS: Final = 60.0
# The number of idle greenlets kept for the next messages, about 20 KB each.
_WAITING_MOST: Final = 64


@value
class _Ended:
    """The result for a head: its settlement, and the attempt's answer or error, if there was an attempt."""

    settlement: Settlement
    answer: Answer | None = None
    reading: Reading = NOTHING
    error: AttemptError | None = None


class Deliverer:
    """The attempts of one process.

    `report` is called for every attempt, `late` for TwiML that no webhook waits for; `random_` returns a number in
    [0, 1). While `starved` (due messages are left because slots were missing), `freed` is set when a slot becomes free.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - its parts
        self,
        store: Store,
        integrations: Integrations,
        settings: Settings,
        report: Callable[[AttemptReport], None],
        late: Callable[[Lease, Twiml], None],
        random_: Callable[[], float] = random.random,
    ) -> None:
        self._store = store
        self._settings = settings
        self._report = report
        self._late = late
        self._random = random_
        self._attempts = Attempts(store, integrations, settings)
        self.slots = Slots(settings.deliveries, shared=len(settings.accounts) > 1)
        self._crew = Crew(_WAITING_MOST)
        self.claimed = Claimed()
        self.waiters = Waiters()
        self.freed = Event()
        self.starved = False
        self._stopping = False
        self.alive: Callable[[], bool] = lambda: True

    # -- the process that accepted a message ------------------------------------------------------------------------

    @property
    def stopping(self) -> bool:
        """Return whether this process takes no more leases."""
        return self._stopping or not self.alive()

    def reserve(self, flow: FlexFlow) -> Target | None:
        """Take a slot for a message of `flow` that is about to be accepted, and return its target; None without one."""
        if flow.is_held or self.stopping:
            return None
        target = _target_of(flow)
        return target if self.slots.take(target, time.monotonic()) else None

    def give_back(self, target: Target) -> None:
        """Give back a slot; start claimed leases that may now have one, of this target or another one."""
        self.slots.give_back(target)
        for waiting, count in self.claimed.counts().items():
            for _ in range(count):
                if self.stopping or not self.slots.take(waiting, time.monotonic()):
                    break
                if (lease := self.claimed.take(waiting)) is not None:
                    self.start(lease, waiting)

    def exchange(self, taken: Target | None, flow: FlexFlow) -> Target | None:
        """Give back the slot of `taken`, and take one for `flow`; return None if no slot is free."""
        if taken is not None:
            if taken == _target_of(flow) and not flow.is_held:
                return taken
            self.slots.give_back(taken)
        return self.reserve(flow)

    def decline(self, lease: Lease) -> None:
        """Release a lease: this process has no free slot. Another process, or this one later, claims it."""
        self._crew.spawn(self._settle, lease, Settlement("release", delay=1.0 + self._random()), hand_over=False)

    def begin(self, lease: Lease) -> None:
        """Start a claimed lease; if its slot has been taken since, let it wait for the next one."""
        target = _target(lease)
        if self.slots.take(target, time.monotonic()):
            self.start(lease, target)
        else:
            self._wait_for_slot(lease, target)

    def decline_overdue(self, now: float) -> None:
        """Release claimed leases that have waited too long for a slot; `now` is in monotonic seconds."""
        for lease in self.claimed.overdue(now):
            self.decline(lease)

    def start(self, lease: Lease, target: Target) -> None:
        """Send the lane's messages in a greenlet; the slot of the first one is taken already."""
        self._crew.spawn(self._drain, lease, target)
        metrics.SLOTS.set(self.slots.sending)

    # -- the lane ---------------------------------------------------------------------------------------------------

    def _drain(self, first: Lease, slot: Target) -> None:
        """Send the head of a lane, and the next ones as they are handed over; `slot` is taken for the first."""
        lease, target = self._deliver(first, slot), slot
        while lease is not None:
            target = _target(lease)
            if not self.slots.take(target, time.monotonic()):
                self._wait_for_slot(lease, target)
                return
            metrics.SLOTS.set(self.slots.sending)
            lease = self._deliver(lease, target)

    def _deliver(self, lease: Lease, target: Target) -> Lease | None:
        """Send one head, pass its slot on, and settle it; return the lease of the next one."""
        started = time.monotonic()
        left = lease.expires - LEASE_MARGIN - started
        keeps_slot = False
        try:
            put_off = self._put_off(lease, left)
            ended = _Ended(put_off) if put_off else _unsent(lease) or self._attempt(lease, target, started, left)
            keeps_slot = put_off is None and self._keeps_slot(target)
        except StoreUnavailable:  # a settle would fail, too: the lease ends, and the message is claimed again
            return None
        finally:
            self._pass_on(target, to_claimed=keeps_slot)
        settled, following = self._settle(lease, ended.settlement, hand_over=keeps_slot)
        if put_off is None:
            self._publish(lease, target, ended, settled, started)
        return following

    def _pass_on(self, target: Target, *, to_claimed: bool) -> None:
        """Pass a slot on to a claimed head that waits for this target, or give it back: settling needs no slot."""
        lease = self.claimed.take(target) if to_claimed and not self.slots.is_open(target) else None
        if lease is not None:
            self._crew.spawn(self._drain, lease, target)
            return
        self.give_back(target)
        metrics.SLOTS.set(self.slots.sending)
        if self.starved:
            self.freed.set()

    def _wait_for_slot(self, lease: Lease, target: Target) -> None:
        """Let a head wait for the next slot of its target; if this process is stopping, release it."""
        if self.stopping:
            self.decline(lease)
        else:
            self.claimed.add(target, lease, time.monotonic())

    def _attempt(self, lease: Lease, target: Target, started: float, left: float) -> _Ended:
        """Send a head, and decide its settlement; raise StoreUnavailable if the answer cannot be added to its chat."""
        flow = lease.flow
        assert flow is not None  # noqa: S101 - otherwise it was settled as unrouted
        try:
            answer = self._attempts.send(lease, flow, min(left, self._settings.attempt_seconds))
        except AttemptError as error:
            now = time.monotonic()
            self._record(target, error, now)
            delays, jitter = self._settings.retry_delays, self._random()
            return _Ended(settling.failed(lease, flow, error, now - started, delays=delays, jitter=jitter), error=error)
        reading = read_answer(answer, flow, replayed=lease.round > 0)
        if flow.channel_type == WEB:
            reading = show(self._store, lease.read, reading, SETTLE_SECONDS)
        now = time.monotonic()
        self._record(target, None, now)
        promised = reading.twiml is not None and self.waiters.promise(lease.id)
        return _Ended(settling.delivered(lease, answer, reading, now - started, promised=promised), answer, reading)

    def _record(self, target: Target, error: AttemptError | None, now: float) -> None:
        """Report an attempt's outcome to the target's breaker; if the target is back, make its waiting lanes due."""
        if error is None:
            back = self.slots.report(target, now, missed=False, unreachable=False, succeeded=True)
        elif error.blameless:
            return
        else:
            missed = error.failure in {Failure.REFUSED, Failure.UNKNOWN}
            back = self.slots.report(target, now, missed=missed, unreachable=error.unreachable, succeeded=False)
        if back is not None:
            self._crew.spawn(self._hurry, back)
        metrics.BREAKERS.set(self.slots.opened)

    def _publish(self, lease: Lease, target: Target, ended: _Ended, settled: str, started: float) -> None:
        """Pass the result on to the views that wait for the message, the late replies, and the log."""
        settlement, answer, error, reading = ended.settlement, ended.answer, ended.error, ended.reading
        twiml, flow = reading.twiml, lease.flow
        cookies = answer.set_cookie if answer and twiml else ()
        self.waiters.tell(lease.id, settlement.outcome, twiml.xml if twiml else None, cookies)
        if twiml and not reading.shown and settled in ("next", "done") and "answered" not in (settlement.fields or {}):
            self._late(lease, twiml)
        self._report(
            AttemptReport(
                lease=lease,
                target=target.name,
                integration_type=flow.integration.type if flow else "",
                outcome=settlement.outcome,
                failure=error.failure.value if error else "",
                status=answer.status if answer else error.status if error else None,
                reason=settling.logged(settlement, error) or reading.wrong,
                seconds=time.monotonic() - started,
                settled=settled,
                excerpt=error.excerpt if error else reading.excerpt,
            )
        )

    def _put_off(self, lease: Lease, left: float) -> Settlement | None:
        """Return how to release a head that must not be sent with this lease, valid for `left` s; None to send it."""
        flow = lease.flow
        if left < LEAST_SECONDS or self.stopping:
            return Settlement("release")
        if flow is not None and flow.enabled and flow.undeliverable:
            # A version that can deliver to the flow wrote its record: the message waits as in a paused flow.
            return Settlement("release", delay=HELD_SECONDS)
        successor = self._successor(flow)
        return settling.passed_on(lease, successor) if successor else None

    def _successor(self, flow: FlexFlow | None) -> FlexFlow | None:
        """Return the flow to which all contacts of a disabled flow were migrated, if there is one."""
        if flow is None or flow.enabled or not flow.migrate_to:
            return None
        new = self._store.flows.get(flow.account_sid, flow.migrate_to)
        return new if new and has_succeeded(new, flow) else None

    def _keeps_slot(self, target: Target) -> bool:
        """Return whether the target may keep its slot for another message."""
        return not self.stopping and not self.slots.is_owed(target)

    def _settle(self, lease: Lease, settlement: Settlement, *, hand_over: bool) -> tuple[str, Lease | None]:
        """Settle, and repeat it until the store answers: with the same tokens a repeated call has no further effect."""
        next_token = new_token() if hand_over else ""
        began, pause = time.monotonic(), 0.05
        while True:
            try:
                return self._store.lanes.settle(lease, settlement, next_token=next_token)
            except StoreUnavailable:
                if time.monotonic() - began > SETTLE_SECONDS:
                    return "lost", None
                gevent.sleep(pause)
                pause = min(2 * pause, 1.0)

    def _hurry(self, back: Target) -> None:
        """Make lanes due now whose heads wait for a retry at a target that is back."""
        tags = [bucket(back.account_sid)] if back.account_sid else self._store.buckets
        with contextlib.suppress(StoreUnavailable):  # then they are due at their retries
            for tag in tags:
                self._store.lanes.hurry_target(tag, back.account_sid, back.name)

    # -- the end ----------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Take no more leases, and release those that wait for a slot."""
        self._stopping = True
        self.freed.set()
        self.decline_overdue(math.inf)

    def wait(self, seconds: float) -> int:
        """Wait for the attempts under way; return how many did not end within `seconds`."""
        end = time.monotonic() + seconds
        while self._crew.busy and (left := end - time.monotonic()) > 0:  # a claim under way may still start attempts
            self._crew.join(left)
        return self._crew.busy


def _target_of(flow: FlexFlow) -> Target:
    return Target(flow.account_sid, flow.target)


def _target(lease: Lease) -> Target:
    """Return the target whose slot a head needs.

    A head that will not be sent uses the target `none`, so that it does not use up the probe of a breaker.
    """
    flow = lease.flow
    if flow is None or not flow.enabled or lease.age >= flow.validity_period:
        return Target(lease.account_sid, "none")
    return _target_of(flow)


def _unsent(lease: Lease) -> _Ended | None:
    settlement = settling.unsent(lease)
    return None if settlement is None else _Ended(settlement)
