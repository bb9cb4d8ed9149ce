"""Messages that a process has claimed although it has no free slot for them any more."""

import time
from collections.abc import Iterator

import gevent
import pytest

from router import metrics
from router.delivery.claimed import WAIT_SECONDS
from router.delivery.deliverer import Deliverer
from router.delivery.slots import Target as SlotTarget
from router.flow.flex_flow import Integration
from router.integrations import build
from router.store.lanes import Lease
from tests.integrations.sending import RAW, settings
from tests.integrations.target import Caller, Target, answer
from tests.store.test_lanes import LANE, OTHER, Driver
from tests.valkey import ValkeyServer


@pytest.fixture
def target() -> Iterator[Target]:
    """A target that answers."""
    with Target() as made:
        yield made


@pytest.fixture
def driver(valkey: ValkeyServer, target: Target) -> Iterator[Driver]:
    """A store with a flow to the target."""
    made = Driver(valkey.url)
    made.change(integration=Integration("external", url=target.url("/hook")))
    yield made
    made.store.close()


@pytest.fixture
def deliverer(driver: Driver) -> Iterator[Deliverer]:
    """The deliverer of a process that sends one message at a time to a target."""
    made = settings(ROUTER_DELIVERIES="4")
    integrations = build(made, {})
    deliverer = Deliverer(driver.store, integrations, made, lambda _: None, lambda _lease, _twiml: None)
    yield deliverer
    deliverer.close()
    assert deliverer.wait(10) == 0
    integrations.close()


def claim_two(driver: Driver) -> list[Lease]:
    """Claim the heads of two conversations."""
    for number, lane in enumerate((LANE, OTHER)):
        driver.accept(number, lane=lane, facts={"raw": RAW.pack(), "flow": driver.flow.sid})
    return driver.claim()


def target_of(driver: Driver) -> SlotTarget:
    """Return the target whose slot the messages need."""
    return SlotTarget(driver.flow.account_sid, driver.flow.target)


def wait_for(driver: Driver, state: str) -> None:
    """Wait until both messages have a state."""
    with gevent.Timeout(10):
        while {driver.stored(number, "state") for number in (0, 1)} != {state}:
            gevent.sleep(0.001)


def test_a_claimed_message_gets_the_next_free_slot(driver: Driver, deliverer: Deliverer, target: Target) -> None:
    """If two messages are claimed for one slot, the second is sent after the first, in its first attempt."""
    leases = claim_two(driver)
    for lease in leases:
        deliverer.begin(lease)
    assert deliverer.claimed.counts() == {target_of(driver): 1}
    wait_for(driver, "delivered")
    assert len(target.requests) == 2
    assert [driver.stored(number, "attempts") for number in (0, 1)] == ["1", "1"]
    assert deliverer.claimed.counts() == {}


def test_a_claimed_message_gets_a_slot_that_another_target_frees(
    driver: Driver, deliverer: Deliverer, target: Target
) -> None:
    """A claimed message is sent when an attempt at another target ends and gives its slot back."""
    others = [SlotTarget(driver.flow.account_sid, name) for name in ("a", "b", "c", "d")]
    assert all(deliverer.slots.take(each, time.monotonic()) for each in others)
    for lease in claim_two(driver):
        deliverer.begin(lease)
    assert deliverer.claimed.counts() == {target_of(driver): 2}
    deliverer.give_back(others[0])
    wait_for(driver, "delivered")
    assert len(target.requests) == 2
    for each in others[1:]:
        deliverer.give_back(each)


def test_the_slot_metric_counts_a_handed_over_message(driver: Driver, deliverer: Deliverer, target: Target) -> None:
    """During the attempts of two messages of one conversation, one after the other, the metric counts one slot."""
    counted: list[float] = []

    def count(caller: Caller) -> bool:
        counted.extend(sample.value for metric in metrics.SLOTS.collect() for sample in metric.samples)
        return answer()(caller)

    target.script["/hook"] = count
    for number in (0, 1):
        driver.accept(number, facts={"raw": RAW.pack(), "flow": driver.flow.sid})
    for lease in driver.claim():
        deliverer.begin(lease)
    wait_for(driver, "delivered")
    assert counted == [1.0, 1.0]


def test_a_claimed_message_without_a_slot_for_a_second_is_released(
    driver: Driver, deliverer: Deliverer, target: Target
) -> None:
    """A claimed message that gets no slot for a second is queued again for any process, and counts no attempt."""
    leases = claim_two(driver)
    deliverer.slots.take(target_of(driver), time.monotonic())
    for lease in leases:
        deliverer.begin(lease)
    now = time.monotonic()
    deliverer.decline_overdue(now)
    assert deliverer.claimed.counts() == {target_of(driver): 2}
    deliverer.decline_overdue(now + WAIT_SECONDS)
    assert deliverer.claimed.counts() == {}
    wait_for(driver, "queued")
    assert [driver.stored(number, "attempts") for number in (0, 1)] == ["0", "0"]
    assert target.requests == []
    deliverer.slots.give_back(target_of(driver))


def test_a_stopping_process_releases_messages_that_wait_for_a_slot(driver: Driver, deliverer: Deliverer) -> None:
    """A stopping process releases its claimed messages at once: other processes send them before the lease ends."""
    leases = claim_two(driver)
    deliverer.slots.take(target_of(driver), time.monotonic())
    for lease in leases:
        deliverer.begin(lease)
    deliverer.close()
    deliverer.wait(10)
    wait_for(driver, "queued")
