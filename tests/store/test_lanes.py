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


class Bench:
    """A store as the product connects to it, messages of one account, and a clock that the test sets."""

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
        """Let it be later: for what is due, for leases, and for ages."""
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
        """Return the figure of messages not done yet."""
        return self.store.deliveries.counts(ACCOUNT).queued


def sid(number: int) -> str:
    """Make a MessageSid."""
    return f"SM{number:032x}"


@pytest.fixture
def bench(valkey: ValkeyServer) -> Iterator[Bench]:
    """An empty store but for one flow."""
    made = Bench(valkey.url)
    yield made
    made.store.close()


# -- accept -----------------------------------------------------------------------------------------------------------


def test_accept_tells_whose_turn_it_is(bench: Bench) -> None:
    """The first message of a lane is leased if the caller wants it; for later ones the reply has the head's state."""
    assert bench.accept(1, lease=True) == Acceptance("leased", "sending")
    assert bench.accept(2, lease=True) == Acceptance("accepted", "sending")
    assert bench.accept(3, lane=OTHER) == Acceptance("accepted", "queued")
    assert bench.accept(4, lane=OTHER, lease=True) == Acceptance("accepted", "queued")


def test_accept_is_safe_to_repeat(bench: Bench) -> None:
    """The same token gets the first call's answer, and the message is in the lane once."""
    token = new_token()
    assert bench.accept(1, lease=True, token=token) == bench.accept(1, lease=True, token=token)
    assert bench.client.call("LLEN", KEYS.lanes + LANE) == 1
    assert bench.stored(1, "attempts") == "1"
    assert bench.stored(1, "duplicates") == ""
    assert bench.queued() == 1


def test_a_duplicate_is_reported_before_anything_else(bench: Bench) -> None:
    """Another token with the same SID is a duplicate: also when versions are stale, and whatever it would have been."""
    bench.accept(1, lease=True)
    for disposition in ("queue", "unrouted", "redirected"):
        found = bench.accept(1, lane=OTHER, disposition=disposition, versions=[(OURS, "old")])
        assert found == Acceptance("duplicate", "", state="sending", flow_sid=bench.flow.sid)
    assert bench.accept(1) == Acceptance("duplicate", "sending", state="sending", flow_sid=bench.flow.sid)
    assert bench.stored(1, "duplicates") == "4"
    assert bench.queued() == 1


def test_what_is_sent_again_after_its_record_has_expired_is_not_taken(bench: Bench) -> None:
    """A SID whose record expired is still known in this period of 30 days and in the next: nothing is written."""
    bench.accept(1)
    (lease,) = bench.claim()
    bench.settle(lease, "delivered")
    assert bench.client.call("DEL", f"{KEYS.messages}{ACCOUNT}:{sid(1)}") == 1  # as the store does, a day later
    for _ in range(2):
        keys = bench.client.call("DBSIZE")
        for disposition in ("queue", "unrouted", "redirected"):
            assert bench.accept(1, disposition=disposition, lease=True) == Acceptance("duplicate", state="expired")
        assert (bench.client.call("DBSIZE"), bench.queued()) == (keys, 0)
        (key,) = bench.client.call("KEYS", "taken:*")
        *before, period, digits = key.split(b":")
        bench.client.call("RENAME", key, b":".join([*before, b"%d" % (int(period) - 1), digits]))
    other = bench.store.lanes.accept(
        token=new_token(), account_sid=f"AC{'1a' * 16}", message_sid=sid(1), lane=LANE, disposition="queue",
        lease=False, versions=(), facts={"raw": b"body"},
    )  # fmt: skip
    assert other.kind == "accepted"


def test_a_message_that_is_stale_is_not_known_yet(bench: Bench) -> None:
    """A stale `accept` does not make the SID known: the next try is accepted."""
    assert bench.accept(1, versions=[(OURS, "old")]).kind == "stale"
    assert bench.accept(1).kind == "accepted"


def test_knowing_a_message_for_long_costs_little(bench: Bench) -> None:
    """The SIDs of many messages are kept packed, at some ten bytes each, and expire."""
    for number in range(400):
        bench.accept(number, disposition="redirected")
    (key,) = bench.client.call("KEYS", "taken:*")
    assert bench.client.call("OBJECT", "ENCODING", key) == b"intset"
    assert bench.client.call("MEMORY", "USAGE", key) <= 400 * 11
    assert 0 < bench.client.call("PTTL", key) <= 60 * 86_400_000


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
def test_accept_wants_the_versions_that_it_is_given(
    bench: Bench, identity: str, version: str | None, kind: str
) -> None:
    """`accept` with the version of an entry that has changed, appeared or gone is stale, and writes nothing."""
    if version is None:
        version = bench.store.flows.entries(ACCOUNT, [identity])[0].version
    assert bench.accept(1, versions=[(identity, version)]).kind == kind
    assert bool(bench.stored(1, "state")) == (kind == "accepted")
    assert bench.queued() == (kind == "accepted")


