"""What is due, and which of it a process claims: a backlog that it cannot serve delays no other message."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from router.flow.flex_flow import FlexFlow, Integration
from router.store import Store, connect
from router.store.keys import BUCKETS, AccountKeys
from router.store.lanes import ANYWHERE, HANDLER_LOST_LIMIT, HURRY_MOST, Claim, Lease, Room, Settlement, new_token
from tests.clock import pass_time, step
from tests.integrations.sending import settings
from tests.valkey import ValkeyServer

ONE, TWO = "AC" + "0" * 31 + "a", "AC" + "1" * 30 + "0a"
BUCKET = "0a"
DEAD, LIVE = "https://dead.example", "https://live.example"
KEYS = AccountKeys(ONE)


class Desk:
    """A store with flows of two accounts in one bucket, and their messages, each in a lane of its own."""

    def __init__(self, url: str) -> None:
        self.store: Store = connect(settings(ROUTER_REDIS_URL=url))
        self.call = self.store.flows._client.call
        self._flows = self._messages = 0

    def flow(self, url: str = DEAD, account: str = ONE, **more: Any) -> FlexFlow:
        """Make a flow."""
        self._flows += 1
        flow = FlexFlow(
            sid=f"FO{self._flows:032x}",
            account_sid=account,
            friendly_name="a test",
            chat_service_sid="IS" + "1" * 32,
            channel_type="sms",
            contact_identity=f"+1555{self._flows:07}",
            integration=more.pop("integration", None) or Integration("external", url=f"{url}/hook"),
            **more,
        )
        self.store.flows.put(flow)
        return flow

    def change(self, flow: FlexFlow, **changes: Any) -> FlexFlow:
        """Write a flow again."""
        changed = replace(flow, **changes)
        self.store.flows.put(changed, replaces=flow)
        return changed

    def queue(self, flow: FlexFlow, count: int = 1) -> list[str]:
        """Let messages arrive for a flow; return their SIDs."""
        sids = []
        for _ in range(count):
            self._messages += 1
            sids.append(f"SM{self._messages:032x}")
            self.store.lanes.accept(
                token=new_token(), account_sid=flow.account_sid, message_sid=sids[-1], lane=f"{self._messages:024x}",
                disposition="queue", lease=False, versions=(), facts={"raw": b"body", "flow": flow.sid},
            )  # fmt: skip
        return sids

    def claim(self, limit: int = 100, *, share: int = 100, shut: tuple[str, ...] = (), place: int = 0) -> Claim:
        """Claim what is due."""
        return self.store.lanes.claim(BUCKET, Room(limit, share, shut=shut), place=place)

    def sids(self, limit: int = 100, **more: Any) -> list[str]:
        """Claim what is due, and return which messages that is."""
        return [lease.message_sid for lease in self.claim(limit, **more).leases]

    def steps(self) -> int:
        """Return how many commands the store has run, those of scripts included."""
        lines = self.call("INFO", "commandstats").decode().splitlines()
        return sum(int(line.partition("calls=")[2].partition(",")[0]) for line in lines if line.startswith("cmdstat_"))


@pytest.fixture
def desk(valkey: ValkeyServer) -> Iterator[Desk]:
    """An empty store."""
    made = Desk(valkey.url)
    yield made
    made.store.close()


@pytest.mark.parametrize("why", ["breaker", "share", "paused"])
def test_a_claim_costs_the_same_however_much_waits_behind_what_it_cannot_serve(desk: Desk, why: str) -> None:
    """Behind 10 lanes of a dead, full or paused target or 300, a retry of another is claimed in as many steps."""
    blocked, other = desk.flow(paused=why == "paused"), desk.flow(LIVE)
    name = f"{ONE} {DEAD}"
    room = Room(100, targets={name: (5, 5)} if why == "share" else {}, shut=(name,) if why == "breaker" else ())
    steps = []
    for more in (10, 290):
        desk.queue(blocked, more)
        (sid,) = desk.queue(other)
        before = desk.steps()
        claim = desk.store.lanes.claim(BUCKET, room)
        steps.append(desk.steps() - before)
        assert [lease.message_sid for lease in claim.leases] == [sid]
        assert claim.left == (why == "share"), "only what a free slot would help is left"
    assert steps[1] == steps[0] < 40
    assert desk.call("ZCARD", f"{KEYS.due}:{ONE}:{blocked.sid}") == 300, "and nothing has moved"


def test_flows_with_nothing_due_cost_nothing(desk: Desk) -> None:
    """A hundred flows whose lanes wait for a retry, or are being sent, are not looked at."""
    before, steps = desk.steps(), []
    for number in range(100):
        desk.queue(desk.flow(LIVE))
        for lease in desk.claim().leases:
            desk.store.lanes.settle(lease, Settlement("retry", delay=60.0), next_token="")
        if number in (0, 99):
            before = desk.steps()
            assert desk.claim().leases == []
            steps.append(desk.steps() - before)
    assert steps[0] == steps[1] < 10


def test_an_index_that_is_too_long_for_one_look_is_gone_through_in_several(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A flow behind more blocked flows than one claim examines is claimed by the next one; then all are again."""
    monkeypatch.setattr("router.store.lanes.CLAIM_LOOKS", 10)
    for _ in range(15):
        desk.queue(desk.flow())
    (sid,) = desk.queue(desk.flow(LIVE))
    first = desk.claim(shut=(DEAD,))
    assert (first.leases, first.place) == ([], 10)
    second = desk.claim(shut=(DEAD,), place=first.place)
    assert ([lease.message_sid for lease in second.leases], second.place) == ([sid], 0)
    assert len(desk.claim().leases) == 10


