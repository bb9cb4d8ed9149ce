"""Messages that no replica confirmed ("in doubt"): they are not sent until Twilio or an operator repeats them."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from router.store import Store, connect
from router.store.keys import AccountKeys
from router.store.lanes import Acceptance, Lease, Room, Settlement, Written, new_token
from tests.clock import pass_time
from tests.integrations.sending import settings
from tests.valkey import ValkeyServer

ACCOUNT = "AC" + "0a" * 16
KEYS = AccountKeys(ACCOUNT)
LANE = "a" * 24


class Driver:
    """A store whose messages have to be confirmed; one conversation."""

    def __init__(self, url: str) -> None:
        self.store: Store = connect(settings(ROUTER_REDIS_URL=url))
        self.store.lanes.confirms = True
        self.call = self.store.flows._client.call
        self._count = 0

    def write(self, sid: str = "", *, lease: bool = False) -> tuple[Written, Acceptance]:
        """Accept a new message, or the one with this SID again."""
        self._count += 1
        written = Written(new_token(), ACCOUNT, sid or f"SM{self._count:032x}", LANE)
        acceptance = self.store.lanes.accept(
            token=written.token, account_sid=ACCOUNT, message_sid=written.message_sid, lane=LANE, disposition="queue",
            lease=lease, versions=(), facts={"raw": b"body", "flow": "FO" + "1" * 32},
        )  # fmt: skip
        return written, acceptance

    def doubt(self, written: Written) -> str:
        """Put a message in doubt."""
        return self.store.lanes.doubt(written, "in doubt: 503")

    def claim(self) -> list[Lease]:
        """Claim what is due."""
        return self.store.lanes.claim("0a", Room(10)).leases

    def lane(self) -> list[str]:
        """Return the messages of the lane."""
        return [id_.decode()[35:] for id_ in self.call("LRANGE", KEYS.lanes + LANE, 0, -1)]


@pytest.fixture
def driver(valkey: ValkeyServer) -> Iterator[Driver]:
    """An empty store."""
    made = Driver(valkey.url)
    yield made
    made.store.close()


@pytest.mark.parametrize("lease", [True, False], ids=["leased", "queued"])
def test_a_message_in_doubt_is_kept_and_not_sent(driver: Driver, lease: bool) -> None:
    """A message in doubt leaves its lane, is listed, and expires like any undelivered message."""
    written, _ = driver.write(lease=lease)
    assert driver.doubt(written) == "doubt"
    pass_time(driver.call, "0a", 3600)
    assert driver.claim() == []
    delivery = driver.store.deliveries.get(ACCOUNT, written.message_sid)
    assert delivery is not None
    assert (delivery.state, delivery.doubt, delivery.error) == ("undelivered", True, "in doubt: 503")
    assert [each.message_sid for each in driver.store.deliveries.newest(ACCOUNT, dead=True)] == [written.message_sid]
    assert driver.store.deliveries.counts(ACCOUNT).queued == 0
    assert 0 < driver.call("TTL", f"{KEYS.messages}{ACCOUNT}:{written.message_sid}") <= 7 * 86_400
    assert driver.call("EXISTS", KEYS.lanes + LANE, KEYS.due, KEYS.leases) == 0
    assert not driver.store.deliveries.knows(ACCOUNT, written.message_sid), "recovery brings it again"


def test_a_message_in_doubt_that_comes_again_is_taken(driver: Driver) -> None:
    """The second webhook of a message in doubt is no duplicate: the message is accepted, at the tail of its lane."""
    first, _ = driver.write()
    driver.doubt(first)
    behind, _ = driver.write()
    again, acceptance = driver.write(first.message_sid)
    assert acceptance.kind == "accepted"
    assert driver.lane() == [behind.message_sid, first.message_sid]
    assert driver.store.deliveries.knows(ACCOUNT, first.message_sid)
    assert driver.call("ZCARD", KEYS.dead) == 0
    assert driver.call("ZCARD", KEYS.log) == 2
    assert driver.write(first.message_sid)[1].kind == "duplicate"
    for written in (behind, again):
        driver.store.lanes.confirm(written)
        (lease,) = driver.claim()
        assert lease.message_sid == written.message_sid
        driver.store.lanes.settle(lease, Settlement("delivered"), next_token="")


def test_a_message_in_doubt_can_be_replayed(driver: Driver) -> None:
    """A message in doubt can be replayed by an operator."""
    written, _ = driver.write()
    driver.doubt(written)
    assert driver.store.lanes.replay(ACCOUNT, written.message_sid, LANE) == "queued"
    assert [lease.message_sid for lease in driver.claim()] == [written.message_sid]
    assert driver.store.deliveries.knows(ACCOUNT, written.message_sid)


def test_messages_behind_one_in_doubt_are_sent(driver: Driver) -> None:
    """If the head of a lane, or a later message, is in doubt, the others are sent in order."""
    head, _ = driver.write(lease=True)
    middle, last = driver.write()[0], driver.write()[0]
    for written in (middle, last):
        driver.store.lanes.confirm(written)
    newest, _ = driver.write()
    assert driver.doubt(newest) == "doubt"
    assert driver.lane() == [head.message_sid, middle.message_sid, last.message_sid]
    assert driver.doubt(head) == "doubt"
    assert [lease.message_sid for lease in driver.claim()] == [middle.message_sid]


def test_an_unconfirmed_message_is_not_sent(driver: Driver) -> None:
    """An unconfirmed message without a lease is neither claimed nor handed over."""
    head, _ = driver.write(lease=True)
    behind, _ = driver.write()
    lease = _lease(driver, head)
    assert driver.store.lanes.settle(lease, Settlement("delivered"), next_token=new_token()) == ("done", None)
    assert driver.claim() == []
    driver.store.lanes.confirm(behind)
    assert [lease.message_sid for lease in driver.claim()] == [behind.message_sid]


def test_a_confirmed_message_is_handed_over(driver: Driver) -> None:
    """A confirmed message that waits for its turn is handed over after the message before it."""
    head, _ = driver.write(lease=True)
    behind, _ = driver.write()
    driver.store.lanes.confirm(behind)
    driver.store.lanes.confirm(behind)
    kind, following = driver.store.lanes.settle(_lease(driver, head), Settlement("delivered"), next_token=new_token())
    assert kind == "next"
    assert following is not None
    assert following.message_sid == behind.message_sid


def test_an_unconfirmed_message_of_a_killed_process_is_sent(driver: Driver) -> None:
    """If a process is killed after a 200, before it noted the confirmation, the message is sent when its lease ends."""
    written, _ = driver.write()
    assert driver.claim() == []
    pass_time(driver.call, "0a", 31)
    assert [lease.message_sid for lease in driver.claim()] == [written.message_sid]


def test_a_message_that_another_process_answered_or_leased_is_not_put_in_doubt(driver: Driver) -> None:
    """A message is not put in doubt once a process has answered its second webhook, or another has its lease."""
    known, _ = driver.write()
    assert driver.write(known.message_sid)[1].kind == "duplicate"
    assert driver.doubt(known) == "known"
    driver.store.lanes.confirm(known)
    (lease,) = driver.claim()
    driver.store.lanes.settle(lease, Settlement("delivered"), next_token="")
    late, _ = driver.write(lease=True)
    pass_time(driver.call, "0a", 31)
    assert len(driver.claim()) == 1
    assert driver.doubt(late) == "stale"
    assert driver.doubt(replace(late, token=new_token())) == "stale"


def _lease(driver: Driver, written: Written) -> Lease:
    """Make the lease that an acceptance granted."""
    (pair,) = [driver.call("ZRANGE", KEYS.leases, 0, -1)]
    assert pair == [LANE.encode()]
    return Lease(
        token=written.token, expires=0.0, account_sid=ACCOUNT, message_sid=written.message_sid, lane=LANE, raw=b"body",
        flow_sid="", flow=None, age=0.0, attempts=1, failures=0, refusals=0, round=0, answered=False,
    )  # fmt: skip
