"""Setting the store's clock changes no wait, lease or age by more than seconds; the time of an outage counts."""

from collections.abc import Iterator

import pytest

from router.store.client import Client
from router.store.keys import AccountKeys
from router.store.lanes import Lanes, Lease, Room, Settlement, new_token
from tests import clock
from tests.valkey import ValkeyServer
from tests.waiting import wait_until

ACCOUNT = "AC" + "0" * 30 + "07"
KEYS = AccountKeys(ACCOUNT)
LEASE_SECONDS = 30.0
DAY = 86_400.0


class Driver:
    """A process and its store, whose clock the test sets."""

    def __init__(self, url: str) -> None:
        self.client = Client(url)
        self.lanes = self.process()
        self._count = 0

    def process(self) -> Lanes:
        """Start another process."""
        return Lanes(
            self.client,
            lease_seconds=LEASE_SECONDS,
            delivered_seconds=3600,
            retention_seconds=7 * DAY,
            sticky_seconds=3600,
        )

    def accept(self, *, lease: bool = False) -> str:
        """Let a message arrive, in a lane of its own; return its SID."""
        self._count += 1
        sid = f"SM{self._count:032x}"
        self.lanes.accept(
            token=new_token(), account_sid=ACCOUNT, message_sid=sid, lane=sid[-24:], disposition="queue", lease=lease,
            versions=(), facts={"raw": b"body", "flow": "FO" + "1" * 32},
        )  # fmt: skip
        return sid

    def claim(self) -> list[Lease]:
        """Claim what is due."""
        return self.lanes.claim("07", Room(10)).leases

    def step(self, seconds: float) -> None:
        """Set the store's clock."""
        clock.step(self.client.call, "07", seconds)

    def pass_time(self, seconds: float) -> None:
        """Let time pass, with a reading of the clock every half second."""
        clock.pass_time(self.client.call, "07", seconds)

    def outage(self, seconds: float) -> None:
        """Let time pass in which the store is unreachable; the process keeps running."""
        self.lanes._silence._answered = {tag: at - seconds for tag, at in self.lanes._silence._answered.items()}
        self.step(seconds)

    def behind(self) -> float:
        """Return by how many seconds the due clock is behind the store's."""
        _, due, last = clock.read(self.client.call, "07")
        return (last - due) / 1000


@pytest.fixture
def driver(valkey: ValkeyServer) -> Iterator[Driver]:
    """An empty store that has answered the process."""
    made = Driver(valkey.url)
    made.claim()
    yield made
    made.client.close()


STEPS = [-600.0, 600.0, -DAY, DAY, 40 * DAY, -3.0, 3.0]


@pytest.mark.parametrize("seconds", STEPS)
def test_a_retry_is_due_on_time_although_the_clock_is_set(driver: Driver, seconds: float) -> None:
    """A retry is claimed when it is due and not before, although the store's clock is set meanwhile."""
    driver.accept()
    (lease,) = driver.claim()
    driver.lanes.settle(lease, Settlement("retry", delay=3.5), next_token="")
    driver.step(seconds)
    assert driver.claim() == []
    driver.pass_time(3.0)
    wait_until(driver.claim, what="the retry is due", within=2)


@pytest.mark.parametrize("seconds", STEPS)
def test_a_clock_step_does_not_change_a_messages_age(driver: Driver, seconds: float) -> None:
    """A message that waited ten seconds is ten seconds old: a step neither ends its ValidityPeriod nor extends it."""
    driver.accept()
    driver.pass_time(10)
    driver.step(seconds)
    (lease,) = driver.claim()
    assert 9.9 < lease.age < 14


@pytest.mark.parametrize("seconds", STEPS)
def test_a_lease_lasts_as_long_as_its_holder_sends(driver: Driver, seconds: float) -> None:
    """A lease, granted before or after the step, is not freed within 28 s, and is freed after 31 s."""
    driver.accept(lease=True)
    driver.step(seconds)
    driver.accept(lease=True)
    driver.pass_time(LEASE_SECONDS - 2.5)
    assert driver.claim() == []
    driver.pass_time(3)
    assert len(driver.claim()) == 2


def test_three_steps_within_a_lease_do_not_free_it(driver: Driver) -> None:
    """Three clock steps do not free a lease within the 22 s for which its holder may send."""
    driver.accept(lease=True)
    for _ in range(3):
        driver.step(DAY)
        assert driver.claim() == []
        driver.pass_time(22 / 3)
    assert driver.claim() == []


def test_messages_are_indexed_in_their_order(driver: Driver) -> None:
    """A message that is accepted after the clock was set back is listed after the earlier ones."""
    sids = [driver.accept()]
    for seconds in (-600.0, 1200.0, -600.0):
        driver.step(seconds)
        sids.append(driver.accept())
    assert [id_.decode()[35:] for id_ in driver.client.call("ZRANGE", KEYS.log, 0, -1)] == sids


def test_an_outage_counts(driver: Driver) -> None:
    """The time of an outage counts for the delays of retries and for ages of messages, but not for leases."""
    driver.accept()
    (lease,) = driver.claim()
    driver.lanes.settle(lease, Settlement("retry", delay=300.0), next_token="")
    driver.accept(lease=True)
    driver.outage(3600)
    (again,) = driver.claim()
    assert again.message_sid == lease.message_sid
    assert 3600 <= again.age < 3605
    assert abs(driver.behind()) < 1, "the clocks agree"
    driver.pass_time(LEASE_SECONDS)
    assert len(driver.claim()) == 2


def test_a_step_in_an_outage_is_distinguished_from_it(driver: Driver) -> None:
    """After an outage of an hour in which the clock was set forward by a day, ages are an hour and a tenth at most."""
    driver.accept()
    driver.outage(3600)
    driver.step(DAY)
    (lease,) = driver.claim()
    assert 3600 <= lease.age < 1.1 * 3600 + 5


def test_a_new_process_trusts_the_stores_clock(driver: Driver) -> None:
    """A process that starts after an outage of all routers takes the store's clock; the due clock never goes back."""
    driver.accept()
    driver.step(3600)
    driver.lanes = driver.process()
    (lease,) = driver.claim()
    assert 3600 <= lease.age < 3605
    driver.lanes.settle(lease, Settlement("release"), next_token="")
    driver.step(-DAY)
    driver.lanes = driver.process()
    (lease,) = driver.claim()
    assert 3600 <= lease.age < 3605


@pytest.mark.parametrize("seconds", [60.0, -60.0])
def test_the_clocks_come_to_agree_again(driver: Driver, seconds: float) -> None:
    """After a step the due clock runs a tenth faster or slower than time, until it agrees with the store's clock."""
    driver.accept()
    driver.step(seconds)
    driver.claim()
    apart = driver.behind()
    assert abs(apart - seconds) < 3
    for _ in range(3):
        driver.outage(100)
        driver.claim()
        assert abs(abs(apart) - abs(driver.behind()) - 10) < 1
        apart = driver.behind()
    driver.outage(1000)
    driver.claim()
    assert abs(driver.behind()) < 0.01


def test_a_recently_written_clock_is_only_read(driver: Driver) -> None:
    """A clock that was written less than a second ago is only read, not written."""
    before = clock.read(driver.client.call, "07")
    for _ in range(10):
        driver.accept(lease=True)
    assert clock.read(driver.client.call, "07") == before
    assert 0 < driver.client.call("PTTL", KEYS.clock) <= 30 * DAY * 1000
