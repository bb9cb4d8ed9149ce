"""The replies and records of the lanes' scripts, case by case; test_lane_protocol.py tests their interleavings."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from router.flow.flex_flow import FlexFlow, Integration
from router.store import Store, connect
from router.store.deliveries import PAGE, Backlog
from router.store.keys import AccountKeys
from router.store.lanes import Acceptance, Lease, Room, Settlement, new_token
from tests.clock import pass_time
from tests.integrations.sending import settings
from tests.valkey import ValkeyServer

ACCOUNT = "AC" + "0a" * 16
KEYS = AccountKeys(ACCOUNT)
BUCKET = "0a"
LANE, OTHER = "a" * 24, "b" * 24
OURS = "+15551230002"
TARGET = "https://example.com"


class Driver:
    """Accepts, claims and settles messages of one account, with a clock that the test sets."""

    def __init__(self, url: str) -> None:
        self.store: Store = connect(settings(ROUTER_REDIS_URL=url))
        self.client = self.store.flows._client
        self.flow = FlexFlow(
            sid="FO" + "1" * 32,
            account_sid=ACCOUNT,
            friendly_name="a test",
            chat_service_sid="IS" + "1" * 32,
            channel_type="sms",
            contact_identity=OURS,
            integration=Integration("external", url=f"{TARGET}/hook"),
        )
        self.store.flows.put(self.flow)

    def accept(self, number: int, *, lane: str = LANE, lease: bool = False, token: str = "", **more: Any) -> Acceptance:
        """Let a message arrive."""
        given: dict[str, Any] = {
            "disposition": "queue",
            "versions": (),
            "facts": {"raw": b"body", "flow": self.flow.sid},
        }
        return self.store.lanes.accept(
            token=token or new_token(), account_sid=ACCOUNT, message_sid=sid(number), lane=lane, lease=lease,
            **(given | more),
        )  # fmt: skip

    def claim(self, *, limit: int = 10, shut: tuple[str, ...] = ()) -> list[Lease]:
        """Claim what is due."""
        return self.store.lanes.claim(BUCKET, Room(limit, shut=shut)).leases

    def settle(self, lease: Lease, outcome: str, *, hand_over: bool = False, **more: Any) -> tuple[str, Lease | None]:
        """End an attempt."""
        settlement = Settlement(outcome, **more)  # type: ignore[arg-type]
        return self.store.lanes.settle(lease, settlement, next_token=new_token() if hand_over else "")

    def pass_time(self, seconds: float) -> None:
        """Let time pass for what is due, for leases, and for ages."""
        pass_time(self.client.call, BUCKET, seconds)

    def change(self, **changes: Any) -> None:
        """Change the flow."""
        changed = replace(self.flow, **changes)
        self.store.flows.put(changed, replaces=self.flow)
        self.flow = changed

    def stored(self, number: int, name: str) -> str:
        """Read a field of a message."""
        return (self.client.call("HGET", f"{KEYS.messages}{ACCOUNT}:{sid(number)}", name) or b"").decode()

    def expires(self, number: int) -> int:
        """Return the seconds until a message is forgotten, -1 for never."""
        return int(self.client.call("TTL", f"{KEYS.messages}{ACCOUNT}:{sid(number)}"))

    def queued(self) -> int:
        """Return the store's count of messages that are not done."""
        return self.store.deliveries.counts(ACCOUNT).queued


def sid(number: int) -> str:
    """Make a MessageSid."""
    return f"SM{number:032x}"


@pytest.fixture
def driver(valkey: ValkeyServer) -> Iterator[Driver]:
    """An empty store but for one flow."""
    made = Driver(valkey.url)
    yield made
    made.store.close()


# -- accept -----------------------------------------------------------------------------------------------------------


def test_accept_leases_a_head_and_reports_its_state(driver: Driver) -> None:
    """The first message of a lane is leased if the caller wants it; for later ones the reply has the head's state."""
    assert driver.accept(1, lease=True) == Acceptance("leased", "sending")
    assert driver.accept(2, lease=True) == Acceptance("accepted", "sending")
    assert driver.accept(3, lane=OTHER) == Acceptance("accepted", "queued")
    assert driver.accept(4, lane=OTHER, lease=True) == Acceptance("accepted", "queued")


