"""Routing is never stale, a delivered message costs two calls of the store, and messages and flows are small."""

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from router.flow.flex_flow import FlexFlow, Integration
from router.store.flow_write import FlowWrite
from router.store.keys import AccountKeys
from tests.e2e.service import ACCOUNT
from tests.e2e.world import World, arrived
from tests.integrations.target import Target
from tests.valkey import ValkeyServer


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Two routers over one store; the test itself changes flows, as a third process."""
    valkey = ValkeyServer()
    world = World(tmp_path_factory.mktemp("world"), valkey, processes=2)
    yield world
    world.close()
    valkey.close()


@pytest.fixture
def target() -> Iterator[Target]:
    """A target of the test's own."""
    with Target() as running:
        yield running


# -- never stale ------------------------------------------------------------------------------------------------------


def _move(world: World, flow: FlexFlow) -> None:
    with world.flows() as flows:
        flows.put(replace(flow, contact_identity=world.address()), replaces=flow)


def _delete(world: World, flow: FlexFlow) -> None:
    with world.flows() as flows:
        flows.delete(flow)


def _replace(world: World, flow: FlexFlow) -> None:
    with world.flows() as flows:
        flows.put_all([(replace(flow, enabled=False), flow)])
        flows.put(replace(flow, sid=world.sid("FO"), integration=_at(flow, "/new")))


def _at(flow: FlexFlow, path: str) -> Integration:
    return replace(flow.integration, url=flow.integration.url.replace("/old", path))


@pytest.mark.parametrize(
    ("change", "path"),
    [
        pytest.param(lambda w, flow: w.change(flow, integration=_at(flow, "/new")), "/new", id="another-url"),
        pytest.param(_replace, "/new", id="disabled-for-another"),
        pytest.param(lambda w, flow: w.change(flow, enabled=False), None, id="disabled"),
        pytest.param(_delete, None, id="deleted"),
        pytest.param(_move, None, id="moved-to-another-address"),
        pytest.param(lambda w, flow: w.change(flow, paused=True), None, id="paused"),
    ],
)
def test_the_next_message_is_routed_by_the_change(
    world: World, target: Target, change: Callable[[World, FlexFlow], object], path: str | None
) -> None:
    """The first message after a change is routed by the new flow, in each process that had cached the old one."""
    flow = world.flow(target.url("/old"), response="accept")
    for process in (0, 1):
        world.ends(world.text(flow, process=process).sid)
    change(world, flow)
    for process in (0, 1):
        sid = world.text(flow, process=process).sid
        if path is None:
            assert world.delivery(sid)["status"] in ("unrouted", "queued")
            # A waiting message of a paused flow makes sweepers claim, which later tests would count.
            world.rest("POST", f"/v1/Deliveries/{sid}", {"Status": "canceled"})
        else:
            world.ends(sid)
            assert arrived(target, path)[process:] == [sid]
    assert len(arrived(target, "/old")) == 2


def _send(world: World, address: str, process: int) -> list[str]:
    return [world.text(address, process=process).sid for _ in range(40)]


def test_no_message_is_unrouted_while_flows_exchange_addresses(world: World, target: Target) -> None:
    """While two flows exchange their addresses again and again, every message to either address has a flow."""
    flows = [world.flow(target.url(f"/{name}"), response="accept") for name in ("one", "two")]
    addresses = [flow.contact_identity for flow in flows]
    with world.flows() as store, ThreadPoolExecutor(2) as pool:
        sent = [pool.submit(_send, world, addresses[n], n) for n in range(2)]
        while not all(each.done() for each in sent):
            swapped = [replace(flow, contact_identity=flows[1 - n].contact_identity) for n, flow in enumerate(flows)]
            store.write([[FlowWrite(after, before) for after, before in zip(swapped, flows, strict=True)]])
            flows = swapped
    for sid in (sid for each in sent for sid in each.result()):
        assert world.ends(sid)["status"] == "delivered"


def test_a_new_flow_gets_the_next_message(world: World, target: Target) -> None:
    """A new flow gets the next message of its address on each process, although each has cached that there is none."""
    ours = world.address()
    for _ in range(2):
        for process in (0, 1):
            assert world.delivery(world.text(ours, process=process).sid)["status"] == "unrouted"
        flow = world.flow(target.url("/hook"), contact_identity=ours, response="accept")
        for process in (0, 1):
            assert world.ends(world.text(ours, process=process).sid)["status"] == "delivered"
        with world.flows() as flows:
            flows.delete(flow)


def test_a_flow_of_the_address_comes_before_the_default(world: World, target: Target) -> None:
    """A new flow for an address gets its messages in place of `*` at once; once it is deleted, `*` gets them again."""
    ours = world.address()
    default = world.flow(target.url("/default"), contact_identity="*", response="accept")
    try:
        for process in (0, 1):
            world.ends(world.text(ours, process=process).sid)
        exact = world.flow(target.url("/exact"), contact_identity=ours, response="accept")
        for process in (0, 1):
            world.ends(world.text(ours, process=process).sid)
        assert (len(arrived(target, "/default")), len(arrived(target, "/exact"))) == (2, 2)
        with world.flows() as flows:
            flows.delete(exact)
        for process in (0, 1):
            world.ends(world.text(ours, process=process).sid)
        assert (len(arrived(target, "/default")), len(arrived(target, "/exact"))) == (4, 2)
    finally:
        with world.flows() as flows:
            flows.delete(default)