def test_slots_that_are_short_go_round(desk: Desk) -> None:
    """A process that can take one head at a time takes one of each flow, however many the first one has."""
    sids = [desk.queue(desk.flow(LIVE), 5) for _ in range(3)]
    place, got = 0, []
    for _ in range(6):
        claim = desk.claim(1, place=place)
        got += [lease.message_sid for lease in claim.leases]
        place = claim.place
        assert claim.left
    assert sorted(got) == sorted(sid for queued in sids for sid in queued[:2])


def test_a_retry_does_not_wait_for_a_backlog_of_other_flows_of_its_target(desk: Desk) -> None:
    """Where a claim may begin anywhere in the index, the flow that came due last has its turn among those before it."""
    for _ in range(3):
        desk.queue(desk.flow(LIVE), 100)
    (sid,) = desk.queue(desk.flow(LIVE))
    got: list[str] = []
    while sid not in got:
        got += desk.sids(share=1, place=ANYWHERE)
    assert len(got) < 150, "two claims in three are its turn; in the order of age it would be the last of 301"


def test_a_target_has_its_share_over_all_its_flows(desk: Desk) -> None:
    """What an account's flows have in common is their target's share; another account has its own at the same host."""
    desk.queue(desk.flow(LIVE), 5)
    desk.queue(desk.flow(LIVE), 5)
    desk.queue(desk.flow(LIVE, TWO), 5)
    claim = desk.claim(share=3)
    assert sorted(lease.account_sid for lease in claim.leases) == [ONE] * 3 + [TWO] * 3
    assert claim.left
    assert desk.sids(shut=(f"{ONE} {LIVE}",), share=9) != []


@pytest.mark.parametrize(
    ("free", "has", "got"),
    [
        pytest.param(8, {}, {ONE: 6, TWO: 2}, id="the first gets three quarters of what is free"),
        pytest.param(2, {ONE: 6}, {TWO: 2}, id="who has three times what is free gets none"),
        pytest.param(2, {ONE: 5, TWO: 1}, {ONE: 1, TWO: 1}, id="who has less gets up to that"),
        pytest.param(0, {ONE: 8}, {TWO: 1}, id="who has none gets one although all are taken"),
        pytest.param(-1, {ONE: 8, TWO: 1}, {}, id="who has one does not"),
    ],
)
def test_an_account_has_its_share_over_all_its_targets(
    desk: Desk, free: int, has: dict[str, int], got: dict[str, int]
) -> None:
    """What an account may have follows from what it has and from what is free, however much of it is due."""
    for account in (ONE, TWO):
        for number in range(12):
            desk.queue(desk.flow(f"https://{number}.example", account))
    claim = desk.store.lanes.claim(BUCKET, Room(free, factor=3, accounts=has))
    assert Counter(lease.account_sid for lease in claim.leases) == got
    assert claim.left


def test_a_changed_flow_takes_all_that_wait_for_it_along(desk: Desk) -> None:
    """When a flow gets another target, its lanes are due for that target at once, without being moved."""
    flow = desk.flow()
    sids = desk.queue(flow, 5)
    assert desk.sids(shut=(f"{ONE} {DEAD}",)) == []
    desk.change(flow, integration=Integration("external", url=f"{LIVE}/hook"))
    assert desk.sids(shut=(f"{ONE} {DEAD}",)) == sids


def test_messages_of_a_disabled_flow_do_not_wait_for_its_target(desk: Desk) -> None:
    """Lanes of a disabled flow are handed out although the target's breaker is open, to be settled as unrouted."""
    flow = desk.flow()
    sids = desk.queue(flow, 3)
    desk.change(flow, enabled=False)
    assert desk.sids(shut=(f"{ONE} {DEAD}",)) == sids


def test_what_is_past_its_validity_does_not_wait_for_a_dead_target(desk: Desk) -> None:
    """A lane that has been due for longer than ValidityPeriod ends although the breaker is open; not so a pause."""
    flow = desk.flow(validity_period=60)
    old = desk.queue(flow, 3)
    pass_time(desk.call, BUCKET, 61)
    young = desk.queue(flow, 3)
    claim = desk.claim(shut=(f"{ONE} {DEAD}",))
    assert [lease.message_sid for lease in claim.leases] == old
    for lease in claim.leases:
        assert lease.age > 60
        desk.store.lanes.settle(lease, Settlement("undelivered"), next_token="")
    pass_time(desk.call, BUCKET, 30)
    desk.change(desk.change(flow, paused=True), paused=False)
    pass_time(desk.call, BUCKET, 50)
    assert desk.sids(shut=(f"{ONE} {DEAD}",)) == []
    assert desk.sids() == young