def test_accept_is_safe_to_repeat(driver: Driver) -> None:
    """The same token gets the first call's answer, and the message is in the lane once."""
    token = new_token()
    assert driver.accept(1, lease=True, token=token) == driver.accept(1, lease=True, token=token)
    assert driver.client.call("LLEN", KEYS.lanes + LANE) == 1
    assert driver.stored(1, "attempts") == "1"
    assert driver.stored(1, "duplicates") == ""
    assert driver.queued() == 1


def test_a_duplicate_is_reported_before_anything_else(driver: Driver) -> None:
    """Another token with the same SID is a duplicate, also with stale versions and with another disposition."""
    driver.accept(1, lease=True)
    for disposition in ("queue", "unrouted", "redirected"):
        found = driver.accept(1, lane=OTHER, disposition=disposition, versions=[(OURS, "old")])
        assert found == Acceptance("duplicate", "", state="sending", flow_sid=driver.flow.sid)
    assert driver.accept(1) == Acceptance("duplicate", "sending", state="sending", flow_sid=driver.flow.sid)
    assert driver.stored(1, "duplicates") == "4"
    assert driver.queued() == 1


def test_a_sid_is_a_duplicate_after_its_record_has_expired(driver: Driver) -> None:
    """A SID whose record expired is still known in this period of 30 days and in the next: nothing is written."""
    driver.accept(1)
    (lease,) = driver.claim()
    driver.settle(lease, "delivered")
    assert driver.client.call("DEL", f"{KEYS.messages}{ACCOUNT}:{sid(1)}") == 1  # as the store does, a day later
    for _ in range(2):
        keys = driver.client.call("DBSIZE")
        for disposition in ("queue", "unrouted", "redirected"):
            assert driver.accept(1, disposition=disposition, lease=True) == Acceptance("duplicate", state="expired")
        assert (driver.client.call("DBSIZE"), driver.queued()) == (keys, 0)
        (key,) = driver.client.call("KEYS", "taken:*")
        *before, period, digits = key.split(b":")
        driver.client.call("RENAME", key, b":".join([*before, b"%d" % (int(period) - 1), digits]))
    other = driver.store.lanes.accept(
        token=new_token(), account_sid=f"AC{'1a' * 16}", message_sid=sid(1), lane=LANE, disposition="queue",
        lease=False, versions=(), facts={"raw": b"body"},
    )  # fmt: skip
    assert other.kind == "accepted"


def test_a_stale_accept_does_not_make_the_sid_known(driver: Driver) -> None:
    """After a stale `accept` the next try with the same SID is accepted, and is no duplicate."""
    assert driver.accept(1, versions=[(OURS, "old")]).kind == "stale"
    assert driver.accept(1).kind == "accepted"


def test_a_known_sid_takes_eleven_bytes(driver: Driver) -> None:
    """The SIDs that are kept to recognise duplicates are packed, at eleven bytes each at most, and expire."""
    for number in range(400):
        driver.accept(number, disposition="redirected")
    (key,) = driver.client.call("KEYS", "taken:*")
    assert driver.client.call("OBJECT", "ENCODING", key) == b"intset"
    assert driver.client.call("MEMORY", "USAGE", key) <= 400 * 11
    assert 0 < driver.client.call("PTTL", key) <= 60 * 86_400_000


@pytest.mark.parametrize(
    ("identity", "version", "kind"),
    [
        (OURS, None, "accepted"),
        (OURS, "", "stale"),
        (OURS, "other", "stale"),
        ("*", "", "accepted"),
        ("*", "a", "stale"),
    ],
)
def test_accept_is_stale_if_a_version_differs(driver: Driver, identity: str, version: str | None, kind: str) -> None:
    """`accept` writes nothing and is stale if an address entry has changed, appeared or gone since it was read."""
    if version is None:
        version = driver.store.flows.entries(ACCOUNT, [identity])[0].version
    assert driver.accept(1, versions=[(identity, version)]).kind == kind
    assert bool(driver.stored(1, "state")) == (kind == "accepted")
    assert driver.queued() == (kind == "accepted")


