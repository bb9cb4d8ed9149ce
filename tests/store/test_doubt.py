"""Messages that were written and not confirmed by a replica: not sent, until they come again."""

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


class Desk:
    """A store whose messages have to be confirmed; one conversation."""

    def __init__(self, url: str) -> None:
        self.store: Store = connect(settings(ROUTER_REDIS_URL=url))
        self.store.lanes.confirms = True
        self.call = self.store.flows._client.call
        self._count = 0

    def write(self, sid: str = "", *, lease: bool = False) -> tuple[Written, Acceptance]:
        """Accept a message, a new one or one again."""
        self._count += 1
        written = Written(new_token(), ACCOUNT, sid or f"SM{self._count:032x}", LANE)
        acceptance = self.store.lanes.accept(
            token=written.token, account_sid=ACCOUNT, message_sid=written.message_sid, lane=LANE, disposition="queue",
            lease=lease, versions=(), facts={"raw": b"body", "flow": "FO" + "1" * 32},
        )  # fmt: skip
        return written, acceptance

    def doubt(self, written: Written) -> str:
        """Take a message back."""
        return self.store.lanes.doubt(written, "in doubt: 503")

    def claim(self) -> list[Lease]:
        """Claim what is due."""
        return self.store.lanes.claim("0a", Room(10)).leases

    def lane(self) -> list[str]:
        """Return the messages of the lane."""
        return [id_.decode()[35:] for id_ in self.call("LRANGE", KEYS.lanes + LANE, 0, -1)]


@pytest.fixture
def desk(valkey: ValkeyServer) -> Iterator[Desk]:
    """An empty store."""
    made = Desk(valkey.url)
    yield made
    made.store.close()


@pytest.mark.parametrize("lease", [True, False], ids=["leased", "queued"])
def test_a_message_in_doubt_is_kept_and_not_sent(desk: Desk, lease: bool) -> None:
    """A message in doubt leaves its lane, is listed, and expires like any undelivered message."""
    written, _ = desk.write(lease=lease)
    assert desk.doubt(written) == "doubt"
    pass_time(desk.call, "0a", 3600)
    assert desk.claim() == []
    delivery = desk.store.deliveries.get(ACCOUNT, written.message_sid)
    assert delivery is not None
    assert (delivery.state, delivery.doubt, delivery.error) == ("undelivered", True, "in doubt: 503")
    assert [each.message_sid for each in desk.store.deliveries.newest(ACCOUNT, dead=True)] == [written.message_sid]
    assert desk.store.deliveries.counts(ACCOUNT).queued == 0
    assert 0 < desk.call("TTL", f"{KEYS.messages}{ACCOUNT}:{written.message_sid}") <= 7 * 86_400
    assert desk.call("EXISTS", KEYS.lanes + LANE, KEYS.due, KEYS.leases) == 0
    assert not desk.store.deliveries.knows(ACCOUNT, written.message_sid), "recovery brings it again"


def test_a_message_in_doubt_that_comes_again_is_taken(desk: Desk) -> None:
    """A second webhook is no duplicate then: the message is accepted now, after those that came meanwhile."""
    first, _ = desk.write()
    desk.doubt(first)
    behind, _ = desk.write()
    again, acceptance = desk.write(first.message_sid)
    assert acceptance.kind == "accepted"
    assert desk.lane() == [behind.message_sid, first.message_sid]
    assert desk.store.deliveries.knows(ACCOUNT, first.message_sid)
    assert desk.call("ZCARD", KEYS.dead) == 0
    assert desk.call("ZCARD", KEYS.log) == 2
    assert desk.write(first.message_sid)[1].kind == "duplicate"
    for written in (behind, again):
        desk.store.lanes.confirm(written)
        (lease,) = desk.claim()
        assert lease.message_sid == written.message_sid
        desk.store.lanes.settle(lease, Settlement("delivered"), next_token="")


def test_a_message_in_doubt_can_be_replayed(desk: Desk) -> None:
    """A message in doubt can be replayed by an operator."""
    written, _ = desk.write()
    desk.doubt(written)
    assert desk.store.lanes.replay(ACCOUNT, written.message_sid, LANE) == "queued"
    assert [lease.message_sid for lease in desk.claim()] == [written.message_sid]
    assert desk.store.deliveries.knows(ACCOUNT, written.message_sid)


def test_those_behind_a_message_in_doubt_go_on(desk: Desk) -> None:
    """If the head of a lane, or a later message, is in doubt, the others are sent in order."""
    head, _ = desk.write(lease=True)
    middle, last = desk.write()[0], desk.write()[0]
    for written in (middle, last):
        desk.store.lanes.confirm(written)
    newest, _ = desk.write()
    assert desk.doubt(newest) == "doubt"
    assert desk.lane() == [head.message_sid, middle.message_sid, last.message_sid]
    assert desk.doubt(head) == "doubt"
    assert [lease.message_sid for lease in desk.claim()] == [middle.message_sid]


def test_what_is_not_confirmed_is_held(desk: Desk) -> None:
    """An unconfirmed message without a lease is neither claimed nor handed over."""
    head, _ = desk.write(lease=True)
    behind, _ = desk.write()
    lease = _lease(desk, head)
    assert desk.store.lanes.settle(lease, Settlement("delivered"), next_token=new_token()) == ("done", None)
    assert desk.claim() == []
    desk.store.lanes.confirm(behind)
    assert [lease.message_sid for lease in desk.claim()] == [behind.message_sid]


def test_what_was_confirmed_is_handed_over(desk: Desk) -> None:
    """A confirmed message that waits for its turn is handed over after the message before it."""
    head, _ = desk.write(lease=True)
    behind, _ = desk.write()
    desk.store.lanes.confirm(behind)
    desk.store.lanes.confirm(behind)
    kind, following = desk.store.lanes.settle(_lease(desk, head), Settlement("delivered"), next_token=new_token())
    assert kind == "next"
    assert following is not None
    assert following.message_sid == behind.message_sid


def test_the_message_of_a_process_that_died_is_not_lost(desk: Desk) -> None:
    """If a process is killed after a 200, before it noted the confirmation, the message is sent when its lease ends."""
    written, _ = desk.write()
    assert desk.claim() == []
    pass_time(desk.call, "0a", 31)
    assert [lease.message_sid for lease in desk.claim()] == [written.message_sid]


def test_what_another_process_has_answered_or_sent_is_not_taken_back(desk: Desk) -> None:
    """A second webhook that was answered makes the message ours; so does a lease that another process has."""
    known, _ = desk.write()
    assert desk.write(known.message_sid)[1].kind == "duplicate"
    assert desk.doubt(known) == "known"
    desk.store.lanes.confirm(known)
    (lease,) = desk.claim()
    desk.store.lanes.settle(lease, Settlement("delivered"), next_token="")
    late, _ = desk.write(lease=True)
    pass_time(desk.call, "0a", 31)
    assert len(desk.claim()) == 1
    assert desk.doubt(late) == "stale"
    assert desk.doubt(replace(late, token=new_token())) == "stale"


def _lease(desk: Desk, written: Written) -> Lease:
    """Write the lease that an acceptance gave."""
    (pair,) = [desk.call("ZRANGE", KEYS.leases, 0, -1)]
    assert pair == [LANE.encode()]
    return Lease(
        token=written.token, expires=0.0, account_sid=ACCOUNT, message_sid=written.message_sid, lane=LANE, raw=b"body",
        flow_sid="", flow=None, age=0.0, attempts=1, failures=0, refusals=0, round=0, answered=False,
    )  # fmt: skip
