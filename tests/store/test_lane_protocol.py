"""The lanes under any interleaving of accept, claim, settle, operators' commands, lost replies, crashes and pauses.

Operators replay, hold, release, cancel and hurry messages, and change flows.

Three workers, two flows, three conversations that may move from one flow to the other, a real Valkey, whose clock is
set now and then. Time passes by putting the two clocks of the lanes forward, which is all that the protocol knows.
After each step the invariants hold; at the end everything is drained.
"""

import json
import time
from dataclasses import dataclass, field, replace
from typing import Any

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, precondition, rule

from router.flow.flex_flow import FlexFlow, Integration
from router.store.client import Client
from router.store.flows import FlowStore
from router.store.keys import AccountKeys
from router.store.lanes import LOST_LIMIT, Acceptance, Lanes, Lease, Outcome, Room, Settlement, Written, new_token
from tests import clock
from tests.valkey import ValkeyServer

ACCOUNT = "AC" + "0" * 30 + "07"
KEYS = AccountKeys(ACCOUNT)
LANES = ("a" * 24, "b" * 24, "c" * 24)
FLOWS = ("FO" + "1" * 32, "FO" + "2" * 32)
TARGETS = ("https://one.example", "https://two.example", "https://three.example")
LEASE_SECONDS = 30.0
MARGIN_SECONDS = 8.0
# How often the store's clock may be set within a lease: each time takes 2 s of the margin at most.
STEPS = 3
# Reads all that the invariants need in one call: they are checked after each of thousands of steps.
_LOOK = """
local seen = {due = {}, lanes = {}, messages = {}}
local function look(sid)
  local key = ARGV[1] .. sid
  local values = redis.call('HMGET', key, 'state', 'lease', 'flow')
  seen.messages[sid] = {state = values[1], lease = values[2], flow = values[3], ttl = redis.call('TTL', key)}
end
local given = cjson.decode(ARGV[2])
for _, flow in ipairs(given.flows) do
  seen.due[flow] = redis.call('ZRANGE', given.due .. flow, 0, -1, 'WITHSCORES')
end
for _, lane in ipairs(given.lanes) do
  seen.lanes[lane] = redis.call('LRANGE', given.lane .. lane, 0, -1)
  for place, id in ipairs(seen.lanes[lane]) do
    seen.lanes[lane][place] = string.match(id, ':(.*)')
    look(seen.lanes[lane][place])
  end
end
for _, sid in ipairs(given.held) do look(sid) end
seen.index = redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')
seen.leases = redis.call('ZRANGE', KEYS[2], 0, -1)
seen.held = redis.call('ZCARD', KEYS[3])
seen.queued = tonumber(redis.call('HGET', KEYS[4], given.account) or 0)
seen.clock = redis.call('GET', given.clock)
return cjson.encode(seen)
"""


@dataclass
class Holder:
    """A worker's lease: when it was granted, in the model's time, and what the worker has done with it."""

    lease: Lease
    granted: float
    sent: bool = False
    ended: bool = False


@dataclass
class Model:
    """What must be true: the order of each lane, and which messages are done."""

    order: dict[str, list[str]] = field(default_factory=lambda: {lane: [] for lane in LANES})
    done: set[str] = field(default_factory=set)
    delivered: set[str] = field(default_factory=set)
    doubted: dict[str, str] = field(default_factory=dict)  # messages in doubt, and their lanes
    held: dict[str, str] = field(default_factory=dict)  # messages that are held, and their lanes
    unconfirmed: dict[str, float] = field(default_factory=dict)  # accepted without a lease, not confirmed, and when
    sends: int = 0