@pytest.mark.parametrize("disposition", ["unrouted", "redirected"])
def test_unrouted_and_redirected_messages_are_kept_and_expire(driver: Driver, disposition: str) -> None:
    """Unrouted messages are kept for the retention and are dead letters; redirected ones as long as delivered ones."""
    driver.accept(1, disposition=disposition)
    assert driver.stored(1, "state") == disposition
    seconds = 7 * 86_400 if disposition == "unrouted" else 86_400
    assert seconds - 60 < driver.expires(1) <= seconds
    assert driver.client.call("EXISTS", KEYS.lanes + LANE, KEYS.due) == 0
    assert driver.client.call("ZCARD", KEYS.dead) == (disposition == "unrouted")
    assert driver.queued() == 0


# -- claim ------------------------------------------------------------------------------------------------------------


def test_claim_takes_heads_that_are_due(driver: Driver) -> None:
    """`claim` takes one message of each lane, at most the wanted number, and none before its lease or delay ends."""
    for number, lane in enumerate(("a", "a", "b", "c"), 1):
        driver.accept(number, lane=lane * 24)
    claim = driver.store.lanes.claim(BUCKET, Room(4))
    leases = claim.leases
    assert (len(leases), claim.left) == (2, True)
    assert [lease.message_sid for lease in leases + driver.claim()] == [sid(1), sid(3), sid(4)]
    assert driver.claim() == []
    driver.settle(leases[0], "retry", delay=5)
    assert driver.claim() == []
    driver.pass_time(5)
    (again,) = driver.claim()
    assert (again.message_sid, again.attempts) == (sid(1), 2)


def test_claim_hands_over_the_message_with_its_flow(driver: Driver) -> None:
    """The lease has all that an attempt needs, with the flow as it is now."""
    driver.accept(1)
    driver.change(validity_period=99)
    driver.pass_time(10)
    (lease,) = driver.claim()
    assert (lease.account_sid, lease.message_sid, lease.lane, lease.raw) == (ACCOUNT, sid(1), LANE, b"body")
    assert lease.flow == driver.flow
    assert (lease.attempts, lease.failures, lease.refusals, lease.round) == (1, 0, 0, 0)
    assert 10 <= lease.age < 12


def test_claim_skips_shut_targets(driver: Driver) -> None:
    """A lane whose target's breaker is open is not claimed, unless its message is past its ValidityPeriod."""
    driver.accept(1)
    assert driver.claim(shut=(TARGET,)) == []
    assert driver.stored(1, "attempts") == ""
    driver.pass_time(3)
    assert driver.claim(shut=(TARGET,)) == []
    driver.pass_time(14_400)
    (lease,) = driver.claim(shut=(TARGET,))
    assert lease.age > 14_400


def test_claim_takes_messages_of_a_deleted_flow(driver: Driver) -> None:
    """A message whose flow was deleted is handed out without one, to be settled as unrouted."""
    driver.accept(1)
    driver.store.flows.delete(driver.flow)
    (lease,) = driver.claim()
    assert (lease.flow, lease.flow_sid) == (None, driver.flow.sid)
    assert driver.settle(lease, "unrouted", fields={"error": "gone"})[0] == "done"
    assert (driver.stored(1, "state"), driver.stored(1, "error")) == ("unrouted", "gone")
    assert driver.client.call("ZCARD", KEYS.dead) == 1
    assert driver.queued() == 0


def test_claim_drops_a_message_without_a_record(driver: Driver) -> None:
    """A message whose record was removed by hand does not block its lane: the next claim takes its successor."""
    driver.accept(1)
    driver.accept(2)
    driver.client.call("DEL", f"{KEYS.messages}{ACCOUNT}:{sid(1)}")
    assert driver.claim() == []
    assert [lease.message_sid for lease in driver.claim()] == [sid(2)]
    assert driver.queued() == 1


# -- a paused flow ----------------------------------------------------------------------------------------------------


def test_a_pause_does_not_age_the_head(driver: Driver) -> None:
    """The head of a paused flow is not claimed, and the pause does not count for its age."""
    driver.change(paused=True)
    driver.accept(1)
    for _ in range(3):
        assert driver.claim() == []
        driver.pass_time(10_000)
    assert driver.claim() == []
    driver.change(paused=False)
    driver.pass_time(10)
    (lease,) = driver.claim()
    assert 10 <= lease.age < 12
    assert lease.attempts == 1


