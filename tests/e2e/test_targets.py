"""Targets that fail in many ways: the outcome of their messages, and that other messages are not affected."""

import datetime as dt
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from router.flow.flex_flow import Integration
from tests.e2e.world import Gate, World, arrived
from tests.integrations.target import Behaviour, Target, answer, close, drip, flood, hang, in_turn, reset, send
from tests.ports import free_port
from tests.valkey import ValkeyServer
from tests.waiting import wait_until

OK_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\n"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A router whose attempts end after 1 s, and which retries after 0.2 s, 0.5 s, and then every second."""
    valkey = ValkeyServer()
    world = World(tmp_path_factory.mktemp("world"), valkey)
    yield world
    world.close()
    valkey.close()


@pytest.fixture(scope="module")
def healthy(world: World) -> Iterator[Callable[[], None]]:
    """Return a check that a message to a healthy target is delivered within a second."""
    with Target() as target:
        flow = world.flow(target.url("/hook"), response="accept")

        def check() -> None:
            sid = world.text(flow).sid
            wait_until(lambda: sid in arrived(target), what="another conversation's message arrives", within=1)

        yield check


@pytest.fixture
def target() -> Iterator[Target]:
    """A target of the test's own, whose breaker no other test affects."""
    with Target() as running:
        yield running


def flow_to(world: World, url: str, *, count: int = 1, policy: tuple[str, ...] = (), **more: Any) -> Any:
    """Make a flow whose webhooks are answered at once, with `count` retries."""
    integration = Integration("external", url=url, retry_count=count, retry_policy=policy)
    return world.flow(integration=integration, response="accept", **more)


@pytest.mark.parametrize(
    ("behaviour", "state", "attempts", "why"),
    [
        pytest.param(answer(500), "undelivered", 2, "given up after 2 attempts", id="error"),
        pytest.param(answer(408), "undelivered", 2, "given up after 2 attempts", id="asks-again"),
        pytest.param(answer(404), "undelivered", 1, "answered 404; not repeated", id="not-found"),
        pytest.param(answer(403), "undelivered", 1, "answered 403; not repeated", id="forbidden"),
        pytest.param(answer(302, location="/elsewhere"), "undelivered", 1, "answered 302", id="moved"),
        pytest.param(hang, "undelivered", 2, "given up after 2 attempts", id="hangs"),
        pytest.param(drip(OK_HEAD, b"X: y\r\n"), "undelivered", 2, "given up after 2 attempts", id="drips-its-head"),
        pytest.param(close, "undelivered", 2, "given up after 2 attempts", id="hangs-up"),
        pytest.param(reset, "undelivered", 2, "given up after 2 attempts", id="resets"),
        pytest.param(send(b"\x00\xffSSH-2.0\r\n"), "undelivered", 2, "not HTTP", id="garbage"),
        pytest.param(drip(OK_HEAD + b"\r\n", b"x"), "delivered", 1, None, id="drips-its-body"),
        pytest.param(
            flood(OK_HEAD + b"Content-Length: %d\r\n\r\n" % 2**30, 2**30), "delivered", 1, None, id="a-gigabyte"
        ),
        pytest.param(flood(OK_HEAD + b"\r\n", 2**30), "delivered", 1, None, id="a-gigabyte-unannounced"),
        pytest.param(in_turn(answer(503), answer(429), answer()), "delivered", 3, None, id="refuses-twice"),
        pytest.param(in_turn(answer(500), answer()), "delivered", 2, None, id="fails-once"),
    ],
)
def test_the_outcome_follows_from_the_targets_behaviour(  # noqa: PLR0913, PLR0917 - one row of the table
    world: World,
    target: Target,
    healthy: Callable[[], None],
    behaviour: Behaviour,
    state: str,
    attempts: int,
    why: str | None,
) -> None:
    """Each behaviour of a target leads to its state, attempts and reason, and then the next message is delivered."""
    target.script["/bad"] = behaviour
    flow, theirs = flow_to(world, target.url("/bad")), world.address()
    first = world.text(flow, theirs).sid
    healthy()
    delivery = world.ends(first)
    assert (delivery["status"], delivery["attempts"]) == (state, attempts)
    assert (why in delivery["error"]) if why else delivery["error"] is None
    assert len(delivery["history"]) == attempts
    target.script["/bad"] = answer()
    second = world.text(flow, theirs).sid
    assert world.ends(second)["status"] == "delivered"
    assert arrived(target) == [first] * attempts + [second]
    assert [request.header("X-Router-Attempt") for request in target.requests] == [
        *[str(n + 1) for n in range(attempts)],
        "1",
    ]


