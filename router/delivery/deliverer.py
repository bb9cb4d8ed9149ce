"""Deliver: send the head of a lane, settle how it went, go on with the next one.

The process that accepted a message sends it at once, in a greenlet; the sweeper starts what else is due.
"""

import contextlib
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

import gevent
from gevent.event import Event

from router import metrics
from router.crew import Crew
from router.delivery import retry
from router.delivery.breaker import Target, Targets
from router.delivery.chat_reply import append_reply
from router.delivery.waiter import Waiters
from router.errors import StoreUnavailable
from router.flow.flex_flow import FlexFlow
from router.flow.succession import has_succeeded
from router.integrations import Integrations
from router.integrations.base import Attempt, AttemptError, Failure
from router.message.channel import WEB
from router.message.twiml import NOT_TWIML, Answer, Excerpt, NotTwiml, Twiml, excerpt_of, twiml_of
from router.settings import LEASE_MARGIN, Settings
from router.store import Store
from router.store.keys import bucket
from router.store.lanes import Lease, Settlement, new_token

# A head that has less than this left to be sent in is released, not sent.
LEAST_SECONDS: Final = 0.5
# How long a message waits whose flow this version cannot deliver to, and whose record does not say so.
HELD_SECONDS: Final = 60.0
# A settle whose call to the store is lost is repeated for this long: a late success still counts.
SETTLE_SECONDS: Final = 60.0
# Greenlets that wait for the next message, of some 20 KB each.
_WAITING_MOST: Final = 64


@dataclass(frozen=True, slots=True)
class AttemptReport:
    """One attempt, for logs and metrics: durations in seconds, `settled` as the store said.

    `reason` holds nothing of what a customer or a target wrote; `excerpt` does.
    """

    lease: Lease
    target: str
    integration_type: str
    outcome: str
    failure: str
    status: int | None
    reason: str
    seconds: float
    settled: str
    excerpt: Excerpt | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """What an answer is to Twilio: TwiML, or nothing; why not, and what is kept of it then.

    `shown` is what became of it in a web chat, "" on other channels.
    """

    twiml: Twiml | None = None
    wrong: str = ""
    excerpt: Excerpt | None = None
    shown: str = ""