@pytest.mark.parametrize("hand_over", [True, False], ids=["handed-over", "claimed"])
def test_a_pause_does_not_age_the_messages_behind_the_head(driver: Driver, hand_over: bool) -> None:
    """A pause does not count for the age of messages behind the head; their time of acceptance stays."""
    driver.change(paused=True)
    driver.accept(1)
    driver.accept(2)
    for _ in range(3):
        assert driver.claim() == []
        driver.pass_time(10_000)
    assert driver.claim() == []
    driver.change(paused=False)
    driver.pass_time(10)
    (first,) = driver.claim()
    _, second = driver.settle(first, "delivered", hand_over=hand_over)
    if second is None:
        (second,) = driver.claim()
    assert second.message_sid == sid(2)
    assert second.age < 60
    assert second.accepted_ago > 30_000


@pytest.mark.parametrize("stop", ["hold", "cancel"])
def test_messages_behind_a_held_or_cancelled_head_are_sent(driver: Driver, stop: str) -> None:
    """Behind a held or cancelled head of a paused flow the next message is sent, without the pause in its age."""
    other = replace(driver.flow, sid="FO" + "2" * 32, contact_identity="+15551230003")
    driver.store.flows.put(other)
    driver.change(paused=True)
    driver.accept(1)
    driver.accept(2, facts={"raw": b"body", "flow": other.sid})
    for _ in range(3):
        assert driver.claim() == []
        driver.pass_time(10_000)
    lanes = driver.store.lanes
    stopped = lanes.hold(ACCOUNT, sid(1), LANE) if stop == "hold" else lanes.cancel(ACCOUNT, sid(1), LANE, "cancelled")
    assert stopped in ("held", "cancelled")
    (lease,) = driver.claim()
    assert (lease.message_sid, round(lease.age)) == (sid(2), 0)


def test_a_hold_does_not_age_a_message(driver: Driver) -> None:
    """The time for which a message is held does not count for its ValidityPeriod, and its record does not expire."""
    driver.accept(1)
    assert driver.store.lanes.hold(ACCOUNT, sid(1), LANE) == "held"
    assert (driver.queued(), driver.expires(1), driver.claim()) == (1, -1, [])
    driver.pass_time(100_000)
    assert driver.store.lanes.release(ACCOUNT, sid(1), LANE) == ("released", 0)
    (lease,) = driver.claim()
    assert (lease.message_sid, round(lease.age)) == (sid(1), 0)


def test_a_pause_stops_the_hand_over(driver: Driver) -> None:
    """If a flow is paused during an attempt, the next message is not handed over, and is claimed when it is resumed."""
    driver.accept(1, lease=False)
    driver.accept(2)
    (lease,) = driver.claim()
    driver.change(paused=True)
    assert driver.settle(lease, "delivered", hand_over=True) == ("done", None)
    assert driver.claim() == []
    driver.change(paused=False)
    driver.pass_time(5)
    assert [lease.message_sid for lease in driver.claim()] == [sid(2)]


def test_an_expired_lease_of_a_paused_flow_is_taken_back(driver: Driver) -> None:
    """A head whose holder vanished while its flow was paused waits like any other, and is not counted as sending."""
    driver.accept(1, lease=True)
    driver.change(paused=True)
    driver.pass_time(31)
    assert driver.claim() == []
    assert (driver.stored(1, "state"), driver.stored(1, "lease")) == ("queued", "")


# -- settle -----------------------------------------------------------------------------------------------------------


def test_settle_hands_over_the_next_head(driver: Driver) -> None:
    """`settle` gives its caller the next message of the lane, under a new lease, until the lane is empty."""
    for number in range(1, 4):
        driver.accept(number)
    (lease,) = driver.claim()
    sent = [lease.message_sid]
    kind, following = driver.settle(lease, "delivered", hand_over=True)
    while following is not None:
        assert kind == "next"
        assert following.token != lease.token
        sent.append(following.message_sid)
        kind, following = driver.settle(following, "delivered", hand_over=True)
    assert sent == [sid(number) for number in range(1, 4)]
    assert kind == "done"
    assert driver.client.call("EXISTS", KEYS.lanes + LANE, KEYS.due) == 0
    assert driver.queued() == 0