def test_an_unknown_outcome_is_not_repeated_unless_the_flow_allows_it(world: World, target: Target) -> None:
    """Without `rt` in its RetryPolicy a message that may have been processed is not sent again."""
    target.script["/bad"] = close
    sid = world.text(flow_to(world, target.url("/bad"), policy=("ct", "5xx"))).sid
    delivery = world.ends(sid)
    assert (delivery["status"], delivery["attempts"]) == ("undelivered", 1)
    assert "no answer, it may have been processed" in delivery["error"]


@pytest.mark.parametrize(
    ("url", "why"),
    [
        pytest.param("http://127.0.0.1:{port}/hook", "cannot be connected to", id="dead"),
        pytest.param("https://127.0.0.1:{target}/hook", "did not complete TLS", id="no-tls"),
        pytest.param("http://10.255.255.1/hook", "private network", id="private"),
        pytest.param("http://169.254.169.254/latest/meta-data", "private network", id="metadata"),
        pytest.param("http://[::1]:{target}/hook", "private network", id="loopback-by-ipv6"),
        pytest.param("http://localhost.invalid/hook", "cannot be resolved", id="no-name"),
        pytest.param("http://127.0.0.1:{router}/webhooks/sms", "is the router itself", id="itself"),
        pytest.param("https://router.example.com/webhooks/sms", "is the router itself", id="its-public-self"),
    ],
)
def test_a_message_that_was_never_sent_counts_no_retry(
    world: World, target: Target, healthy: Callable[[], None], url: str, why: str
) -> None:
    """A message that cannot be sent is tried again although RetryCount is 0, and waits until its flow is deleted."""
    ports = {"port": free_port(), "target": target.port, "router": world.services[0].port}
    flow = flow_to(world, url.format(**ports), count=0)
    sid = world.text(flow).sid
    healthy()

    def tried_twice() -> bool:
        return len(world.delivery(sid)["history"]) >= 2

    wait_until(tried_twice, what="it is tried again")
    delivery = world.delivery(sid)
    assert delivery["status"] in ("queued", "sending")
    assert why in delivery["error"]
    assert target.requests == []
    with world.flows() as flows:
        flows.delete(flow)
    assert world.ends(sid)["status"] == "unrouted"


def test_a_message_is_given_up_when_its_validity_ends(world: World) -> None:
    """A message that is refused for longer than its ValidityPeriod is undelivered, with that reason."""
    flow = flow_to(world, f"http://127.0.0.1:{free_port()}/hook", validity_period=1)
    delivery = world.ends(world.text(flow).sid, within=5)
    assert delivery["status"] == "undelivered"
    assert "ValidityPeriod" in delivery["error"]


def test_retry_after_is_respected(world: World, target: Target) -> None:
    """A target that sends Retry-After gets no attempt before that time."""
    target.script["/hook"] = in_turn(answer(503, retry_after="1"), answer())
    sid = world.text(flow_to(world, target.url("/hook"))).sid
    delivery = world.ends(sid)
    assert delivery["attempts"] == 2
    lines = wait_until(lambda: (found := world.log("attempt", message_sid=sid))[1:] and found, what="both are logged")
    first, second = (dt.datetime.fromisoformat(line["timestamp"]) for line in lines)
    assert (second - first).total_seconds() >= 0.9


