"""A store that hangs, is dead or full, or lacks its replica: 503 in time, no 200 without safety, and recovery."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.e2e.world import Gate, World, arrived
from tests.integrations.target import Target, answer
from tests.ports import free_port
from tests.valkey import ValkeyServer
from tests.waiting import wait_until

# Seconds. Twilio calls the fallback URL after a 503, and only while there is time left: DESIGN 3.
REFUSED_WITHIN = 2.5


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A router over a store that each test leaves running, with room and without queued messages."""
    valkey = ValkeyServer()
    world = World(tmp_path_factory.mktemp("world"), valkey, ROUTER_LEASE_SECONDS="14")
    yield world
    world.close()
    valkey.close()


@pytest.fixture
def target() -> Iterator[Target]:
    """A target for this test alone."""
    with Target() as running:
        yield running


@pytest.mark.parametrize("warm", [True, False], ids=["warm", "cold"])
@pytest.mark.parametrize("how", ["paused", "killed"])
def test_without_its_store_the_webhook_is_503_in_time(world: World, target: Target, how: str, warm: bool) -> None:
    """Without its store 20 messages are 503 within 2.5 s; when it is back they are accepted and delivered once."""
    flow = world.flow(target.url("/hook"), response="accept")
    if warm:
        world.ends(world.text(flow).sid)
    messages = [world.fields(flow) for _ in range(20)]
    before = len(target.requests)
    world.valkey.pause() if how == "paused" else world.valkey.kill()
    try:
        with ThreadPoolExecutor(20) as pool:
            replies = list(pool.map(world.post, messages))
        ready = world.send("GET", "/readyz", b"", {})
        alive = world.send("GET", "/healthz", b"", {})
    finally:
        world.valkey.resume() if how == "paused" else world.valkey.start()
    assert {reply.status for reply in replies} == {503}
    assert max(reply.seconds for reply in replies) < REFUSED_WITHIN
    assert (ready.status, ready.json["ready"], alive.status) == (503, False, 200)
    if how == "killed":
        assert len(target.requests) == before, "a refused message was delivered"
    wait_until(lambda: world.text(flow).status == 200, what="messages are taken again", within=3)
    for fields in messages:
        assert world.post(fields | {"ErrorCode": "11200"}).status == 200
    world.pass_time(14)  # the paused store accepted messages after their webhooks had ended: their leases must expire
    for fields in messages:
        assert world.ends(fields["MessageSid"])["status"] == "delivered"
    assert len(set(arrived(target))) == len(arrived(target)), "a message arrived twice"


def test_metrics_answer_without_the_store(world: World) -> None:
    """/metrics answers without the store, and router_store_up is then 0."""
    assert world.metric("router_store_up") == 1
    world.valkey.pause()
    try:
        reply = world.send("GET", "/metrics", b"", {})
    finally:
        world.valkey.resume()
    assert b"router_store_up 0.0" in reply.body
    assert b"router_webhooks_total" in reply.body
    assert reply.seconds < REFUSED_WITHIN


def test_an_attempt_outlives_the_store(world: World, target: Target) -> None:
    """A message whose store died during its attempt is settled when the store is back, and sent only once."""
    target.script["/hook"] = gate = Gate(answer())
    reply = world.text(world.flow(target.url("/hook"), response="accept"))
    gate.wait_for(1)
    world.valkey.kill()
    try:
        gate.open()
        wait_until(lambda: gate.inside == 0, what="the target has answered")
        assert world.text(world.address()).status == 503  # by now the settle has been tried and has failed
    finally:
        world.valkey.start()
    assert world.ends(reply.sid)["attempts"] == 1
    assert arrived(target) == [reply.sid]


def test_a_full_store_refuses_messages_and_delivers_accepted_ones(world: World, target: Target) -> None:
    """With a full store new messages are 503, and accepted ones are delivered in order."""
    target.script["/hook"] = gate = Gate(answer())
    flow, theirs = world.flow(target.url("/hook"), response="accept"), world.address()
    taken = [world.text(flow, theirs).sid for _ in range(5)]
    others = [world.text(flow).sid for _ in range(3)]
    gate.wait_for(4)
    assert world.valkey.command("CONFIG SET maxmemory 1") == "+OK"
    try:
        refused = world.text(flow, theirs)
        assert refused.status == 503
        assert refused.seconds < REFUSED_WITHIN
        gate.open()
        for sid in (*taken, *others):
            assert world.ends(sid)["status"] == "delivered"
        assert [sid for sid in arrived(target) if sid in taken] == taken
        assert world.text(flow, theirs).status == 503
    finally:
        world.valkey.command("CONFIG SET maxmemory 0")
    assert world.text(flow, theirs).status == 200