@pytest.mark.parametrize("disposition", ["unrouted", "redirected"])
def test_what_is_not_queued_is_kept_and_expires(bench: Bench, disposition: str) -> None:
    """Unrouted messages are kept for the retention and are dead letters; redirected ones as long as delivered ones."""
    bench.accept(1, disposition=disposition)
    assert bench.stored(1, "state") == disposition
    seconds = 7 * 86_400 if disposition == "unrouted" else 86_400
    assert seconds - 60 < bench.expires(1) <= seconds
    assert bench.client.call("EXISTS", KEYS.lanes + LANE, KEYS.due) == 0
    assert bench.client.call("ZCARD", KEYS.dead) == (disposition == "unrouted")
    assert bench.queued() == 0


# -- claim ------------------------------------------------------------------------------------------------------------


def test_claim_takes_heads_that_are_due(bench: Bench) -> None:
    """`claim` takes one message of each lane, at most the wanted number, and none before its lease or delay ends."""
    for number, lane in enumerate(("a", "a", "b", "c"), 1):
        bench.accept(number, lane=lane * 24)
    claim = bench.store.lanes.claim(BUCKET, Room(4))
    leases = claim.leases
    assert (len(leases), claim.left) == (2, True)
    assert [lease.message_sid for lease in leases + bench.claim()] == [sid(1), sid(3), sid(4)]
    assert bench.claim() == []
    bench.settle(leases[0], "retry", delay=5)
    assert bench.claim() == []
    bench.pass_time(5)
    (again,) = bench.claim()
    assert (again.message_sid, again.attempts) == (sid(1), 2)


def test_claim_hands_over_the_message_with_its_flow(bench: Bench) -> None:
    """The lease has all that an attempt needs, with the flow as it is now."""
    bench.accept(1)
    bench.change(validity_period=99)
    bench.pass_time(10)
    (lease,) = bench.claim()
    assert (lease.account_sid, lease.message_sid, lease.lane, lease.raw) == (ACCOUNT, sid(1), LANE, b"body")
    assert lease.flow == bench.flow
    assert (lease.attempts, lease.failures, lease.refusals, lease.round) == (1, 0, 0, 0)
    assert 10 <= lease.age < 12


def test_claim_leaves_full_targets_alone(bench: Bench) -> None:
    """A lane whose target has no room is looked at again later, unless its message is past its ValidityPeriod."""
    bench.accept(1)
    assert bench.claim(shut=(TARGET,)) == []
    assert bench.stored(1, "attempts") == ""
    bench.pass_time(3)
    assert bench.claim(shut=(TARGET,)) == []
    bench.pass_time(14_400)
    (lease,) = bench.claim(shut=(TARGET,))
    assert lease.age > 14_400


def test_claim_takes_what_has_no_flow_any_more(bench: Bench) -> None:
    """A message whose flow was deleted is handed out without one, to be settled as unrouted."""
    bench.accept(1)
    bench.store.flows.delete(bench.flow)
    (lease,) = bench.claim()
    assert (lease.flow, lease.flow_sid) == (None, bench.flow.sid)
    assert bench.settle(lease, "unrouted", fields={"error": "gone"})[0] == "done"
    assert (bench.stored(1, "state"), bench.stored(1, "error")) == ("unrouted", "gone")
    assert bench.client.call("ZCARD", KEYS.dead) == 1
    assert bench.queued() == 0


def test_claim_forgets_what_has_no_record(bench: Bench) -> None:
    """A message whose record was removed by hand does not hold up its lane: the next one is claimed in its own turn."""
    bench.accept(1)
    bench.accept(2)
    bench.client.call("DEL", f"{KEYS.messages}{ACCOUNT}:{sid(1)}")
    assert bench.claim() == []
    assert [lease.message_sid for lease in bench.claim()] == [sid(2)]
    assert bench.queued() == 1


# -- a paused flow ----------------------------------------------------------------------------------------------------