@pytest.mark.parametrize(("outcome", "days"), [("delivered", 1), ("undelivered", 7), ("unrouted", 7)], ids=str)
def test_ended_messages_expire(driver: Driver, outcome: str, days: int) -> None:
    """Delivered messages are kept for a day and dead letters for a week; queued messages do not expire."""
    driver.accept(1)
    assert driver.expires(1) == -1
    (lease,) = driver.claim()
    driver.settle(lease, outcome)
    assert days * 86_400 - 60 < driver.expires(1) <= days * 86_400
    assert driver.client.call("ZCARD", KEYS.dead) == (outcome != "delivered")


def test_a_lost_handler_process_counts_as_a_lost_holder(driver: Driver) -> None:
    """A handler's message is undelivered after one lost handler process and one lost holder."""
    driver.change(integration=Integration("handler", handler="it"))
    driver.accept(1)
    (lease,) = driver.claim()
    driver.settle(lease, "retry", fields={"lost": 1})
    (again,) = driver.claim()
    assert (lease.lost, again.lost) == (0, 1)
    driver.pass_time(31)
    assert driver.claim() == []
    assert driver.stored(1, "state") == "undelivered"


def test_the_excerpt_of_a_bad_answer_is_kept_until_the_next_answer(driver: Driver) -> None:
    """The excerpt of a bad answer survives a release, and is removed by a good answer and by a replay."""
    driver.accept(1)
    (lease,) = driver.claim()
    driver.settle(lease, "retry", fields={"said": b"text/html\nNot here"})
    (again,) = driver.claim()
    driver.settle(again, "release")
    assert driver.stored(1, "said") == "text/html\nNot here"
    (again,) = driver.claim()
    driver.settle(again, "delivered")
    assert driver.stored(1, "said") == ""
    driver.accept(2)
    (lease,) = driver.claim()
    driver.settle(lease, "undelivered", fields={"said": b"text/html\nNot here"})
    assert driver.store.lanes.replay(ACCOUNT, sid(2), LANE) == "queued"
    assert driver.stored(2, "said") == ""


def test_a_release_costs_nothing(driver: Driver) -> None:
    """After a release neither an attempt nor a lost holder is counted."""
    driver.accept(1)
    for _ in range(6):
        (lease,) = driver.claim()
        assert lease.attempts == 1
        driver.settle(lease, "release")
    assert driver.stored(1, "lost") == ""
    assert driver.stored(1, "state") == "queued"


def test_the_outcome_of_an_attempt_is_kept(driver: Driver) -> None:
    """`settle` writes counts, error and history; a success removes the error, but not the history."""
    driver.accept(1)
    (lease,) = driver.claim()
    driver.settle(lease, "retry", fields={"failures": 1, "refusals": 2, "error": "503"}, history="1 refused")
    (again,) = driver.claim()
    assert (again.failures, again.refusals) == (1, 2)
    driver.settle(again, "delivered", fields={"answer": b"<Response/>"}, history="2 delivered")
    delivery = driver.store.deliveries.get(ACCOUNT, sid(1))
    assert delivery is not None
    assert (delivery.state, delivery.error, delivery.answer) == ("delivered", "", b"<Response/>")
    assert delivery.history == ("1 refused", "2 delivered")


def test_a_long_history_keeps_its_end(driver: Driver) -> None:
    """The history of a message with many attempts keeps only its end."""
    driver.accept(1)
    for number in range(60):
        (lease,) = driver.claim()
        driver.settle(lease, "retry", history=f"{number} refused {'x' * 100}")
    assert len(driver.stored(1, "history")) <= 4000
    assert driver.stored(1, "history").splitlines()[-1].startswith("59 refused")


def test_the_right_to_answer_is_taken_once(driver: Driver) -> None:
    """Of webhook and REST, only the first that asks once there is an answer gets it, also when it asks again."""
    driver.accept(1)
    take = driver.store.lanes.take_answer
    assert take(ACCOUNT, sid(1), LANE, "webhook") == ("queued", b"", "queued")
    (lease,) = driver.claim()
    assert take(ACCOUNT, sid(1), LANE, "rest") == ("sending", b"", "sending")
    driver.settle(lease, "delivered", fields={"answer": b"<Response>1</Response>"})
    for _ in range(2):
        assert take(ACCOUNT, sid(1), LANE, "rest") == ("delivered", b"<Response>1</Response>", "")
        assert take(ACCOUNT, sid(1), LANE, "webhook") == ("delivered", b"", "")
    assert take(ACCOUNT, sid(2), LANE, "webhook") == ("", b"", "")


