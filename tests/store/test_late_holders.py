"""Holders whose lease has ended: which of their settlements still count."""

from collections.abc import Iterator

import pytest

from router.store.client import Client
from router.store.keys import AccountKeys
from router.store.lanes import LOST_LIMIT, Lanes, Lease, Room, Settlement, new_token
from tests.clock import pass_time
from tests.valkey import ValkeyServer

ACCOUNT = "AC" + "0" * 30 + "07"
KEYS = AccountKeys(ACCOUNT)
LANE = "a" * 24


def sid(number: int) -> str:
    """Make a MessageSid."""
    return f"SM{number:032x}"


class Driver:
    """Accepts, claims and settles messages of one lane, with a clock that the test sets."""

    def __init__(self, url: str) -> None:
        self.client = Client(url)
        self.lanes = Lanes(
            self.client, lease_seconds=30, delivered_seconds=3600, retention_seconds=86400, sticky_seconds=3600
        )

    def accept(self, number: int) -> None:
        """Let a message arrive, without a lease."""
        self.lanes.accept(
            token=new_token(), account_sid=ACCOUNT, message_sid=sid(number), lane=LANE, disposition="queue",
            lease=False, versions=(), facts={"raw": b"body", "flow": "FO" + "1" * 32},
        )  # fmt: skip

    def claim(self) -> Lease:
        """Let an hour pass, so that the lane's head is due, and claim it."""
        pass_time(self.client.call, "07", 3600)
        return self.lanes.claim("07", Room(1)).leases[0]

    def settle(self, lease: Lease, outcome: str, next_token: str = "") -> str:
        """Settle an attempt; return the store's reply."""
        kind, _ = self.lanes.settle(lease, Settlement(outcome), next_token=next_token)  # type: ignore[arg-type]
        return kind

    def stored(self, number: int, name: str) -> str:
        """Read a field of a message."""
        return (self.client.call("HGET", f"{KEYS.messages}{ACCOUNT}:{sid(number)}", name) or b"").decode()

    def lane(self) -> list[str]:
        """Return the messages of the lane."""
        return [id_.decode()[35:] for id_ in self.client.call("LRANGE", KEYS.lanes + LANE, 0, -1)]


@pytest.fixture
def driver(valkey: ValkeyServer) -> Iterator[Driver]:
    """An empty store."""
    made = Driver(valkey.url)
    yield made
    made.client.close()


def test_a_holder_of_an_earlier_round_gets_stale(driver: Driver) -> None:
    """After a replay, what an old holder reports of the round before changes nothing."""
    driver.accept(1)
    old = driver.claim()
    new = driver.claim()
    assert driver.settle(new, "undelivered") == "done"
    assert driver.lanes.replay(ACCOUNT, sid(1), LANE) == "queued"
    assert driver.settle(old, "delivered") == "stale"
    assert driver.stored(1, "state") == "queued"
    assert driver.lane() == [sid(1)]


def test_a_late_success_decides_a_second_send(driver: Driver) -> None:
    """Once the first send is known to have arrived, the second one's failure does not count."""
    driver.accept(1)
    first, second = driver.claim(), driver.claim()
    assert driver.settle(first, "delivered") == "late"
    assert driver.stored(1, "state") == "sending"
    assert driver.settle(second, "undelivered") == "done"
    assert driver.stored(1, "state") == "delivered"
    assert driver.client.call("ZCARD", KEYS.dead) == 0
    assert driver.lane() == []


def test_a_late_success_ends_a_second_send_whose_holder_vanished(driver: Driver) -> None:
    """A claim removes a message that is known to be delivered from its lane, instead of sending it a third time."""
    driver.accept(1)
    driver.accept(2)
    first, _vanished = driver.claim(), driver.claim()
    assert driver.settle(first, "delivered") == "late"
    assert driver.claim().message_sid == sid(2)
    assert driver.stored(1, "state") == "delivered"


def test_a_late_success_ends_the_wait_for_a_retry(driver: Driver) -> None:
    """A message that waits for a retry it no longer needs leaves the lane, and its successor comes due."""
    driver.accept(1)
    driver.accept(2)
    first, second = driver.claim(), driver.claim()
    assert driver.settle(second, "retry") == "done"
    assert driver.settle(first, "delivered", new_token()) == "done"
    assert driver.stored(1, "state") == "delivered"
    assert driver.lane() == [sid(2)]
    assert driver.stored(2, "lease") == "", "nothing is handed over to a holder whose lease had ended"


def test_a_late_success_of_a_replayed_message_does_not_pop_its_predecessor(driver: Driver) -> None:
    """A late success does not remove another message that is now the head of the lane."""
    driver.accept(1)
    old, new = driver.claim(), driver.claim()
    assert driver.settle(new, "retry") == "done"
    # Another message is the head of the lane, as after a repair by hand: the script must not trust the state alone.
    driver.client.call("LPUSH", KEYS.lanes + LANE, f"{ACCOUNT}:{sid(9)}")
    assert driver.settle(old, "delivered") == "stale"
    assert driver.lane() == [sid(9), sid(1)]


def test_a_late_success_ends_a_hold(driver: Driver) -> None:
    """A held message that turns out to be delivered is done: it cannot be released, and is not sent again."""
    driver.accept(1)
    driver.accept(2)
    first, second = driver.claim(), driver.claim()
    assert driver.settle(second, "retry") == "done"
    assert driver.lanes.hold(ACCOUNT, sid(1), LANE) == "held"
    assert driver.settle(first, "delivered") == "late"
    assert (driver.stored(1, "state"), driver.lane()) == ("delivered", [sid(2)])
    assert driver.lanes.release(ACCOUNT, sid(1), LANE) == ("other", 0)
    assert int(driver.client.call("HGET", KEYS.queued, ACCOUNT)) == 1


def test_a_late_success_counts_after_the_message_was_given_up(driver: Driver) -> None:
    """A late success of a message that was given up makes it delivered, and no dead letter."""
    driver.accept(1)
    first, second = driver.claim(), driver.claim()
    assert driver.settle(second, "undelivered") == "done"
    assert driver.settle(first, "delivered") == "late"
    assert driver.stored(1, "state") == "delivered"
    assert driver.client.call("ZCARD", KEYS.dead) == 0


def test_a_message_that_loses_five_holders_is_given_up(driver: Driver) -> None:
    """A head whose holder vanished five times is given up, and the lane goes on."""
    driver.accept(1)
    driver.accept(2)
    for _ in range(LOST_LIMIT):
        assert driver.claim().message_sid == sid(1)
    assert driver.claim().message_sid == sid(2)
    assert driver.stored(1, "state") == "undelivered"
    assert "vanished 5 times" in driver.stored(1, "error")
    assert driver.client.call("ZCARD", KEYS.dead) == 1


def test_a_repeated_settle_renews_the_lease_that_it_hands_over(driver: Driver) -> None:
    """If `settle` is repeated after a lost reply, the lease that it hands over begins with the repeated call."""
    driver.accept(1)
    driver.accept(2)
    lease, token = driver.claim(), new_token()
    assert driver.settle(lease, "delivered", token) == "next"
    granted = float(driver.client.call("ZSCORE", KEYS.leases, LANE))
    driver.client.call("ZINCRBY", KEYS.leases, -15_000, LANE)  # fifteen seconds pass, and the reply is lost
    assert driver.settle(lease, "delivered", token) == "next"
    assert float(driver.client.call("ZSCORE", KEYS.leases, LANE)) >= granted