def test_a_paused_head_waits_and_grows_no_older(bench: Bench) -> None:
    """The head of a paused flow is not claimed, and the pause does not count for its age."""
    bench.change(paused=True)
    bench.accept(1)
    for _ in range(3):
        assert bench.claim() == []
        bench.pass_time(10_000)
    assert bench.claim() == []
    bench.change(paused=False)
    bench.pass_time(10)
    (lease,) = bench.claim()
    assert 10 <= lease.age < 12
    assert lease.attempts == 1


@pytest.mark.parametrize("hand_over", [True, False], ids=["handed-over", "claimed"])
def test_what_waits_behind_a_paused_head_grows_no_older(bench: Bench, hand_over: bool) -> None:
    """A pause does not count for the age of messages behind the head; their time of acceptance stays."""
    bench.change(paused=True)
    bench.accept(1)
    bench.accept(2)
    for _ in range(3):
        assert bench.claim() == []
        bench.pass_time(10_000)
    assert bench.claim() == []
    bench.change(paused=False)
    bench.pass_time(10)
    (first,) = bench.claim()
    _, second = bench.settle(first, "delivered", hand_over=hand_over)
    if second is None:
        (second,) = bench.claim()
    assert second.message_sid == sid(2)
    assert second.age < 60
    assert second.accepted_ago > 30_000


@pytest.mark.parametrize("stop", ["hold", "cancel"])
def test_what_waits_behind_a_stopped_head_goes_on_and_is_no_older(bench: Bench, stop: str) -> None:
    """Behind a held or cancelled head of a paused flow the next message is sent, no older by the pause."""
    other = replace(bench.flow, sid="FO" + "2" * 32, contact_identity="+15551230003")
    bench.store.flows.put(other)
    bench.change(paused=True)
    bench.accept(1)
    bench.accept(2, facts={"raw": b"body", "flow": other.sid})
    for _ in range(3):
        assert bench.claim() == []
        bench.pass_time(10_000)
    lanes = bench.store.lanes
    stopped = lanes.hold(ACCOUNT, sid(1), LANE) if stop == "hold" else lanes.cancel(ACCOUNT, sid(1), LANE, "cancelled")
    assert stopped in ("held", "cancelled")
    (lease,) = bench.claim()
    assert (lease.message_sid, round(lease.age)) == (sid(2), 0)


def test_a_message_that_was_held_grows_no_older(bench: Bench) -> None:
    """The time for which it was held does not count for its ValidityPeriod; meanwhile it does not expire."""
    bench.accept(1)
    assert bench.store.lanes.hold(ACCOUNT, sid(1), LANE) == "held"
    assert (bench.queued(), bench.expires(1), bench.claim()) == (1, -1, [])
    bench.pass_time(100_000)
    assert bench.store.lanes.release(ACCOUNT, sid(1), LANE) == ("released", 0)
    (lease,) = bench.claim()
    assert (lease.message_sid, round(lease.age)) == (sid(1), 0)


def test_a_pause_stops_the_hand_over(bench: Bench) -> None:
    """The head behind an attempt under way is not handed over once its flow is paused, and is when it is resumed."""
    bench.accept(1, lease=False)
    bench.accept(2)
    (lease,) = bench.claim()
    bench.change(paused=True)
    assert bench.settle(lease, "delivered", hand_over=True) == ("done", None)
    assert bench.claim() == []
    bench.change(paused=False)
    bench.pass_time(5)
    assert [lease.message_sid for lease in bench.claim()] == [sid(2)]


def test_an_expired_lease_of_a_paused_flow_is_taken_back(bench: Bench) -> None:
    """A head whose holder vanished while its flow was paused waits like any other, and is not counted as sending."""
    bench.accept(1, lease=True)
    bench.change(paused=True)
    bench.pass_time(31)
    assert bench.claim() == []
    assert (bench.stored(1, "state"), bench.stored(1, "lease")) == ("queued", "")


# -- settle -----------------------------------------------------------------------------------------------------------


def test_settle_hands_over_the_next_head(bench: Bench) -> None:
    """The holder goes on with the lane under a new lease, in order, without a look for it."""
    for number in range(1, 4):
        bench.accept(number)
    (lease,) = bench.claim()
    sent = [lease.message_sid]
    kind, following = bench.settle(lease, "delivered", hand_over=True)
    while following is not None:
        assert kind == "next"
        assert following.token != lease.token
        sent.append(following.message_sid)
        kind, following = bench.settle(following, "delivered", hand_over=True)
    assert sent == [sid(number) for number in range(1, 4)]
    assert kind == "done"
    assert bench.client.call("EXISTS", KEYS.lanes + LANE, KEYS.due) == 0
    assert bench.queued() == 0


