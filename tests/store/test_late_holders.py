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


class Bench:
    """A store, its lanes, and a clock that the test sets."""

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
        """Claim the lane's head, whatever it waits for."""
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
def bench(valkey: ValkeyServer) -> Iterator[Bench]:
    """An empty store."""
    made = Bench(valkey.url)
    yield made
    made.client.close()


def test_a_holder_of_an_earlier_round_gets_stale(bench: Bench) -> None:
    """After a replay, what an old holder reports of the round before changes nothing."""
    bench.accept(1)
    old = bench.claim()
    new = bench.claim()
    assert bench.settle(new, "undelivered") == "done"
    assert bench.lanes.replay(ACCOUNT, sid(1), LANE) == "queued"
    assert bench.settle(old, "delivered") == "stale"
    assert bench.stored(1, "state") == "queued"
    assert bench.lane() == [sid(1)]


def test_a_late_success_decides_a_second_send(bench: Bench) -> None:
    """Once the first send is known to have arrived, the second one's failure does not count."""
    bench.accept(1)
    first, second = bench.claim(), bench.claim()
    assert bench.settle(first, "delivered") == "late"
    assert bench.stored(1, "state") == "sending"
    assert bench.settle(second, "undelivered") == "done"
    assert bench.stored(1, "state") == "delivered"
    assert bench.client.call("ZCARD", KEYS.dead) == 0
    assert bench.lane() == []


def test_a_late_success_ends_a_second_send_whose_holder_vanished(bench: Bench) -> None:
    """The sweeper takes a message that is known to be delivered off its lane instead of sending it a third time."""
    bench.accept(1)
    bench.accept(2)
    first, _vanished = bench.claim(), bench.claim()
    assert bench.settle(first, "delivered") == "late"
    assert bench.claim().message_sid == sid(2)
    assert bench.stored(1, "state") == "delivered"


def test_a_late_success_ends_the_wait_for_a_retry(bench: Bench) -> None:
    """A message that waits for a retry it no longer needs leaves the lane, and its successor comes due."""
    bench.accept(1)
    bench.accept(2)
    first, second = bench.claim(), bench.claim()
    assert bench.settle(second, "retry") == "done"
    assert bench.settle(first, "delivered", new_token()) == "done"
    assert bench.stored(1, "state") == "delivered"
    assert bench.lane() == [sid(2)]
    assert bench.stored(2, "lease") == "", "nothing is handed over to a holder whose lease had ended"


def test_a_late_success_of_a_replayed_message_does_not_pop_its_predecessor(bench: Bench) -> None:
    """A late success does not remove another message that is now the head of the lane."""
    bench.accept(1)
    old, new = bench.claim(), bench.claim()
    assert bench.settle(new, "retry") == "done"
    # Its lane is led by another message, as after a repair by hand: the script must not trust the state alone.
    bench.client.call("LPUSH", KEYS.lanes + LANE, f"{ACCOUNT}:{sid(9)}")
    assert bench.settle(old, "delivered") == "stale"
    assert bench.lane() == [sid(9), sid(1)]


def test_a_late_success_ends_a_hold(bench: Bench) -> None:
    """A held message that turns out to be delivered is done: it cannot be released, and is not sent again."""
    bench.accept(1)
    bench.accept(2)
    first, second = bench.claim(), bench.claim()
    assert bench.settle(second, "retry") == "done"
    assert bench.lanes.hold(ACCOUNT, sid(1), LANE) == "held"
    assert bench.settle(first, "delivered") == "late"
    assert (bench.stored(1, "state"), bench.lane()) == ("delivered", [sid(2)])
    assert bench.lanes.release(ACCOUNT, sid(1), LANE) == ("other", 0)
    assert int(bench.client.call("HGET", KEYS.queued, ACCOUNT)) == 1


def test_a_late_success_counts_after_the_message_was_given_up(bench: Bench) -> None:
    """A late success of a message that was given up makes it delivered, and no dead letter."""
    bench.accept(1)
    first, second = bench.claim(), bench.claim()
    assert bench.settle(second, "undelivered") == "done"
    assert bench.settle(first, "delivered") == "late"
    assert bench.stored(1, "state") == "delivered"
    assert bench.client.call("ZCARD", KEYS.dead) == 0


def test_a_message_that_loses_five_holders_is_given_up(bench: Bench) -> None:
    """A head whose holder vanished five times is given up, and the lane goes on."""
    bench.accept(1)
    bench.accept(2)
    for _ in range(LOST_LIMIT):
        assert bench.claim().message_sid == sid(1)
    assert bench.claim().message_sid == sid(2)
    assert bench.stored(1, "state") == "undelivered"
    assert "vanished 5 times" in bench.stored(1, "error")
    assert bench.client.call("ZCARD", KEYS.dead) == 1


def test_a_repeated_settle_renews_the_lease_that_it_hands_over(bench: Bench) -> None:
    """A holder counts its lease from before the call that it heard of, which may be a repetition of a lost one."""
    bench.accept(1)
    bench.accept(2)
    lease, token = bench.claim(), new_token()
    assert bench.settle(lease, "delivered", token) == "next"
    granted = float(bench.client.call("ZSCORE", KEYS.leases, LANE))
    bench.client.call("ZINCRBY", KEYS.leases, -15_000, LANE)  # fifteen seconds pass, and the reply is lost
    assert bench.settle(lease, "delivered", token) == "next"
    assert float(bench.client.call("ZSCORE", KEYS.leases, LANE)) >= granted
