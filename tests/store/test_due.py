"""Which due lanes a process claims: a backlog that it cannot serve delays no other message."""

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


class Driver:
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
        """Claim what is due, and return the SIDs of the messages."""
        return [lease.message_sid for lease in self.claim(limit, **more).leases]

    def steps(self) -> int:
        """Return how many commands the store has run, those of scripts included."""
        lines = self.call("INFO", "commandstats").decode().splitlines()
        return sum(int(line.partition("calls=")[2].partition(",")[0]) for line in lines if line.startswith("cmdstat_"))


@pytest.fixture
def driver(valkey: ValkeyServer) -> Iterator[Driver]:
    """An empty store."""
    made = Driver(valkey.url)
    yield made
    made.store.close()


@pytest.mark.parametrize("why", ["breaker", "share", "paused"])
def test_blocked_lanes_do_not_make_a_claim_cost_more(driver: Driver, why: str) -> None:
    """Past 300 lanes of a dead, full or paused target, a claim runs as many commands as past 10."""
    blocked, other = driver.flow(paused=why == "paused"), driver.flow(LIVE)
    name = f"{ONE} {DEAD}"
    room = Room(100, targets={name: (5, 5)} if why == "share" else {}, shut=(name,) if why == "breaker" else ())
    steps = []
    for more in (10, 290):
        driver.queue(blocked, more)
        (sid,) = driver.queue(other)
        before = driver.steps()
        claim = driver.store.lanes.claim(BUCKET, room)
        steps.append(driver.steps() - before)
        assert [lease.message_sid for lease in claim.leases] == [sid]
        assert claim.left == (why == "share"), "only what a free slot would help is left"
    assert steps[1] == steps[0] < 40
    assert driver.call("ZCARD", f"{KEYS.due}:{ONE}:{blocked.sid}") == 300, "and nothing has moved"


def test_flows_with_nothing_due_cost_nothing(driver: Driver) -> None:
    """A claim runs no command for flows whose lanes wait for a retry or are being sent, even for a hundred."""
    before, steps = driver.steps(), []
    for number in range(100):
        driver.queue(driver.flow(LIVE))
        for lease in driver.claim().leases:
            driver.store.lanes.settle(lease, Settlement("retry", delay=60.0), next_token="")
        if number in (0, 99):
            before = driver.steps()
            assert driver.claim().leases == []
            steps.append(driver.steps() - before)
    assert steps[0] == steps[1] < 10