@pytest.mark.parametrize(("outcome", "days"), [("delivered", 1), ("undelivered", 7), ("unrouted", 7)], ids=str)
def test_what_has_ended_expires(bench: Bench, outcome: str, days: int) -> None:
    """Delivered messages are kept for a day, the dead for a week; what is queued never expires."""
    bench.accept(1)
    assert bench.expires(1) == -1
    (lease,) = bench.claim()
    bench.settle(lease, outcome)
    assert days * 86_400 - 60 < bench.expires(1) <= days * 86_400
    assert bench.client.call("ZCARD", KEYS.dead) == (outcome != "delivered")


def test_losses_are_counted_over_attempts(bench: Bench) -> None:
    """For a handler's message, a lost handler process counts as a lost holder."""
    bench.change(integration=Integration("handler", handler="it"))
    bench.accept(1)
    (lease,) = bench.claim()
    bench.settle(lease, "retry", fields={"lost": 1})
    (again,) = bench.claim()
    assert (lease.lost, again.lost) == (0, 1)
    bench.pass_time(31)
    assert bench.claim() == []
    assert bench.stored(1, "state") == "undelivered"


def test_the_excerpt_of_a_bad_answer_ends_with_the_next_answer(bench: Bench) -> None:
    """The excerpt of a bad answer survives a release, and is removed by a good answer and by a replay."""
    bench.accept(1)
    (lease,) = bench.claim()
    bench.settle(lease, "retry", fields={"said": b"text/html\nNot here"})
    (again,) = bench.claim()
    bench.settle(again, "release")
    assert bench.stored(1, "said") == "text/html\nNot here"
    (again,) = bench.claim()
    bench.settle(again, "delivered")
    assert bench.stored(1, "said") == ""
    bench.accept(2)
    (lease,) = bench.claim()
    bench.settle(lease, "undelivered", fields={"said": b"text/html\nNot here"})
    assert bench.store.lanes.replay(ACCOUNT, sid(2), LANE) == "queued"
    assert bench.stored(2, "said") == ""


def test_a_release_costs_nothing(bench: Bench) -> None:
    """After a release neither an attempt nor a lost holder is counted."""
    bench.accept(1)
    for _ in range(6):
        (lease,) = bench.claim()
        assert lease.attempts == 1
        bench.settle(lease, "release")
    assert bench.stored(1, "lost") == ""
    assert bench.stored(1, "state") == "queued"


def test_the_outcome_of_an_attempt_is_kept(bench: Bench) -> None:
    """`settle` writes counts, error and history; a success removes the error, but not the history."""
    bench.accept(1)
    (lease,) = bench.claim()
    bench.settle(lease, "retry", fields={"failures": 1, "refusals": 2, "error": "503"}, history="1 refused")
    (again,) = bench.claim()
    assert (again.failures, again.refusals) == (1, 2)
    bench.settle(again, "delivered", fields={"answer": b"<Response/>"}, history="2 delivered")
    delivery = bench.store.deliveries.get(ACCOUNT, sid(1))
    assert delivery is not None
    assert (delivery.state, delivery.error, delivery.answer) == ("delivered", "", b"<Response/>")
    assert delivery.history == ("1 refused", "2 delivered")


def test_a_long_history_keeps_its_end(bench: Bench) -> None:
    """The history of a message with many attempts keeps only its end."""
    bench.accept(1)
    for number in range(60):
        (lease,) = bench.claim()
        bench.settle(lease, "retry", history=f"{number} refused {'x' * 100}")
    assert len(bench.stored(1, "history")) <= 4000
    assert bench.stored(1, "history").splitlines()[-1].startswith("59 refused")


def test_the_right_to_answer_is_taken_once(bench: Bench) -> None:
    """Of webhook and REST, the first that asks once there is an answer gets it, also on repeated calls."""
    bench.accept(1)
    take = bench.store.lanes.take_answer
    assert take(ACCOUNT, sid(1), LANE, "webhook") == ("queued", b"", "queued")
    (lease,) = bench.claim()
    assert take(ACCOUNT, sid(1), LANE, "rest") == ("sending", b"", "sending")
    bench.settle(lease, "delivered", fields={"answer": b"<Response>1</Response>"})
    for _ in range(2):
        assert take(ACCOUNT, sid(1), LANE, "rest") == ("delivered", b"<Response>1</Response>", "")
        assert take(ACCOUNT, sid(1), LANE, "webhook") == ("delivered", b"", "")
    assert take(ACCOUNT, sid(2), LANE, "webhook") == ("", b"", "")