# -- replay -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", ["delivered", "undelivered", "unrouted"])
def test_a_replay_starts_again_at_the_tail(driver: Driver, outcome: str) -> None:
    """A replay queues a message at the tail with a new round, no attempts, no age, no expiry and no dead letter."""
    driver.accept(1)
    (lease,) = driver.claim()
    driver.settle(lease, outcome, fields={"failures": 3, "refusals": 3, "error": "why"})
    driver.pass_time(20_000)
    driver.accept(2)
    assert driver.store.lanes.replay(ACCOUNT, sid(1), LANE) == "queued"
    assert driver.store.lanes.replay(ACCOUNT, sid(1), LANE) == "busy"
    assert (driver.expires(1), driver.client.call("ZCARD", KEYS.dead), driver.queued()) == (-1, 0, 2)
    (second,) = driver.claim()
    assert second.message_sid == sid(2)
    _, again = driver.settle(second, "delivered", hand_over=True)
    assert again is not None
    assert (again.message_sid, again.round, again.attempts, again.failures, again.refusals) == (sid(1), 1, 1, 0, 0)
    assert again.age < 60


def test_a_replay_without_record_or_body_is_refused(driver: Driver) -> None:
    """A replay of a message without a record or a body is refused."""
    assert driver.store.lanes.replay(ACCOUNT, sid(1), LANE) == "missing"
    driver.accept(1, disposition="unrouted")
    driver.client.call("HDEL", f"{KEYS.messages}{ACCOUNT}:{sid(1)}", "raw")
    assert driver.store.lanes.replay(ACCOUNT, sid(1), LANE) == "gone"
    assert driver.client.call("EXISTS", KEYS.lanes + LANE) == 0


# -- lists ------------------------------------------------------------------------------------------------------------


def test_a_long_walk_shows_each_delivery_once(driver: Driver) -> None:
    """Messages that arrive during a walk from the newest to the oldest do not make it show others twice."""
    for number in range(PAGE + 20):
        driver.accept(number, disposition="unrouted")
    walk = driver.store.deliveries.newest(ACCOUNT)
    seen = [next(walk).message_sid for _ in range(PAGE)]
    for number in range(1000, 1010):
        driver.accept(number, disposition="unrouted")
    seen += [delivery.message_sid for delivery in walk]
    assert len(seen) == len(set(seen)) == PAGE + 20


def test_a_walk_is_complete_although_entries_expire_meanwhile(driver: Driver) -> None:
    """Index entries that are trimmed during a walk do not make it leave others out."""
    for number in range(2 * PAGE + 20):
        driver.accept(number, disposition="unrouted")
    walk = driver.store.deliveries.newest(ACCOUNT)
    seen = [next(walk).message_sid for _ in range(PAGE)]
    for gone in seen[:50]:
        driver.client.call("ZREM", KEYS.log, f"{ACCOUNT}:{gone}")
    assert len(seen + [delivery.message_sid for delivery in walk]) == 2 * PAGE + 20


def test_dead_letters_are_listed_oldest_first(driver: Driver) -> None:
    """Dead letters are listed in the order of acceptance, over pages, and within one millisecond too."""
    numbers = range(PAGE + 20, 0, -1)
    for number in numbers:
        driver.accept(number, disposition="unrouted")
    found = [delivery.message_sid for delivery in driver.store.deliveries.oldest(ACCOUNT)]
    assert found == [sid(number) for number in numbers]


def test_the_backlog_is_measured(driver: Driver) -> None:
    """`backlog` returns how many conversations wait, how many are due, and for how long the oldest has been due."""
    assert driver.store.deliveries.backlog(BUCKET) == Backlog(0, 0, {})
    for number in range(3):
        driver.accept(number, lane=f"{number:024x}", lease=number == 0)
    driver.pass_time(10)
    backlog = driver.store.deliveries.backlog(BUCKET)
    assert (backlog.lanes, backlog.due) == (3, 2)
    seconds, flow_sid = backlog.overdue[ACCOUNT]
    assert (flow_sid, backlog.oldest) == (driver.flow.sid, seconds)
    assert 10 <= seconds < 20