def test_a_long_index_is_examined_in_several_claims(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    """A flow behind more blocked flows than one claim examines is found by the next claim, which goes on from there."""
    monkeypatch.setattr("router.store.lanes.CLAIM_LOOKS", 10)
    for _ in range(15):
        driver.queue(driver.flow())
    (sid,) = driver.queue(driver.flow(LIVE))
    first = driver.claim(shut=(DEAD,))
    assert (first.leases, first.place) == ([], 10)
    second = driver.claim(shut=(DEAD,), place=first.place)
    assert ([lease.message_sid for lease in second.leases], second.place) == ([sid], 0)
    assert len(driver.claim().leases) == 10


def test_few_slots_go_to_the_flows_in_turn(driver: Driver) -> None:
    """A process with one free slot at a time claims from each flow in turn, however much waits for the first."""
    sids = [driver.queue(driver.flow(LIVE), 5) for _ in range(3)]
    place, got = 0, []
    for _ in range(6):
        claim = driver.claim(1, place=place)
        got += [lease.message_sid for lease in claim.leases]
        place = claim.place
        assert claim.left
    assert sorted(got) == sorted(sid for queued in sids for sid in queued[:2])


def test_a_retry_does_not_wait_for_a_backlog_of_other_flows_of_its_target(driver: Driver) -> None:
    """Claims that begin anywhere in the index reach the flow that came due last before the older backlog is done."""
    for _ in range(3):
        driver.queue(driver.flow(LIVE), 100)
    (sid,) = driver.queue(driver.flow(LIVE))
    got: list[str] = []
    while sid not in got:
        got += driver.sids(share=1, place=ANYWHERE)
    assert len(got) < 150, "two claims in three are its turn; in the order of age it would be the last of 301"


def test_a_targets_share_is_for_all_its_flows(driver: Driver) -> None:
    """An account's flows share the slots of one target; another account has a share of its own at the same host."""
    driver.queue(driver.flow(LIVE), 5)
    driver.queue(driver.flow(LIVE), 5)
    driver.queue(driver.flow(LIVE, TWO), 5)
    claim = driver.claim(share=3)
    assert sorted(lease.account_sid for lease in claim.leases) == [ONE] * 3 + [TWO] * 3
    assert claim.left
    assert driver.sids(shut=(f"{ONE} {LIVE}",), share=9) != []


@pytest.mark.parametrize(
    ("free", "has", "got"),
    [
        pytest.param(8, {}, {ONE: 6, TWO: 2}, id="the first gets three quarters of what is free"),
        pytest.param(2, {ONE: 6}, {TWO: 2}, id="an account with three times the free slots gets none"),
        pytest.param(2, {ONE: 5, TWO: 1}, {ONE: 1, TWO: 1}, id="an account with less gets up to that"),
        pytest.param(0, {ONE: 8}, {TWO: 1}, id="an account with none gets one although no slot is free"),
        pytest.param(-1, {ONE: 8, TWO: 1}, {}, id="an account with one gets none"),
    ],
)
def test_an_accounts_share_is_for_all_its_targets(
    driver: Driver, free: int, has: dict[str, int], got: dict[str, int]
) -> None:
    """An account gets another slot while it has less than `factor` times those that are free, however much is due."""
    for account in (ONE, TWO):
        for number in range(12):
            driver.queue(driver.flow(f"https://{number}.example", account))
    claim = driver.store.lanes.claim(BUCKET, Room(free, factor=3, accounts=has))
    assert Counter(lease.account_sid for lease in claim.leases) == got
    assert claim.left


def test_waiting_lanes_follow_a_change_of_their_flows_target(driver: Driver) -> None:
    """When a flow gets another target, its lanes are due for that target at once, without being moved."""
    flow = driver.flow()
    sids = driver.queue(flow, 5)
    assert driver.sids(shut=(f"{ONE} {DEAD}",)) == []
    driver.change(flow, integration=Integration("external", url=f"{LIVE}/hook"))
    assert driver.sids(shut=(f"{ONE} {DEAD}",)) == sids


def test_messages_of_a_disabled_flow_do_not_wait_for_its_target(driver: Driver) -> None:
    """Lanes of a disabled flow are handed out although the target's breaker is open, to be settled as unrouted."""
    flow = driver.flow()
    sids = driver.queue(flow, 3)
    driver.change(flow, enabled=False)
    assert driver.sids(shut=(f"{ONE} {DEAD}",)) == sids


def test_expired_messages_do_not_wait_for_a_dead_target(driver: Driver) -> None:
    """Messages past their ValidityPeriod are claimed although the breaker is open; a pause does not count for it."""
    flow = driver.flow(validity_period=60)
    old = driver.queue(flow, 3)
    pass_time(driver.call, BUCKET, 61)
    young = driver.queue(flow, 3)
    claim = driver.claim(shut=(f"{ONE} {DEAD}",))
    assert [lease.message_sid for lease in claim.leases] == old
    for lease in claim.leases:
        assert lease.age > 60
        driver.store.lanes.settle(lease, Settlement("undelivered"), next_token="")
    pass_time(driver.call, BUCKET, 30)
    driver.change(driver.change(flow, paused=True), paused=False)
    pass_time(driver.call, BUCKET, 50)
    assert driver.sids(shut=(f"{ONE} {DEAD}",)) == []
    assert driver.sids() == young


def test_a_message_that_kills_handler_processes_is_given_up_after_two(driver: Driver) -> None:
    """A handler's message is given up after two holders that vanished with it."""
    flow = driver.flow(integration=Integration("handler", handler="echo"))
    (sid,) = driver.queue(flow)
    for _ in range(HANDLER_LOST_LIMIT):
        assert driver.sids() == [sid]
        pass_time(driver.call, BUCKET, 31)
    assert driver.sids() == []
    delivery = driver.store.deliveries.get(ONE, sid)
    assert delivery is not None
    assert (delivery.state, delivery.error) == ("undelivered", "The process that was sending it vanished 2 times")


def test_due_returns_the_buckets_with_something_to_claim(driver: Driver) -> None:
    """`due` returns buckets with a due lane or an ended lease, and those whose clocks were not read for a second."""
    due, flow = driver.store.lanes.due, driver.flow()
    assert due(["00", BUCKET]) == []
    driver.queue(flow)
    assert due(["00", BUCKET]) == [BUCKET]
    (lease,) = driver.claim().leases
    assert (due([BUCKET]), driver.store.lanes.waiting(["00", BUCKET])) == ([], [BUCKET])
    pass_time(driver.call, BUCKET, 31)
    assert due([BUCKET]) == [BUCKET], "its lease has ended"
    (lease,) = driver.claim().leases
    driver.store.lanes.settle(lease, Settlement("retry", delay=60), next_token="")
    assert due([BUCKET]) == []
    step(driver.call, BUCKET, 2)
    assert due([BUCKET]) == [BUCKET], "no process has read the clocks for a second"
    driver.claim()
    assert due([BUCKET]) == []


def test_an_idle_bucket_costs_one_command(driver: Driver) -> None:
    """A process that serves all 256 buckets runs one command for each where nothing waits."""
    assert driver.store.lanes.due(BUCKETS) == []  # on a new connection, which loads the scripts
    before = driver.steps()
    assert driver.store.lanes.due(BUCKETS) == []
    assert driver.steps() - before <= len(BUCKETS) + 2  # and INFO itself


def test_no_key_of_a_lane_is_left_after_its_last_message(driver: Driver) -> None:
    """The keys of index, due sets and leases are removed with the last lane."""
    driver.queue(driver.flow(), 3)
    driver.queue(driver.flow(LIVE), 3)
    for lease in driver.claim().leases:
        driver.store.lanes.settle(lease, Settlement("delivered"), next_token="")
    assert driver.call("KEYS", "due:*") + driver.call("KEYS", "lease*") + driver.call("KEYS", "lane:*") == []


def test_the_retries_of_a_recovered_target_are_due_at_once(driver: Driver) -> None:
    """When a target recovers, the retries of all its flows are due at once, however many; others still wait."""
    flows = [driver.flow(DEAD), driver.flow(DEAD), driver.flow(DEAD)]
    theirs, other = driver.flow(DEAD, TWO), driver.flow(LIVE)
    counts = dict(zip((flow.sid for flow in flows), (HURRY_MOST + 7, 3, 4), strict=True))
    for flow, count in (*((flow, counts[flow.sid]) for flow in flows), (theirs, 2), (other, 2)):
        driver.queue(flow, count)
    for lease in _all(driver):
        # The last flow is the first of the index, and the first one, which takes two calls, changes its place in it.
        delay = 299 if lease.flow_sid == flows[-1].sid else 300
        driver.store.lanes.settle(lease, Settlement("retry", delay=delay), next_token="")
    assert _all(driver) == []
    assert driver.store.lanes.hurry_target(BUCKET, ONE, DEAD) == HURRY_MOST + 14
    assert driver.store.lanes.hurry_target(BUCKET, ONE, DEAD) == 0
    assert Counter(lease.flow_sid for lease in _all(driver)) == counts
    assert driver.store.lanes.hurry_target(BUCKET, "", DEAD) == 2, "where none could connect: of all accounts"
    assert [lease.account_sid for lease in _all(driver)] == [TWO, TWO]


def _all(driver: Driver) -> list[Lease]:
    """Claim until nothing is due."""
    leases: list[Lease] = []
    while found := driver.claim(1000, share=1000).leases:
        leases += found
    return leases


def test_a_hurried_lane_that_is_due_keeps_its_place(driver: Driver) -> None:
    """A lane that is already due keeps its place before later ones when it is hurried."""
    flow = driver.flow(LIVE)
    first, second = driver.queue(flow, 2)
    pass_time(driver.call, BUCKET, 5)
    assert driver.store.lanes.hurry(ONE, first, f"{1:024x}") == ("due", first)
    assert driver.sids(1) == [first]
    assert driver.sids(1) == [second]
    assert driver.store.lanes.hurry(ONE, first, f"{1:024x}") == ("sending", first)
    assert driver.store.lanes.hurry(ONE, first, "f" * 24) == ("empty", "")