class Deliverer:
    """The attempts of one process.

    `report` is told of every attempt, `late` of TwiML that no webhook waits for; `random_` returns a number in [0, 1).
    `freed` is set when a slot comes free while `starved`: something due was left for want of one.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - what it is made of
        self,
        store: Store,
        integrations: Integrations,
        settings: Settings,
        report: Callable[[AttemptReport], None],
        late: Callable[[Lease, Twiml], None],
        random_: Callable[[], float] = random.random,
    ) -> None:
        self._store = store
        self._integrations = integrations
        self._settings = settings
        self._report = report
        self._late = late
        self._random = random_
        self.targets = Targets(settings.deliveries, shared=len(settings.accounts) > 1)
        self._crew = Crew(_WAITING_MOST)
        self.waiters = Waiters()
        self.freed = Event()
        self.starved = False
        self._stopping = False
        self.alive: Callable[[], bool] = lambda: True

    # -- the process that accepted a message ------------------------------------------------------------------------

    @property
    def stopping(self) -> bool:
        """Say whether this process takes no more leases."""
        return self._stopping or not self.alive()

    def reserve(self, flow: FlexFlow) -> bool:
        """Take a slot for a message of `flow` that is about to be accepted; False when there is none."""
        return not (flow.is_held or self.stopping) and self.targets.take(_target_of(flow), time.monotonic())

    def give_back(self, flow: FlexFlow) -> None:
        """Give back a slot that `reserve` took, because another process holds the lane's lease."""
        self.targets.give_back(_target_of(flow))

    def exchange(self, taken: FlexFlow | None, flow: FlexFlow) -> bool:
        """Take a slot for `flow`, in place of one for `taken`, which is given back; False when there is none."""
        if taken is not None:
            if _target_of(taken) == _target_of(flow) and not flow.is_held:
                return True
            self.give_back(taken)
        return self.reserve(flow)

    def decline(self, lease: Lease) -> None:
        """Release a lease: this process has no free slot. Another process, or this one later, claims it."""
        self._crew.spawn(self._settle, lease, Settlement("release", delay=1.0 + self._random()), hand_over=False)

    def begin(self, lease: Lease) -> None:
        """Start what was claimed; where the slot for it was taken meanwhile, leave it for a second or so."""
        if self.targets.take(_target(lease), time.monotonic()):
            self.start(lease)
        else:
            self.decline(lease)

    def start(self, lease: Lease) -> None:
        """Drain the lease's lane in a greenlet; its slot is taken already."""
        self._crew.spawn(self._drain, lease, _target(lease))
        metrics.SLOTS.set(self.targets.sending)

    # -- the lane ---------------------------------------------------------------------------------------------------

    def _drain(self, first: Lease, target: Target) -> None:
        lease: Lease | None = first
        taken: Target | None = target
        try:
            while lease is not None:
                following = self._deliver(lease, target)
                if following is not None and (needed := _target(following)) != target:
                    self.targets.give_back(target)
                    taken = None
                    if not self.targets.take(needed, time.monotonic()):
                        self._settle(following, Settlement("release", delay=1.0), hand_over=False)
                        return
                    taken = target = needed
                lease = following
        finally:
            if taken is not None:
                self.targets.give_back(taken)
            metrics.SLOTS.set(self.targets.sending)
            if self.starved:
                self.freed.set()

    def _deliver(self, lease: Lease, target: Target) -> Lease | None:
        """Send one head and settle it; return the lease of the next one."""
        started = time.monotonic()
        left, flow = lease.expires - LEASE_MARGIN - started, lease.flow
        try:
            put_off = self._put_off(lease, left)
        except StoreUnavailable:  # the lease ends, and the message is claimed again
            return None
        if put_off is not None:
            self._settle(lease, put_off, hand_over=False)
            return None
        answer: Answer | None = None
        reading = Reading()
        error: AttemptError | None = None
        if flow is None or not flow.enabled:
            settlement = Settlement("unrouted", fields={"error": _unrouted(lease)})
        elif lease.age >= flow.validity_period:
            reason = f"not delivered within its ValidityPeriod of {flow.validity_period} s"
            settlement = Settlement("undelivered", fields={"error": reason})
        else:
            try:
                answer = self._send(lease, flow, min(left, self._settings.attempt_seconds))
                reading = self._show(lease, flow, self._read(lease, flow, answer))
            except AttemptError as failed:
                error = failed
            except StoreUnavailable:  # nor could it be settled: the lease ends, and the message is sent again
                return None
            seconds = time.monotonic() - started
            missed = error is not None and error.failure in {Failure.REFUSED, Failure.UNKNOWN}
            unreachable = error is not None and error.unreachable
            if error is None or not error.blameless:
                back = self.targets.report(
                    target, time.monotonic(), missed=missed, unreachable=unreachable, succeeded=error is None
                )
                if back is not None:
                    self._crew.spawn(self._hurry, back)
            metrics.BREAKERS.set(self.targets.opened)
            settlement = (
                self._judge(lease, flow, error, seconds) if error else self._delivered(lease, answer, reading, seconds)
            )
        twiml = reading.twiml
        settled, following = self._settle(lease, settlement, hand_over=self._goes_on(target))
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
                reason=_logged(settlement, error) or reading.wrong,
                seconds=time.monotonic() - started,
                settled=settled,
                excerpt=error.excerpt if error else reading.excerpt,
            )
        )
        return following

    def _put_off(self, lease: Lease, left: float) -> Settlement | None:
        """Return how a head is released that is not sent by this lease, which lasts `left` s more; None if it is."""
        flow = lease.flow
        if left < LEAST_SECONDS or self.stopping:
            return Settlement("release")
        if flow is not None and flow.enabled and flow.undeliverable:
            # Its record is of a version that could: it waits as in a paused flow, and is not given up.
            return Settlement("release", delay=HELD_SECONDS)
        successor = self._successor(flow)
        return _passed_on(lease, successor) if successor else None

    def _successor(self, flow: FlexFlow | None) -> FlexFlow | None:
        """Return the flow to which all contacts of a disabled flow were migrated, if there is one."""
        if flow is None or flow.enabled or not flow.migrate_to:
            return None
        new = self._store.flows.get(flow.account_sid, flow.migrate_to)
        return new if new and has_succeeded(new, flow) else None

    def _send(self, lease: Lease, flow: FlexFlow, seconds: float) -> Answer:
        account = self._settings.account(lease.account_sid)
        if account is None:
            reason = f"account {lease.account_sid} is not in this process's settings"
            raise AttemptError(Failure.REFUSED, reason)
        timeout = gevent.Timeout(seconds)
        timeout.start()
        try:
            raw, message = lease.read()
            # Where it is sent at once, accept.lua has said so.
            if flow.migrate_to and flow.integration.type == "proxy" and lease.content is None:
                self._announce(lease)
            attempt = Attempt(
                account=account,
                flow=flow,
                message=message,
                raw=raw,
                number=lease.attempts,
                replay=lease.round > 0,
                language=lease.language,
                seconds=seconds,
                lane=lease.lane,
                age=lease.accepted_ago,
                recovered=lease.answered,  # nothing may answer it, since it was accepted
            )
            return self._integrations.send(attempt)
        except AttemptError:
            raise
        except gevent.Timeout as ended:
            if ended is not timeout:
                raise
            raise AttemptError(Failure.UNKNOWN, f"no answer within {seconds:.0f} s") from None
        except gevent.GreenletExit:
            raise
        except BaseException as error:  # a fault, ours or a handler's, must not stop the lane: the attempt has failed
            logged = f"the router failed: {type(error).__name__}"
            raise AttemptError(Failure.FAILED, f"{logged}: {error}", logged=logged) from error
        finally:
            timeout.close()

    def _announce(self, lease: Lease) -> None:
        """Say that the message may begin a session of Proxy: its contact stays until a list of sessions says more."""
        try:
            self._store.proxied.sending(lease.account_sid, lease.lane, lease.flow_sid)
        except StoreUnavailable as error:
            reason = "the store did not answer, so the message was not sent: its contact may be migrated"
            raise AttemptError(Failure.REFUSED, reason) from error

    def _delivered(self, lease: Lease, answer: Answer | None, reading: Reading, seconds: float) -> Settlement:
        """Settle a success: its TwiML is kept, and a view that waits gets the right to answer with it."""
        status = answer.status if answer else 0
        fields = _kept(reading.excerpt)
        if reading.twiml is not None:
            fields["answer"] = reading.twiml.xml
            if self.waiters.promise(lease.id):
                fields["answered"] = "webhook"
        if reading.shown:
            fields["replied"] = reading.shown
        note = reading.wrong or (answer.note if answer else "")
        history = f"{lease.attempts} delivered {status} {seconds:.3f} {note}"
        return Settlement("delivered", fields=fields, history=history.rstrip())

    def _judge(self, lease: Lease, flow: FlexFlow, error: AttemptError, seconds: float) -> Settlement:
        """Settle a failure as `retry.judge` decides."""
        tries = retry.Tries(lease.failures, lease.refusals, lease.age + seconds, lease.lost)
        verdict = retry.judge(error, flow, tries, delays=self._settings.retry_delays, jitter=self._random())
        reason = verdict.reason.encode(errors="replace").decode()  # a handler may say what is no text
        fields = _kept(error.excerpt)
        fields |= {"failures": verdict.failures, "refusals": verdict.refusals, "error": reason}
        if verdict.lost and flow.integration.type == "handler":
            fields["lost"] = verdict.lost
        return Settlement(
            verdict.outcome,
            delay=verdict.delay,
            fields=fields,
            history=f"{lease.attempts} {error.failure.value} {error.status or '-'} {seconds:.3f} {reason}",
        )

    def _goes_on(self, target: Target) -> bool:
        """Say whether the lane's next head is sent with the same slot."""
        return not self.stopping and not self.targets.is_owed(target)

    def _settle(self, lease: Lease, settlement: Settlement, *, hand_over: bool) -> tuple[str, Lease | None]:
        """Settle until the store has answered; the same tokens make a repeated call the same call."""
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

    def _read(self, lease: Lease, flow: FlexFlow, answer: Answer) -> Reading:
        """Read what the target says to the customer; nothing where the flow does not relay.

        Nor for a replay, except of a web chat: its visitor still sees an answer that never came.
        """
        if flow.response != "relay" or (lease.round > 0 and flow.channel_type != WEB):
            return Reading()
        try:
            return Reading(twiml_of(answer))
        except NotTwiml as error:
            return Reading(None, f"{NOT_TWIML}{error}", excerpt_of(answer.content_type, answer.body))

    def _hurry(self, back: Target) -> None:
        """Let what waits for a retry at a target be sent now: the target is back."""
        tags = [bucket(back.account_sid)] if back.account_sid else self._store.buckets
        with contextlib.suppress(StoreUnavailable):  # then it is sent at its retry
            for tag in tags:
                self._store.lanes.hurry_target(tag, back.account_sid, back.name)

    def _show(self, lease: Lease, flow: FlexFlow, reading: Reading) -> Reading:
        """Append an answer to the visitor's chat; raise StoreUnavailable when the store does not answer for long."""
        if reading.twiml is None or flow.channel_type != WEB:
            return reading
        end = time.monotonic() + SETTLE_SECONDS
        _, message = lease.read()
        shown = append_reply(self._store, message, reading.twiml, lambda: time.monotonic() > end)
        return replace(reading, shown=shown)

    # -- the end ----------------------------------------------------------------------------------------------------

    def stop(self, seconds: float) -> int:
        """Take no more leases, wait for the attempts under way; return how many did not end within `seconds`."""
        self._stopping = True
        self.freed.set()
        end = time.monotonic() + seconds
        while self._crew.busy and (left := end - time.monotonic()) > 0:  # a claim under way may still start some
            self._crew.join(left)
        return self._crew.busy