def test_with_a_full_store_waiting_messages_are_still_settled(world: World, target: Target) -> None:
    """With a full store the sweeper still settles waiting messages, and lists can be read."""
    target.script["/hook"] = gate = Gate(answer(404))
    flow = world.flow(target.url("/hook"), paused=True)
    sids = [world.text(flow).sid for _ in range(3)]
    gate.open()
    world.valkey.command("CONFIG SET maxmemory 1")
    try:
        assert world.rest("GET", "/v1/Deliveries?Status=queued").status == 200
        world.valkey.command("CONFIG SET maxmemory 0")
        world.change(flow, paused=False)
        world.valkey.command("CONFIG SET maxmemory 1")
        assert {world.ends(sid)["status"] for sid in sids} == {"undelivered"}
    finally:
        world.valkey.command("CONFIG SET maxmemory 0")


@pytest.mark.parametrize(
    ("name", "bad", "good", "ready"),
    [
        ("maxmemory-policy", "allkeys-lru", "noeviction", 503),
        ("maxmemory-policy", "volatile-ttl", "noeviction", 503),
        ("appendfsync", "everysec", "always", 200),
    ],
)
def test_readyz_reports_a_store_that_may_lose_messages(
    world: World, name: str, bad: str, good: str, ready: int
) -> None:
    """/readyz is 503 for an evicting store and 200 with appendfsync everysec, with the setting to change."""
    world.valkey.command(f"CONFIG SET {name} {bad}")
    try:
        reply = world.send("GET", "/readyz", b"", {})
    finally:
        world.valkey.command(f"CONFIG SET {name} {good}")
    assert (reply.status, reply.json["ready"]) == (ready, ready == 200)
    finding = reply.json["store"][name]
    assert (finding["value"], finding["good"]) == (bad, False)
    assert name in finding["advice"]
    assert world.send("GET", "/readyz", b"", {}).json == {"ready": True} | {
        "store": reply.json["store"] | {name: {"value": good, "good": True}}
    }


def test_without_its_replica_messages_are_503_and_not_delivered(
    tmp_path: Path, spare_valkey: Callable[..., ValkeyServer], target: Target
) -> None:
    """With redis_replicas = 1 and no replica, messages are 503 and not delivered until one is connected."""
    port = str(free_port())
    valkey = spare_valkey(port=port, bind="127.0.0.1", repl_diskless_sync_delay="0", repl_timeout="5")
    world = World(tmp_path, valkey, config="redis_replicas = 1", ROUTER_LEASE_SECONDS="14")
    try:
        flow = world.flow(target.url("/hook"), response="accept")
        fields = world.fields(flow)
        refused = world.post(fields)
        ready = world.send("GET", "/readyz", b"", {})
        assert refused.status == 503
        assert refused.seconds < REFUSED_WITHIN
        assert ready.status == 503
        assert ready.json["store"]["replicas"]["value"] == "0 connected, 1 must confirm a message"
        assert "ROUTER_REDIS_REPLICAS" in ready.json["store"]["replicas"]["advice"]
        world.pass_time(14)
        before = world.scripts()
        wait_until(lambda: world.scripts() > before + 2, what="the sweeper has looked")
        delivery = world.delivery(fields["MessageSid"])
        assert (delivery["status"], delivery["in_doubt"]) == ("undelivered", True)
        assert "Twilio was answered 503" in delivery["error"]
        assert target.requests == [], "a refused message was delivered"
        another = world.text(flow)
        assert another.status == 503
        assert not world.kept(another.sid), "without its replica nothing may be written"
        replica = spare_valkey()
        assert replica.command(f"REPLICAOF 127.0.0.1 {port}") == "+OK"
        wait_until(lambda: world.send("GET", "/readyz", b"", {}).status == 200, what="a replica is connected")
        wait_until(lambda: world.post(fields).status == 200, what="messages are taken")
        delivery = world.ends(fields["MessageSid"])
        assert (delivery["status"], delivery["in_doubt"]) == ("delivered", False)
        assert arrived(target) == [fields["MessageSid"]]
        paused = world.flow(target.url("/waiting"), response="accept", paused=True)
        theirs = world.address()
        sids = [world.text(paused, theirs).sid for _ in range(3)]
        replica.kill()
        wait_until(lambda: world.text(flow).status == 503, what="nothing is taken again", within=5)
        world.change(paused, paused=False)
        # Accepted messages are still delivered: a replica confirmed their acceptance, and need not confirm the outcome.
        wait_until(lambda: arrived(target, "/waiting") == sids, what="what waits is delivered", within=5)
    finally:
        world.close()