def test_order_holds_through_retries(world: World, target: Target) -> None:
    """Messages behind one that fails wait for it; other conversations with the same target do not."""
    target.script["/hook"] = in_turn(answer(500), answer(500), answer())
    flow, theirs = flow_to(world, target.url("/hook"), count=5), world.address()
    sids = [world.text(flow, theirs).sid for _ in range(4)]
    wait_until(lambda: len(target.requests) >= 2, what="the first fails twice")
    other = world.text(flow).sid
    world.ends(other)
    for sid in sids:
        assert world.ends(sid)["status"] == "delivered"
    got = [sid for sid in arrived(target) if sid != other]
    assert got == [sids[0]] * 3 + sids[1:]
    assert arrived(target).index(other) < arrived(target).index(sids[1])


def test_a_breaker_opens_and_closes(world: World, target: Target, healthy: Callable[[], None]) -> None:
    """Five refusals in a row stop all messages but a probe every 5 s; one success ends that, and makes retries due."""
    before = world.metric("router_breakers_open")
    flow, busy = flow_to(world, target.url("/hook")), world.address()
    target.script["/hook"] = answer(503, Retry_After="100")
    later = world.text(flow).sid
    wait_until(lambda: world.delivery(later)["history"], what="it waits for its retry")
    target.script["/hook"] = answer(503)
    waiting = [later, world.text(flow, busy).sid, *[world.text(flow).sid for _ in range(4)]]
    wait_until(lambda: world.metric("router_breakers_open") == before + 1, what="the breaker opens")
    healthy()
    tried = len(target.requests)
    target.script["/hook"] = answer()
    with _talking(lambda: world.text(flow, busy)):
        wait_until(lambda: len(target.requests) > tried, what="a probe goes out", within=7)
        wait_until(lambda: world.metric("router_breakers_open") == before, what="the breaker closes", within=1)
    for sid in waiting:
        assert world.ends(sid, within=5)["status"] == "delivered"


@contextmanager
def _talking(say: Callable[[], object]) -> Iterator[None]:
    """Call a function twenty times a second while the block runs."""
    stop = threading.Event()

    def talk() -> None:
        while not stop.wait(0.05):
            say()

    thread = threading.Thread(target=talk)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def test_a_target_gets_a_quarter_of_the_slots(tmp_path: Path, valkey: ValkeyServer, target: Target) -> None:
    """A slow target gets two of eight deliveries at a time, and other targets do not wait."""
    target.script["/slow"] = gate = Gate(answer())
    world = World(tmp_path, valkey, ROUTER_DELIVERIES="8", ROUTER_LEASE_SECONDS="20")
    try:
        slow = world.flow(target.url("/slow"), response="accept")
        sids = [world.text(slow).sid for _ in range(6)]
        gate.wait_for(2)
        with Target() as other:
            quick = world.flow(other.url("/quick"), response="accept")
            for _ in range(3):
                assert world.ends(world.text(quick).sid, within=2)["status"] == "delivered"
        wait_until(lambda: world.metric("router_slots_in_use") == 2, what="the quick one's slot is given back")
        gate.open()
        for sid in sids:
            assert world.ends(sid)["status"] == "delivered"
        assert gate.most == 2
        assert sorted(arrived(target)) == sorted(sids)
        wait_until(lambda: world.metric("router_slots_in_use") == 0, what="no slot is in use", within=2)
    finally:
        world.close()


# -- flows that change while messages wait ----------------------------------------------------------------------------


def _let_sweep(world: World) -> None:
    """Wait until the sweeper has run; in an idle router only the sweeper calls scripts."""
    before = world.scripts()
    wait_until(lambda: world.scripts() > before + 1, what="the sweeper has run")


def test_messages_of_a_paused_flow_wait_and_go_out_in_order(world: World, target: Target) -> None:
    """Messages of a paused flow are accepted and wait; when it is resumed they go out in order."""
    flow, theirs = flow_to(world, target.url("/hook"), paused=True), world.address()
    sids = [world.text(flow, theirs).sid for _ in range(4)]
    assert {world.delivery(sid)["status"] for sid in sids} == {"queued"}
    _let_sweep(world)
    assert target.requests == []
    world.change(flow, paused=False)
    world.ends(sids[-1])
    assert arrived(target) == sids