# -- replay -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", ["delivered", "undelivered", "unrouted"])
def test_a_replay_begins_anew_at_the_tail(bench: Bench, outcome: str) -> None:
    """A replay queues a message at the tail with a new round, no attempts, no age, no expiry and no dead letter."""
    bench.accept(1)
    (lease,) = bench.claim()
    bench.settle(lease, outcome, fields={"failures": 3, "refusals": 3, "error": "why"})
    bench.pass_time(20_000)
    bench.accept(2)
    assert bench.store.lanes.replay(ACCOUNT, sid(1), LANE) == "queued"
    assert bench.store.lanes.replay(ACCOUNT, sid(1), LANE) == "busy"
    assert (bench.expires(1), bench.client.call("ZCARD", KEYS.dead), bench.queued()) == (-1, 0, 2)
    (second,) = bench.claim()
    assert second.message_sid == sid(2)
    _, again = bench.settle(second, "delivered", hand_over=True)
    assert again is not None
    assert (again.message_sid, again.round, again.attempts, again.failures, again.refusals) == (sid(1), 1, 1, 0, 0)
    assert again.age < 60


def test_a_replay_without_record_or_body_is_refused(bench: Bench) -> None:
    """A replay of a message without a record or a body is refused."""
    assert bench.store.lanes.replay(ACCOUNT, sid(1), LANE) == "missing"
    bench.accept(1, disposition="unrouted")
    bench.client.call("HDEL", f"{KEYS.messages}{ACCOUNT}:{sid(1)}", "raw")
    assert bench.store.lanes.replay(ACCOUNT, sid(1), LANE) == "gone"
    assert bench.client.call("EXISTS", KEYS.lanes + LANE) == 0


# -- lists ------------------------------------------------------------------------------------------------------------


def test_a_long_walk_shows_each_delivery_once(bench: Bench) -> None:
    """Messages that arrive during a walk from the newest to the oldest do not make it show others twice."""
    for number in range(PAGE + 20):
        bench.accept(number, disposition="unrouted")
    walk = bench.store.deliveries.newest(ACCOUNT)
    seen = [next(walk).message_sid for _ in range(PAGE)]
    for number in range(1000, 1010):
        bench.accept(number, disposition="unrouted")
    seen += [delivery.message_sid for delivery in walk]
    assert len(seen) == len(set(seen)) == PAGE + 20


def test_a_walk_outlives_what_expires_meanwhile(bench: Bench) -> None:
    """Index entries that are trimmed during a walk do not make it leave others out."""
    for number in range(2 * PAGE + 20):
        bench.accept(number, disposition="unrouted")
    walk = bench.store.deliveries.newest(ACCOUNT)
    seen = [next(walk).message_sid for _ in range(PAGE)]
    for gone in seen[:50]:
        bench.client.call("ZREM", KEYS.log, f"{ACCOUNT}:{gone}")
    assert len(seen + [delivery.message_sid for delivery in walk]) == 2 * PAGE + 20


def test_the_dead_are_listed_oldest_first(bench: Bench) -> None:
    """Dead letters are listed in the order of acceptance, over pages, and within one millisecond too."""
    numbers = range(PAGE + 20, 0, -1)
    for number in numbers:
        bench.accept(number, disposition="unrouted")
    found = [delivery.message_sid for delivery in bench.store.deliveries.oldest(ACCOUNT)]
    assert found == [sid(number) for number in numbers]


def test_lanes_are_counted(bench: Bench) -> None:
    """How many conversations wait, how many of them could go now, and how long the oldest has been able to."""
    assert bench.store.deliveries.backlog(BUCKET) == Backlog(0, 0, {})
    for number in range(3):
        bench.accept(number, lane=f"{number:024x}", lease=number == 0)
    bench.pass_time(10)
    backlog = bench.store.deliveries.backlog(BUCKET)
    assert (backlog.lanes, backlog.due) == (3, 2)
    seconds, flow_sid = backlog.overdue[ACCOUNT]
    assert (flow_sid, backlog.oldest) == (bench.flow.sid, seconds)
    assert 10 <= seconds < 20