class LaneMachine(RuleBasedStateMachine):
    """Workers that do anything at any time, and lose replies."""

    server: ValkeyServer
    holders = Bundle("holders")

    @initialize()
    def begin(self) -> None:
        """Start with an empty store."""
        self.server.flush()
        self.client = Client(self.server.url)
        self.lanes = Lanes(
            self.client,
            lease_seconds=LEASE_SECONDS,
            delivered_seconds=3600,
            retention_seconds=7 * 86400,
            sticky_seconds=3600,
        )
        self.lanes.confirms = True
        self.model = Model()
        self.flow_store = FlowStore(self.client)
        self.flows = {
            sid: FlexFlow(
                sid=sid,
                account_sid=ACCOUNT,
                friendly_name="a test",
                chat_service_sid="IS" + "1" * 32,
                channel_type="sms",
                contact_identity=f"+1555000000{place}",
                integration=Integration("external", url=f"{TARGETS[place]}/hook"),
            )
            for place, sid in enumerate(FLOWS)
        }
        self.flow_store.put_all([(flow, None) for flow in self.flows.values()])
        self.now = 0.0
        self.began = time.monotonic()
        self.steps: list[float] = []  # when the store's clock was set, in the model's time
        self.set = 0.0  # and by how much in all, in ms
        self.lanes.claim("07", Room(0))  # a new process takes the store's clock as it is
        self.clocks = self.first = clock.read(self.client.call, "07")[:2]
        self.count = 0

    def teardown(self) -> None:
        """Resume, release and deliver everything: every message ends, in order, and no key of a lane is left."""
        if not hasattr(self, "model"):
            return
        for sid in FLOWS:
            self._write(sid, paused=False)
        for sid in list(self.model.held):
            self._release(sid)
        for _ in range(10_000):
            if not self.client.call("EXISTS", KEYS.due, KEYS.leases):
                break
            self.now += LEASE_SECONDS + 1
            clock.pass_time(self.client.call, "07", LEASE_SECONDS + 1)
            leases = self.lanes.claim("07", Room(10)).leases
            self._reconcile()
            for lease in leases:
                self._send(Holder(lease, self.now))
                self.lanes.settle(lease, Settlement("delivered"), next_token="")
                self._finish(lease.message_sid, delivered=True)
            self._reconcile()
        assert not any(self.client.call("EXISTS", KEYS.lanes + lane) for lane in LANES)
        assert {sid for order in self.model.order.values() for sid in order} <= self.model.done
        self.client.close()

    @rule(
        target=holders,
        lane=st.sampled_from(LANES),
        flow=st.sampled_from(FLOWS),
        lease=st.booleans(),
        lost=st.booleans(),
        then=st.sampled_from(["confirmed", "confirmed", "doubted", "vanished"]),
        again=st.booleans(),
    )
    def accept(self, lane: str, flow: str, lease: bool, lost: bool, then: str, again: bool) -> Any:  # noqa: PLR0913, PLR0917
        """A message arrives, or one in doubt again; when the reply is lost, the call is repeated with its token.

        The replicas confirm it, or do not, or the process vanishes before it writes either.
        """
        if again and self.model.doubted:
            sid, lane = self.model.doubted.popitem()
        else:
            self.count += 1
            sid = f"SM{self.count:032x}"
        token = new_token()
        lease = lease and not self.flows[flow].paused

        def call() -> Acceptance:
            return self.lanes.accept(
                token=token, account_sid=ACCOUNT, message_sid=sid, lane=lane, disposition="queue", lease=lease,
                versions=(), facts={"raw": b"body", "flow": flow},
            )  # fmt: skip

        acceptance = call()
        self.model.order[lane].append(sid)
        if lost:
            assert call() == acceptance
        written = Written(token, ACCOUNT, sid, lane)
        if then == "doubted":
            assert self.lanes.doubt(written, "in doubt") == "doubt"
            assert self.lanes.doubt(written, "in doubt") == "stale"
            self.model.order[lane].remove(sid)
            self.model.doubted[sid] = lane
            return multiple()
        if acceptance.kind == "accepted":
            self.model.unconfirmed[sid] = self.now
            if then == "confirmed":
                self.lanes.confirm(written)
                del self.model.unconfirmed[sid]
        other = self.lanes.accept(
            token=new_token(), account_sid=ACCOUNT, message_sid=sid, lane=lane, disposition="queue", lease=lease,
            versions=(), facts={"raw": b"other"},
        )  # fmt: skip
        assert other.kind == "duplicate"
        if acceptance.kind != "leased":
            return multiple()
        return Holder(self._lease(sid, lane, token), self.now)

    @rule(
        target=holders,
        limit=st.integers(0, 3),
        share=st.integers(1, 2),
        shut=st.sets(st.sampled_from(TARGETS), max_size=2),
        place=st.integers(0, 1),
        lost=st.booleans(),
    )
    def claim(self, limit: int, share: int, shut: set[str], place: int, lost: bool) -> Any:
        """A sweeper claims, for the targets that it can serve; a claim whose reply is lost is not repeated."""
        leases = self.lanes.claim("07", Room(limit, share, shut=shut), place=place).leases
        self._reconcile()
        assert len(leases) <= limit
        targets = [self.flows[lease.flow_sid].target for lease in leases]
        assert not any(self.flows[lease.flow_sid].paused for lease in leases)
        assert shut.isdisjoint(targets)
        assert all(targets.count(target) <= share for target in targets)
        return multiple() if lost else multiple(*[Holder(lease, self.now) for lease in leases])

    @rule(flow=st.sampled_from(FLOWS), to=st.sampled_from(TARGETS), paused=st.booleans())
    def change(self, flow: str, to: str, paused: bool) -> None:
        """The operator changes a flow, while lanes wait for it."""
        self._write(flow, paused=paused, integration=Integration("external", url=f"{to}/hook"))

    @rule(holder=holders)
    def send(self, holder: Holder) -> None:
        """A worker sends what it holds, once, unless too little of the lease is left."""
        if not holder.sent and not holder.ended and self.now - holder.granted < LEASE_SECONDS - MARGIN_SECONDS:
            self._send(holder)

    @rule(
        target=holders,
        holder=holders,
        outcome=st.sampled_from(["delivered", "undelivered", "retry", "release"]),
        hand_over=st.booleans(),
        lost=st.booleans(),
    )
    def settle(self, holder: Holder, outcome: Outcome, hand_over: bool, lost: bool) -> Any:
        """A worker settles, perhaps long after its lease; a lost reply is asked for again and is the same."""
        if holder.ended:
            return multiple()
        holder.ended = True
        if not holder.sent:
            outcome = "release"
        elif outcome == "release":
            outcome = "retry"
        next_token = new_token() if hand_over else ""
        settlement = Settlement(outcome, delay=5.0)
        kind, following = self.lanes.settle(holder.lease, settlement, next_token=next_token)
        if lost:
            again, repeated = self.lanes.settle(holder.lease, settlement, next_token=next_token)
            if kind in ("next", "done"):
                assert again in (kind, "done")
                assert (repeated and repeated.id) == (following and following.id)
        if kind in ("next", "done") and outcome in ("delivered", "undelivered"):
            self._finish(holder.lease.message_sid, delivered=outcome == "delivered")
        if kind == "late":
            self.model.delivered.add(holder.lease.message_sid)
            if lane := self.model.held.pop(holder.lease.message_sid, ""):
                self.model.order[lane].append(holder.lease.message_sid)
        self._reconcile()
        if following is None:
            return multiple()
        assert not self.flows[following.flow_sid].paused
        return Holder(following, self.now)

    @rule(seconds=st.sampled_from([0.5, 5.0, 15.0, 35.0]))
    def pass_time(self, seconds: float) -> None:
        """Time passes; leases and retries come due. A worker that never acts again has crashed."""
        self.now += seconds
        clock.pass_time(self.client.call, "07", seconds)

    @precondition(lambda self: len([at for at in self.steps if self.now - at < LEASE_SECONDS]) < STEPS)
    @rule(seconds=st.sampled_from([0.5, -0.5, 3.0, -3.0, 600.0, -600.0, 86_400.0, -86_400.0]))
    def set_the_stores_clock(self, seconds: float) -> None:
        """Set the store's clock: waiting messages and leases may shift by 2 s at most."""
        self.steps.append(self.now)
        self.set += 1000 * seconds
        clock.step(self.client.call, "07", seconds)

    @precondition(lambda self: self.model.done)
    @rule(data=st.data())
    def replay(self, data: st.DataObject) -> None:
        """An operator sends a message that is done again, perhaps to another flow: it goes to the tail."""
        sid = data.draw(st.sampled_from(sorted(self.model.done)))
        lane = next(lane for lane, order in self.model.order.items() if sid in order)
        assert self.lanes.replay(ACCOUNT, sid, lane, data.draw(st.sampled_from(("", *FLOWS)))) == "queued"
        assert self.lanes.replay(ACCOUNT, sid, lane) == "busy"
        self.model.done.discard(sid)
        self.model.order[lane].remove(sid)
        self.model.order[lane].append(sid)

    @precondition(lambda self: self._known())
    @rule(data=st.data())
    def hold(self, data: st.DataObject) -> None:
        """An operator holds a message: its conversation goes on without it, unless it is being sent just now."""
        lane, sid = self._draw(data)
        expected = self._stoppable(sid, "held")
        held = self.lanes.hold(ACCOUNT, sid, lane)
        assert held in expected
        if held == "held":
            assert self.lanes.hold(ACCOUNT, sid, lane) == "held"
            if sid in self.model.order[lane]:
                self.model.order[lane].remove(sid)
                self.model.held[sid] = lane

    @precondition(lambda self: self.model.held)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        """An operator releases a held message: it goes to the tail."""
        self._release(data.draw(st.sampled_from(sorted(self.model.held))))

    @precondition(lambda self: self._known())
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        """An operator gives a message up that is queued or held."""
        lane, sid = self._draw(data)
        expected = self._stoppable(sid, "cancelled")
        cancelled = self.lanes.cancel(ACCOUNT, sid, lane, "cancelled")
        assert cancelled in expected
        if cancelled == "cancelled":
            assert self.lanes.cancel(ACCOUNT, sid, lane, "cancelled") == "done"
            if self.model.held.pop(sid, ""):
                self.model.order[lane].append(sid)
            self._finish(sid, delivered=False)

    @rule(lane=st.sampled_from(LANES), back=st.sampled_from(("", *TARGETS)))
    def hurry(self, lane: str, back: str) -> None:
        """An operator hurries a conversation, or a recovered target hurries its own: their heads are due now."""
        if back:
            self.lanes.hurry_target("07", ACCOUNT, back)
            lanes = [each for each in LANES if (head := self._head(each)) and self._target(head) == back]
        else:
            self.lanes.hurry(ACCOUNT, self.model.order[lane][0] if self.model.order[lane] else "", lane)
            lanes = [lane]
        _, due, written = clock.read(self.client.call, "07")
        seconds, micros = self.client.call("TIME")
        now = due + max(0.0, 1000 * int(seconds) + int(micros) / 1000 - written)
        for each in lanes:
            head = self._head(each)
            if head and self._stored(head, "state") == b"queued" and not self._stored(head, "unconfirmed"):
                flow = (self._stored(head, "flow") or b"").decode()
                assert float(self.client.call("ZSCORE", f"{KEYS.due}:{ACCOUNT}:{flow}", each)) <= now

    @invariant()
    def the_store_agrees_with_the_model(self) -> None:
        """Lanes and due sets agree with each other and with the model, and the clocks follow the time."""
        if hasattr(self, "model"):
            seen = self._look()
            self._lanes_and_due_agree(seen)
            self._clocks_follow_the_time(seen["clock"])

    def _lanes_and_due_agree(self, seen: dict[str, Any]) -> None:
        """A lane that is not empty is in one set, its head's; it has the messages not done; only its head is leased."""
        assert seen["queued"] == sum(map(len, seen["lanes"].values())) + len(self.model.held)
        assert seen["held"] == len(self.model.held)
        for sid in self.model.held:
            assert (seen["messages"][sid]["state"], seen["messages"][sid]["lease"]) == ("held", False)
        assert all(message["ttl"] == -1 for message in seen["messages"].values())
        due = self._due(seen)
        for lane in LANES:
            ids = list(seen["lanes"][lane])
            assert ids == [sid for sid in self.model.order[lane] if sid not in self.model.done]
            messages = [seen["messages"][sid] for sid in ids]
            assert all((message["state"] == "sending") == (message["lease"] is not False) for message in messages)
            assert not any(message["lease"] for message in messages[1:])
            waits_for = [flow for flow, lanes in due.items() if lane in lanes]
            sending = bool(messages) and messages[0]["lease"] is not False
            assert (lane in seen["leases"]) == sending
            head = messages[0]["flow"] if messages else False
            assert waits_for == ([] if sending or head is False else [head])

    def _clocks_follow_the_time(self, written: str) -> None:
        """Neither clock of the lanes goes back, nor faster than time but for 2 s each time that TIME is set."""
        before, (lease, due, _) = self.clocks, clock.parse(written)
        self.clocks = (lease, due + self.set)
        assert min(now - then for now, then in zip(self.clocks, before, strict=True)) > -0.01
        most = 1000 * (self.now + time.monotonic() - self.began) + 2000 * len(self.steps)
        assert self.clocks[0] - self.first[0] <= most + 5
        assert self.clocks[1] - self.first[1] <= 1.1 * most + 5

    def _look(self) -> dict[str, Any]:
        """Read the clocks, lanes, due sets, leases and all messages not done; an empty list may be read as {}."""
        given = {"account": ACCOUNT, "flows": FLOWS, "lanes": LANES, "held": list(self.model.held)}
        given |= {"due": f"{KEYS.due}:{ACCOUNT}:", "lane": KEYS.lanes, "clock": clock.key("07")}
        keys = (KEYS.due, KEYS.leases, KEYS.held, KEYS.queued)
        words = (f"{KEYS.messages}{ACCOUNT}:", json.dumps(given))
        seen: dict[str, Any] = json.loads(self.client.call("EVAL", _LOOK, len(keys), *keys, *words))
        return seen

    def _due(self, seen: dict[str, Any]) -> dict[str, set[str]]:
        """Return the lanes of each due set; check that the index has the sets that exist, with their earliest times."""
        found = {flow: list(seen["due"][flow]) for flow in FLOWS}
        index = [(f"{ACCOUNT}:{flow}", float(lanes[1])) for flow, lanes in found.items() if lanes]
        written = list(seen["index"])
        assert sorted(zip(written[::2], map(float, written[1::2]), strict=True)) == index
        return {flow: set(lanes[::2]) for flow, lanes in found.items()}

    def _draw(self, data: st.DataObject) -> tuple[str, str]:
        """Choose any message, and return its lane with it."""
        return data.draw(st.sampled_from(sorted(self._known())))

    def _known(self) -> list[tuple[str, str]]:
        """Return all messages, each with its lane."""
        known = [(lane, sid) for lane, order in self.model.order.items() for sid in order]
        return known + [(lane, sid) for sid, lane in self.model.held.items()]

    def _release(self, sid: str) -> None:
        lane = self.model.held.pop(sid)
        before = len([each for each in self.model.order[lane] if each not in self.model.done])
        assert self.lanes.release(ACCOUNT, sid, lane) == ("released", before)
        assert self.lanes.release(ACCOUNT, sid, lane) == ("other", 0)
        self.model.order[lane].append(sid)

    def _stoppable(self, sid: str, stopped: str) -> set[str]:
        """Return the replies that the store may give when an operator stops a message."""
        if sid in self.model.done:
            return {"done"}
        state, unconfirmed = self._stored(sid, "state"), self._stored(sid, "unconfirmed")
        # Whether the time for a confirmation is over depends on the store's clock.
        return {"busy"} if state == b"sending" else {stopped, "busy"} if unconfirmed else {stopped}

    def _head(self, lane: str) -> str:
        """Return the message that is a lane's head, "" where it is empty."""
        head = self.client.call("LINDEX", KEYS.lanes + lane, 0)
        return head.decode().partition(":")[2] if head else ""

    def _target(self, sid: str) -> str:
        return self.flows[(self._stored(sid, "flow") or b"").decode()].target

    def _write(self, sid: str, **changes: Any) -> None:
        changed = replace(self.flows[sid], **changes)
        self.flow_store.put(changed, replaces=self.flows[sid])
        self.flows[sid] = changed

    def _send(self, holder: Holder) -> None:
        sid = holder.lease.message_sid
        lane = next(lane for lane, order in self.model.order.items() if sid in order)
        if sid in self.model.done or self._stored(sid, "lease") != holder.lease.token.encode():
            # This holder's lease has ended, so it must be one that may not send any more (see `send`).
            assert self.now - holder.granted >= LEASE_SECONDS - MARGIN_SECONDS
            return
        before = self.model.order[lane][: self.model.order[lane].index(sid)]
        assert all(earlier in self.model.done for earlier in before), "sent before its predecessor was done"
        since = self.model.unconfirmed.pop(sid, -LEASE_SECONDS)
        # A tenth and a second for each step: that much the due clock may be ahead.
        assert 1.1 * (self.now - since) + STEPS >= LEASE_SECONDS, "sent although it may still be put in doubt"
        holder.sent = True
        self.model.sends += 1

    def _finish(self, sid: str, *, delivered: bool) -> None:
        self.model.done.add(sid)
        if delivered:
            self.model.delivered.add(sid)

    def _reconcile(self) -> None:
        """Update the model with what scripts decide: messages that lost too many holders, and late successes."""
        open_ = [sid for order in self.model.order.values() for sid in order if sid not in self.model.done]
        states = self.client.calls([("HGET", f"{KEYS.messages}{ACCOUNT}:{sid}", "state") for sid in open_])
        for sid, state in zip(open_, states, strict=True):
            if state in (b"delivered", b"undelivered"):
                given_up = state == b"undelivered"
                assert sid in self.model.delivered or (given_up and f"{LOST_LIMIT} times" in self._error(sid))
                self._finish(sid, delivered=not given_up)

    def _stored(self, sid: str, name: str) -> bytes | None:
        value: bytes | None = self.client.call("HGET", f"{KEYS.messages}{ACCOUNT}:{sid}", name)
        return value

    def _error(self, sid: str) -> str:
        return (self._stored(sid, "error") or b"").decode()

    def _lease(self, sid: str, lane: str, token: str) -> Lease:
        return Lease(
            token=token, expires=0.0, account_sid=ACCOUNT, message_sid=sid, lane=lane, raw=b"body", flow_sid="",
            flow=None, age=0.0, attempts=1, failures=0, refusals=0, round=0, answered=False,
        )  # fmt: skip


def test_a_lane_is_a_queue_under_any_interleaving(valkey: ValkeyServer) -> None:
    """Nothing is lost, nothing overtakes its predecessor, and every repeated call gives the first call's answer."""

    class Machine(LaneMachine):
        server = valkey

    case = Machine.TestCase
    case.settings = settings(max_examples=120, stateful_step_count=50, deadline=None)
    case().runTest()
