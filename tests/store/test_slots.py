"""Messages that a process claimed and no longer has a slot for."""

import time
from collections.abc import Iterator

import gevent
import pytest

from router import metrics
from router.delivery.breaker import Target as SlotTarget
from router.delivery.claimed import WAIT_SECONDS
from router.delivery.deliverer import Deliverer
from router.flow.flex_flow import Integration
from router.integrations import build
from router.store.lanes import Lease
from tests.integrations.sending import RAW, settings
from tests.integrations.target import Caller, Target, answer
from tests.store.test_lanes import LANE, OTHER, Bench
from tests.valkey import ValkeyServer


@pytest.fixture
def target() -> Iterator[Target]:
    """A target that answers."""
    with Target() as made:
        yield made


@pytest.fixture
def bench(valkey: ValkeyServer, target: Target) -> Iterator[Bench]:
    """A store with a flow to the target."""
    made = Bench(valkey.url)
    made.change(integration=Integration("external", url=target.url("/hook")))
    yield made
    made.store.close()


@pytest.fixture
def deliverer(bench: Bench) -> Iterator[Deliverer]:
    """The attempts of a process that sends one message at a time to a target."""
    made = settings(ROUTER_DELIVERIES="4")
    integrations = build(made, {})
    deliverer = Deliverer(bench.store, integrations, made, lambda _: None, lambda _lease, _twiml: None)
    yield deliverer
    assert deliverer.stop(10) == 0
    integrations.close()


def claim_two(bench: Bench) -> list[Lease]:
    """Claim the heads of two conversations."""
    for number, lane in enumerate((LANE, OTHER)):
        bench.accept(number, lane=lane, facts={"raw": RAW.pack(), "flow": bench.flow.sid})
    return bench.claim()


def target_of(bench: Bench) -> SlotTarget:
    """Return the target whose slot the messages need."""
    return SlotTarget(bench.flow.account_sid, bench.flow.target)


def wait_for(bench: Bench, state: str) -> None:
    """Wait until both messages have a state."""
    with gevent.Timeout(10):
        while {bench.stored(number, "state") for number in (0, 1)} != {state}:
            gevent.sleep(0.001)


def test_what_was_claimed_gets_the_next_slot(bench: Bench, deliverer: Deliverer, target: Target) -> None:
    """Of two messages that were claimed for one slot the second is sent after the first, and settled once."""
    leases = claim_two(bench)
    for lease in leases:
        deliverer.begin(lease)
    assert deliverer.claimed.counts() == {target_of(bench): 1}
    wait_for(bench, "delivered")
    assert len(target.requests) == 2
    assert [bench.stored(number, "attempts") for number in (0, 1)] == ["1", "1"]
    assert deliverer.claimed.counts() == {}


def test_what_was_claimed_gets_a_slot_of_another_target(bench: Bench, deliverer: Deliverer, target: Target) -> None:
    """Where no attempt at its own target is under way, a slot that another target gives back is as good."""
    others = [SlotTarget(bench.flow.account_sid, name) for name in ("a", "b", "c", "d")]
    assert all(deliverer.targets.take(each, time.monotonic()) for each in others)
    for lease in claim_two(bench):
        deliverer.begin(lease)
    assert deliverer.claimed.counts() == {target_of(bench): 2}
    deliverer.give_back(others[0])
    wait_for(bench, "delivered")
    assert len(target.requests) == 2
    for each in others[1:]:
        deliverer.give_back(each)


def test_the_metric_counts_attempts_at_what_is_handed_over(bench: Bench, deliverer: Deliverer, target: Target) -> None:
    """The second message of a conversation has given its slot back and taken it again, and is counted as the first."""
    counted: list[float] = []

    def count(caller: Caller) -> bool:
        counted.extend(sample.value for metric in metrics.SLOTS.collect() for sample in metric.samples)
        return answer()(caller)

    target.script["/hook"] = count
    for number in (0, 1):
        bench.accept(number, facts={"raw": RAW.pack(), "flow": bench.flow.sid})
    for lease in bench.claim():
        deliverer.begin(lease)
    wait_for(bench, "delivered")
    assert counted == [1.0, 1.0]


def test_what_gets_no_slot_for_a_second_is_released(bench: Bench, deliverer: Deliverer, target: Target) -> None:
    """Another process may have a slot for it: the lease is given back, and the attempt does not count."""
    leases = claim_two(bench)
    deliverer.targets.take(target_of(bench), time.monotonic())
    for lease in leases:
        deliverer.begin(lease)
    now = time.monotonic()
    deliverer.decline_overdue(now)
    assert deliverer.claimed.counts() == {target_of(bench): 2}
    deliverer.decline_overdue(now + WAIT_SECONDS)
    assert deliverer.claimed.counts() == {}
    wait_for(bench, "queued")
    assert [bench.stored(number, "attempts") for number in (0, 1)] == ["0", "0"]
    assert target.requests == []
    deliverer.targets.give_back(target_of(bench))


def test_a_process_that_stops_releases_what_waits_for_a_slot(bench: Bench, deliverer: Deliverer) -> None:
    """A stopping process releases its claimed messages at once: other processes send them before the lease ends."""
    leases = claim_two(bench)
    deliverer.targets.take(target_of(bench), time.monotonic())
    for lease in leases:
        deliverer.begin(lease)
    deliverer.stop(10)
    wait_for(bench, "queued")
