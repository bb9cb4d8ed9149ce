"""Setting the store's clock affects no message that waits, is sent, or grows old; an outage counts."""

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


class Desk:
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
        """Let time pass in which the store is away, or no router runs; the process lives through it."""
        self.lanes._silence._answered = {tag: at - seconds for tag, at in self.lanes._silence._answered.items()}
        self.step(seconds)

    def behind(self) -> float:
        """Return by how many seconds the due clock is behind the store's."""
        _, due, last = clock.read(self.client.call, "07")
        return (last - due) / 1000


@pytest.fixture
def desk(valkey: ValkeyServer) -> Iterator[Desk]:
    """An empty store that has answered the process."""
    made = Desk(valkey.url)
    made.claim()
    yield made
    made.client.close()


STEPS = [-600.0, 600.0, -DAY, DAY, 40 * DAY, -3.0, 3.0]


@pytest.mark.parametrize("seconds", STEPS)
def test_what_is_due_comes_due(desk: Desk, seconds: float) -> None:
    """A retry is claimed when it is due and not before, although the store's clock is set meanwhile."""
    desk.accept()
    (lease,) = desk.claim()
    desk.lanes.settle(lease, Settlement("retry", delay=3.5), next_token="")
    desk.step(seconds)
    assert desk.claim() == []
    desk.pass_time(3.0)
    wait_until(desk.claim, what="the retry is due", within=2)


@pytest.mark.parametrize("seconds", STEPS)
def test_no_message_becomes_older_or_younger(desk: Desk, seconds: float) -> None:
    """A message that waited ten seconds is ten seconds old: a step neither ends its ValidityPeriod nor extends it."""
    desk.accept()
    desk.pass_time(10)
    desk.step(seconds)
    (lease,) = desk.claim()
    assert 9.9 < lease.age < 14


@pytest.mark.parametrize("seconds", STEPS)
def test_a_lease_lasts_as_long_as_its_holder_sends(desk: Desk, seconds: float) -> None:
    """A lease, granted before or after the step, is not freed within 28 s, and is freed after 31 s."""
    desk.accept(lease=True)
    desk.step(seconds)
    desk.accept(lease=True)
    desk.pass_time(LEASE_SECONDS - 2.5)
    assert desk.claim() == []
    desk.pass_time(3)
    assert len(desk.claim()) == 2


def test_three_steps_within_a_lease_do_not_free_it(desk: Desk) -> None:
    """Three clock steps do not free a lease within the 22 s for which its holder may send."""
    desk.accept(lease=True)
    for _ in range(3):
        desk.step(DAY)
        assert desk.claim() == []
        desk.pass_time(22 / 3)
    assert desk.claim() == []


def test_messages_are_indexed_in_their_order(desk: Desk) -> None:
    """A message that is accepted after the clock was set back is listed after the earlier ones."""
    sids = [desk.accept()]
    for seconds in (-600.0, 1200.0, -600.0):
        desk.step(seconds)
        sids.append(desk.accept())
    assert [id_.decode()[35:] for id_ in desk.client.call("ZRANGE", KEYS.log, 0, -1)] == sids


def test_an_outage_counts(desk: Desk) -> None:
    """After an outage, retries that came due are due at once and ages include it; leases do not end by it."""
    desk.accept()
    (lease,) = desk.claim()
    desk.lanes.settle(lease, Settlement("retry", delay=300.0), next_token="")
    desk.accept(lease=True)
    desk.outage(3600)
    (again,) = desk.claim()
    assert again.message_sid == lease.message_sid
    assert 3600 <= again.age < 3605
    assert abs(desk.behind()) < 1, "the clocks agree"
    desk.pass_time(LEASE_SECONDS)
    assert len(desk.claim()) == 2


def test_a_step_in_an_outage_is_distinguished_from_it(desk: Desk) -> None:
    """Of an outage of an hour with a clock step of a day, the hour counts, and a tenth more towards the new clock."""
    desk.accept()
    desk.outage(3600)
    desk.step(DAY)
    (lease,) = desk.claim()
    assert 3600 <= lease.age < 1.1 * 3600 + 5


def test_a_new_process_believes_the_store(desk: Desk) -> None:
    """After an outage of all routers the store's clock counts; but the due clock never goes back."""
    desk.accept()
    desk.step(3600)
    desk.lanes = desk.process()
    (lease,) = desk.claim()
    assert 3600 <= lease.age < 3605
    desk.lanes.settle(lease, Settlement("release"), next_token="")
    desk.step(-DAY)
    desk.lanes = desk.process()
    (lease,) = desk.claim()
    assert 3600 <= lease.age < 3605


@pytest.mark.parametrize("seconds", [60.0, -60.0])
def test_the_clocks_come_to_agree_again(desk: Desk, seconds: float) -> None:
    """After a step the due clock goes a tenth faster or slower than time, until it is the store's."""
    desk.accept()
    desk.step(seconds)
    desk.claim()
    apart = desk.behind()
    assert abs(apart - seconds) < 3
    for _ in range(3):
        desk.outage(100)
        desk.claim()
        assert abs(abs(apart) - abs(desk.behind()) - 10) < 1
        apart = desk.behind()
    desk.outage(1000)
    desk.claim()
    assert abs(desk.behind()) < 0.01


def test_looking_does_not_write(desk: Desk) -> None:
    """A clock that was written less than a second ago is only read, not written."""
    before = clock.read(desk.client.call, "07")
    for _ in range(10):
        desk.accept(lease=True)
    assert clock.read(desk.client.call, "07") == before
    assert 0 < desk.client.call("PTTL", KEYS.clock) <= 30 * DAY * 1000
