"""The lanes under any interleaving of accept, claim, settle, replay, lost replies, crashes and pauses.

Three workers, two conversations, a real Valkey. Time passes by making everything due earlier by as much, which is all
that the protocol knows of time. After each step the invariants hold; at the end everything is drained.
"""

from dataclasses import dataclass, field
from typing import Any

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, precondition, rule

from router.store.client import Client
from router.store.keys import AccountKeys
from router.store.lanes import LOST_LIMIT, Acceptance, Lanes, Lease, Outcome, Settlement, new_token
from tests.valkey import ValkeyServer

ACCOUNT = "AC" + "0" * 31 + "7"
KEYS = AccountKeys(ACCOUNT)
LANES = ("a" * 24, "b" * 24)
LEASE_SECONDS = 30.0
MARGIN_SECONDS = 8.0


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
        self.model = Model()
        self.now = 0.0
        self.count = 0

    def teardown(self) -> None:
        """Heal everything and drain: every message ends, in order, and no key of a lane is left."""
        if not hasattr(self, "model"):
            return
        for _ in range(10_000):
            if not self.client.call("ZCARD", KEYS.due):
                break
            self._pass(LEASE_SECONDS + 1)
            leases, _ = self.lanes.claim("7", 10, ())
            self._reconcile()
            for lease in leases:
                self._send(Holder(lease, self.now))
                self.lanes.settle(lease, Settlement("delivered"), next_token="")
                self._finish(lease.message_sid, delivered=True)
            self._reconcile()
        assert not any(self.client.call("EXISTS", KEYS.lanes + lane) for lane in LANES)
        assert {sid for order in self.model.order.values() for sid in order} <= self.model.done
        self.client.close()

    @rule(target=holders, lane=st.sampled_from(LANES), lease=st.booleans(), lost=st.booleans())
    def accept(self, lane: str, lease: bool, lost: bool) -> Any:
        """A message arrives; when the reply is lost the call is repeated with its token."""
        self.count += 1
        sid = f"SM{self.count:032x}"
        token = new_token()

        def call() -> Acceptance:
            return self.lanes.accept(
                token=token, account_sid=ACCOUNT, message_sid=sid, lane=lane, disposition="queue", lease=lease,
                versions=(), facts={"raw": b"body", "flow": "FO" + "1" * 32},
            )  # fmt: skip

        acceptance = call()
        self.model.order[lane].append(sid)
        if lost:
            assert call() == acceptance
        other = self.lanes.accept(
            token=new_token(), account_sid=ACCOUNT, message_sid=sid, lane=lane, disposition="queue", lease=lease,
            versions=(), facts={"raw": b"other"},
        )  # fmt: skip
        assert other.kind == "duplicate"
        if acceptance.kind != "leased":
            return multiple()
        return Holder(self._lease(sid, lane, token), self.now)

    @rule(target=holders, limit=st.integers(1, 3), lost=st.booleans())
    def claim(self, limit: int, lost: bool) -> Any:
        """A sweeper claims; a claim whose reply is lost is not repeated."""
        leases, _ = self.lanes.claim("7", limit, ())
        self._reconcile()
        return multiple() if lost else multiple(*[Holder(lease, self.now) for lease in leases])

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
        self._reconcile()
        return multiple() if following is None else Holder(following, self.now)

    @rule(seconds=st.sampled_from([0.5, 5.0, 15.0, 35.0]))
    def pass_time(self, seconds: float) -> None:
        """Time passes; leases and retries come due. A worker that never acts again has crashed."""
        self._pass(seconds)

    @precondition(lambda self: self.model.done)
    @rule(data=st.data())
    def replay(self, data: st.DataObject) -> None:
        """An operator sends a message that is done again: it goes to the tail."""
        sid = data.draw(st.sampled_from(sorted(self.model.done)))
        lane = next(lane for lane, order in self.model.order.items() if sid in order)
        assert self.lanes.replay(ACCOUNT, sid, lane) == "queued"
        assert self.lanes.replay(ACCOUNT, sid, lane) == "busy"
        self.model.done.discard(sid)
        self.model.order[lane].remove(sid)
        self.model.order[lane].append(sid)

    @invariant()
    def lanes_and_due_agree(self) -> None:
        """A lane is due if and only if it is not empty, and holds what is not done; only its head is leased."""
        if not hasattr(self, "model"):
            return
        waiting = sum(self.client.call("LLEN", KEYS.lanes + lane) for lane in LANES)
        assert int(self.client.call("HGET", KEYS.queued, ACCOUNT) or 0) == waiting
        due = {lane.decode() for lane in self.client.call("ZRANGE", KEYS.due, 0, -1)}
        for lane in LANES:
            ids = [id_.decode().partition(":")[2] for id_ in self.client.call("LRANGE", KEYS.lanes + lane, 0, -1)]
            assert (lane in due) == bool(ids)
            assert ids == [sid for sid in self.model.order[lane] if sid not in self.model.done]
            for place, sid in enumerate(ids):
                state, lease = self.client.call("HMGET", f"{KEYS.messages}{ACCOUNT}:{sid}", "state", "lease")
                assert (state == b"sending") == (lease is not None)
                assert place == 0 or lease is None
                assert self.client.call("TTL", f"{KEYS.messages}{ACCOUNT}:{sid}") == -1

    def _send(self, holder: Holder) -> None:
        sid = holder.lease.message_sid
        lane = next(lane for lane, order in self.model.order.items() if sid in order)
        if sid in self.model.done or self._stored(sid, "lease") != holder.lease.token.encode():
            # Only a holder whose lease has ended can be here, and it may not send (see `send`).
            assert self.now - holder.granted >= LEASE_SECONDS - MARGIN_SECONDS
            return
        before = self.model.order[lane][: self.model.order[lane].index(sid)]
        assert all(earlier in self.model.done for earlier in before), "sent before its predecessor was done"
        holder.sent = True
        self.model.sends += 1

    def _finish(self, sid: str, *, delivered: bool) -> None:
        self.model.done.add(sid)
        if delivered:
            self.model.delivered.add(sid)

    def _reconcile(self) -> None:
        """Take over what the scripts may decide by themselves: burial of the lost, and late success."""
        for order in self.model.order.values():
            for sid in order:
                if sid not in self.model.done and self._stored(sid, "state") in (b"delivered", b"undelivered"):
                    buried = self._stored(sid, "state") == b"undelivered"
                    assert sid in self.model.delivered or (buried and f"{LOST_LIMIT} times" in self._error(sid))
                    self._finish(sid, delivered=not buried)

    def _stored(self, sid: str, name: str) -> bytes | None:
        value: bytes | None = self.client.call("HGET", f"{KEYS.messages}{ACCOUNT}:{sid}", name)
        return value

    def _error(self, sid: str) -> str:
        return (self._stored(sid, "error") or b"").decode()

    def _pass(self, seconds: float) -> None:
        self.now += seconds
        for lane in self.client.call("ZRANGE", KEYS.due, 0, -1):
            self.client.call("ZINCRBY", KEYS.due, -seconds * 1000, lane)

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