def test_a_messaging_service_comes_between_address_and_default(world: World, target: Target) -> None:
    """A flow for the address comes before one for its Messaging Service, and that before `*`, from the next message."""
    ours, service = world.address(), world.sid("MG")
    made = []
    for place, identity in enumerate(("*", service, ours)):
        made.append(world.flow(target.url(f"/{place}"), contact_identity=identity, response="accept"))
        for process in (0, 1):
            sid = world.text(ours, process=process, MessagingServiceSid=service).sid
            assert world.ends(sid)["flex_flow_sid"] == made[-1].sid
            assert arrived(target, f"/{place}")[process:] == [sid]
    with world.flows() as flows:
        flows.delete(made[0])


# -- two calls --------------------------------------------------------------------------------------------------------

# The scripts that a message may cost. Sweepers run others by themselves, and `claim` for messages of other tests.
OF_A_MESSAGE = ("accept", "contact", "entries", "flow_records", "settle", "taken")


def test_a_delivered_message_costs_two_calls(world: World, target: Target) -> None:
    """A delivered message to a known address costs two calls of the store: `accept` and `settle`."""
    flow = world.flow(target.url("/hook"))
    assert world.ends(world.text(flow).sid)["status"] == "delivered"
    with world.counted_scripts() as counted:
        sids = [world.text(flow).sid for _ in range(100)]
        for sid in sids:
            assert world.ends(sid)["status"] == "delivered"
    assert _of_messages(counted) == {"accept": 100, "settle": 100}


def test_a_new_address_costs_one_call_more(world: World, target: Target) -> None:
    """The first message to an address costs one call more, which reads the address's entries."""
    flows = [world.flow(target.url("/hook")) for _ in range(100)]
    with world.counted_scripts() as counted:
        sids = [world.text(flow).sid for flow in flows]
        for sid in sids:
            assert world.ends(sid)["status"] == "delivered"
    assert _of_messages(counted) == {"accept": 100, "settle": 100, "entries": 100}


def test_an_assigned_conversation_costs_two_calls(world: World, target: Target) -> None:
    """Where several flows share an address, a message of an assigned conversation costs two calls, too."""
    spanish = world.flow(target.url("/es"), language=("es",))
    world.flow(target.url("/rest"), contact_identity=spanish.contact_identity)
    theirs = world.address()
    first = world.fields(spanish, theirs)
    world.post(first, "/webhooks/sms?lang=es")
    assert world.ends(first["MessageSid"])["status"] == "delivered"
    with world.counted_scripts() as counted:
        sids = [world.text(spanish, theirs, Body="ok").sid for _ in range(100)]
        for sid in sids:
            assert world.ends(sid)["status"] == "delivered"
    assert len(arrived(target, "/es")) == 101
    assert _of_messages(counted) == {"accept": 100, "settle": 100}


def _of_messages(counted: Counter[str]) -> dict[str, int]:
    """Return the calls of scripts for messages; at most a quarter of the messages may have been claimed."""
    assert counted["claim"] <= counted["accept"] // 4
    return {name: counted[name] for name in OF_A_MESSAGE if counted[name]}


# -- small ------------------------------------------------------------------------------------------------------------


def test_a_queued_message_is_small(world: World) -> None:
    """A queued SMS, alone in its lane and flow, takes at most 1.5 KB of store beyond its body."""
    keys = AccountKeys(ACCOUNT)
    for _ in range(50):  # the size of a sorted set is divided by its members
        flow = world.flow("https://example.com/hook", paused=True)
        fields = world.fields(flow)
        assert world.post(fields).status == 200
    record = world.record(fields["MessageSid"])
    body = len(world.call("HGET", record, "raw"))
    lane = keys.lanes + world.call("HGET", record, "lane").decode()
    waits = _size(world, f"{keys.due}:{ACCOUNT}:{flow.sid}") + _share(world, keys.due)
    assert _size(world, record) + _size(world, lane) - body + waits + _share(world, keys.log) <= 1500


def test_a_flow_is_small(world: World) -> None:
    """A flow takes at most 900 bytes of store: record, address entry, and the account's index."""
    keys = AccountKeys(ACCOUNT)
    flow = world.flow("https://support.example.com/twilio/inbound", fallback_twiml="<Response/>")
    address = keys.addresses + flow.contact_identity
    assert _size(world, keys.own_flows + flow.sid) + _size(world, address) + _share(world, keys.flows) <= 900


def _size(world: World, key: str) -> int:
    # MEMORY USAGE leaves out the key's entry in the hash table, which is between half full and full: 16 bytes.
    return int(world.call("MEMORY", "USAGE", key, "SAMPLES", 0)) + 16


def _share(world: World, index: str) -> float:
    return float(_size(world, index) / world.call("ZCARD", index))