def test_a_message_that_kills_a_handlers_process_is_given_to_two(desk: Desk) -> None:
    """A handler's message is given up after two holders that vanished with it."""
    flow = desk.flow(integration=Integration("handler", handler="echo"))
    (sid,) = desk.queue(flow)
    for _ in range(HANDLER_LOST_LIMIT):
        assert desk.sids() == [sid]
        pass_time(desk.call, BUCKET, 31)
    assert desk.sids() == []
    delivery = desk.store.deliveries.get(ONE, sid)
    assert delivery is not None
    assert (delivery.state, delivery.error) == ("undelivered", "The process that was sending it vanished 2 times")


def test_a_bucket_is_claimed_in_only_when_something_is_due_there(desk: Desk) -> None:
    """One where nothing waits, or what waits is not due, is left out; and with leases, its clocks still go on."""
    due, flow = desk.store.lanes.due, desk.flow()
    assert due(["00", BUCKET]) == []
    desk.queue(flow)
    assert due(["00", BUCKET]) == [BUCKET]
    (lease,) = desk.claim().leases
    assert (due([BUCKET]), desk.store.lanes.waiting(["00", BUCKET])) == ([], [BUCKET])
    pass_time(desk.call, BUCKET, 31)
    assert due([BUCKET]) == [BUCKET], "its lease has ended"
    (lease,) = desk.claim().leases
    desk.store.lanes.settle(lease, Settlement("retry", delay=60), next_token="")
    assert due([BUCKET]) == []
    step(desk.call, BUCKET, 2)
    assert due([BUCKET]) == [BUCKET], "no process has read the clocks for a second"
    desk.claim()
    assert due([BUCKET]) == []


def test_what_is_stored_of_an_idle_bucket_costs_one_command(desk: Desk) -> None:
    """A process that serves all 256 buckets asks once for each where nothing waits."""
    assert desk.store.lanes.due(BUCKETS) == []  # on a new connection, which loads the scripts
    before = desk.steps()
    assert desk.store.lanes.due(BUCKETS) == []
    assert desk.steps() - before <= len(BUCKETS) + 2  # and INFO itself


def test_nothing_is_left_of_what_is_done(desk: Desk) -> None:
    """The keys of index, due sets and leases are removed with the last lane."""
    desk.queue(desk.flow(), 3)
    desk.queue(desk.flow(LIVE), 3)
    for lease in desk.claim().leases:
        desk.store.lanes.settle(lease, Settlement("delivered"), next_token="")
    assert desk.call("KEYS", "due:*") + desk.call("KEYS", "lease*") + desk.call("KEYS", "lane:*") == []


def test_a_target_that_is_back_hurries_what_waits_for_it(desk: Desk) -> None:
    """When a target recovers, the retries of all its flows are due at once, however many; others still wait."""
    flows = [desk.flow(DEAD), desk.flow(DEAD), desk.flow(DEAD)]
    theirs, other = desk.flow(DEAD, TWO), desk.flow(LIVE)
    counts = dict(zip((flow.sid for flow in flows), (HURRY_MOST + 7, 3, 4), strict=True))
    for flow, count in (*((flow, counts[flow.sid]) for flow in flows), (theirs, 2), (other, 2)):
        desk.queue(flow, count)
    for lease in _all(desk):
        # The last flow is the first of the index, and the first one, which takes two calls, changes its place in it.
        delay = 299 if lease.flow_sid == flows[-1].sid else 300
        desk.store.lanes.settle(lease, Settlement("retry", delay=delay), next_token="")
    assert _all(desk) == []
    assert desk.store.lanes.hurry_target(BUCKET, ONE, DEAD) == HURRY_MOST + 14
    assert desk.store.lanes.hurry_target(BUCKET, ONE, DEAD) == 0
    assert Counter(lease.flow_sid for lease in _all(desk)) == counts
    assert desk.store.lanes.hurry_target(BUCKET, "", DEAD) == 2, "where none could connect: of all accounts"
    assert [lease.account_sid for lease in _all(desk)] == [TWO, TWO]


def _all(desk: Desk) -> list[Lease]:
    """Claim until nothing is due."""
    leases: list[Lease] = []
    while found := desk.claim(1000, share=1000).leases:
        leases += found
    return leases


def test_a_hurried_lane_that_is_due_keeps_its_place(desk: Desk) -> None:
    """A lane that is already due keeps its place before later ones when it is hurried."""
    flow = desk.flow(LIVE)
    first, second = desk.queue(flow, 2)
    pass_time(desk.call, BUCKET, 5)
    assert desk.store.lanes.hurry(ONE, first, f"{1:024x}") == ("due", first)
    assert desk.sids(1) == [first]
    assert desk.sids(1) == [second]
    assert desk.store.lanes.hurry(ONE, first, f"{1:024x}") == ("sending", first)
    assert desk.store.lanes.hurry(ONE, first, "f" * 24) == ("empty", "")