def _target_of(flow: FlexFlow) -> Target:
    return Target(flow.account_sid, flow.target)


def _target(lease: Lease) -> Target:
    """Return the target whose slot a head needs.

    A head that will not be sent gets a target of its own, so that it does not use up the probe of a breaker.
    """
    flow = lease.flow
    if flow is None or not flow.enabled or lease.age >= flow.validity_period:
        return Target(lease.account_sid, "none")
    return _target_of(flow)


def _kept(excerpt: Excerpt | None) -> dict[str, Any]:
    """Write what came back instead of a good answer, as `Delivery.excerpt` reads it."""
    return {"said": f"{excerpt.type}\n{excerpt.text}".encode(errors="replace")} if excerpt else {}


def _logged(settlement: Settlement, error: AttemptError | None) -> str:
    """Return why a message was not delivered, as the log may have it."""
    reason = str((settlement.fields or {}).get("error", ""))
    if error is None:
        return reason
    return error.logged + (reason.removeprefix(error.reason) if reason.startswith(error.reason) else "")


def _passed_on(lease: Lease, successor: FlexFlow) -> Settlement:
    """Let a message wait for the flow that has taken over from its own; it is still the head of its lane."""
    reason = f"{lease.flow_sid} was disabled at the end of its migration: the message goes to {successor.sid}"
    fields: dict[str, str | int] = {"flow": successor.sid, "failures": 0, "refusals": 0}
    return Settlement("release", fields=fields, history=f"{lease.attempts} passed-on - 0.000 {reason}")


def _unrouted(lease: Lease) -> str:
    if lease.flow is None:
        return f"its flow {lease.flow_sid or '(none)'} was deleted, or cannot be read, before it could be delivered"
    return f"its flow {lease.flow_sid} was disabled before the message could be delivered"