def test_messages_of_a_flow_of_an_unknown_type_wait(world: World, target: Target) -> None:
    """Messages of a flow whose type only a newer version knows wait, and are delivered in order once it is changed."""
    flow, theirs = world.flow(integration=Integration("fax")), world.address()
    sids = [world.text(flow, theirs).sid for _ in range(2)]
    _let_sweep(world)
    assert {world.delivery(sid)["status"] for sid in sids} == {"queued"}
    world.change(flow, integration=Integration("external", url=target.url("/hook")))
    world.ends(sids[-1])
    assert arrived(target) == sids


def test_a_pause_does_not_count_for_the_validity_period(world: World, target: Target) -> None:
    """Messages that waited in a pause for longer than their ValidityPeriod are delivered."""
    flow, theirs = flow_to(world, target.url("/hook"), paused=True, validity_period=60), world.address()
    sids = [world.text(flow, theirs).sid for _ in range(3)]
    for sid in sids:
        world.call("HINCRBY", world.record(sid), "at", -3_600_000)
    _let_sweep(world)
    world.change(flow, paused=False)
    assert [world.ends(sid)["status"] for sid in sids] == ["delivered"] * 3
    assert arrived(target) == sids


def test_a_pause_holds_the_messages_behind_an_attempt(world: World, target: Target) -> None:
    """If a flow is paused during an attempt, the attempt is finished, and the next message waits for the resumption."""
    target.script["/hook"] = gate = Gate(answer())
    flow, theirs = flow_to(world, target.url("/hook")), world.address()
    first, second = world.text(flow, theirs).sid, world.text(flow, theirs).sid
    gate.wait_for(1)
    paused = world.change(flow, paused=True)
    gate.open()
    assert world.ends(first)["status"] == "delivered"
    _let_sweep(world)
    assert arrived(target) == [first]
    world.change(paused, paused=False)
    assert world.ends(second)["status"] == "delivered"


@pytest.mark.parametrize("how", ["deleted", "disabled"])
def test_messages_of_a_deleted_or_disabled_flow_are_unrouted(world: World, target: Target, how: str) -> None:
    """Messages that waited for a flow which was deleted or disabled are kept as `unrouted`, with the reason."""
    flow, theirs = flow_to(world, target.url("/hook"), paused=True), world.address()
    sids = [world.text(flow, theirs).sid for _ in range(2)]
    if how == "disabled":
        world.change(flow, enabled=False, paused=False)
    else:
        with world.flows() as flows:
            flows.delete(flow)
    for sid in sids:
        delivery = world.ends(sid)
        assert delivery["status"] == "unrouted"
        assert how in delivery["error"]
    assert target.requests == []


def test_waiting_messages_go_to_the_new_flow_at_the_end_of_a_migration(world: World, target: Target) -> None:
    """When a migration ends, a message that waits for a retry and its successor go to the new flow, in order, once."""
    target.script |= {"/old": answer(503), "/new": answer()}
    old = flow_to(world, target.url("/old"))
    new = flow_to(world, target.url("/new"), contact_identity=old.contact_identity, match="false")
    old = world.change(old, migrate_to=new.sid)
    theirs = world.address()
    first = world.text(old, theirs).sid
    wait_until(lambda: first in arrived(target, "/old"), what="the message was refused once")
    second = world.text(old, theirs).sid
    with world.flows() as flows:
        flows.put_all([(replace(old, enabled=False), old), (replace(new, match=""), new)])
    deliveries = [world.ends(sid) for sid in (first, second)]
    assert [(each["status"], each["flex_flow_sid"]) for each in deliveries] == [("delivered", new.sid)] * 2
    assert arrived(target, "/new") == [first, second]
    assert f"the message goes to {new.sid}" in str(deliveries[0]["history"])


def test_a_queued_message_goes_to_its_flows_present_url(world: World, target: Target) -> None:
    """If a flow's URL changes, messages that wait for the flow are sent to the new URL."""
    target.script["/old"] = gate = Gate(answer())
    flow, theirs = flow_to(world, target.url("/old")), world.address()
    first, second = world.text(flow, theirs).sid, world.text(flow, theirs).sid
    gate.wait_for(1)
    world.change(flow, integration=Integration("external", url=target.url("/new")))
    gate.open()
    world.ends(second)
    assert (arrived(target, "/old"), arrived(target, "/new")) == ([first], [second])
