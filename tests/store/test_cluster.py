"""The store on a Cluster of real nodes: each command is sent to its node, also while nodes and slots change."""

import contextlib
import time
from collections.abc import Callable, Iterator
from urllib.parse import quote

import gevent
import pytest

from router.errors import StoreUnavailable
from router.store import Store, connect
from router.store.cluster import ClusterClient, open_client
from router.store.keys import BUCKETS, AccountKeys, guard
from router.store.lanes import Lease, Room, Settlement, new_token
from router.store.script import SCRIPTS, script
from tests.cluster import Cluster, accounts_of, slot_of
from tests.integrations.sending import settings
from tests.integrations.target import CERTIFICATE
from tests.ports import free_port
from tests.tls import tls_before
from tests.valkey import ValkeyServer
from tests.waiting import wait_until

ONE, TWO, THREE = (accounts_of(number)[0] for number in range(3))
FLOW = "FO" + "1" * 32
Spare = Callable[..., ValkeyServer]


@pytest.fixture(scope="module")
def _cluster() -> Iterator[Cluster]:
    made = Cluster()
    yield made
    made.close()


@pytest.fixture
def cluster(_cluster: Cluster) -> Cluster:
    """A Cluster that is empty, and shared with the tests of this file."""
    _cluster.flush()
    return _cluster


@pytest.fixture
def store(cluster: Cluster) -> Iterator[Store]:
    """The store, as a process that serves one account on each node connects to it."""
    made = connect(settings(ROUTER_REDIS_URL=cluster.url))
    yield made
    made.close()


def _accept(store: Store, account: str, number: int, lane: int = 1) -> str:
    sid = f"SM{number:032x}"
    store.lanes.accept(
        token=new_token(), account_sid=account, message_sid=sid, lane=f"{lane:024x}", disposition="queue",
        lease=False, versions=(), facts={"raw": b"body", "flow": FLOW},
    )  # fmt: skip
    return sid


def _claimed(store: Store, account: str) -> list[str]:
    return [lease.message_sid for lease in store.lanes.claim(account[-2:], Room(100, 100)).leases]


def test_each_account_is_on_its_node(cluster: Cluster, store: Store) -> None:
    """Messages of three accounts are on three nodes, are found due in one call, and are delivered in order."""
    sids = {account: [_accept(store, account, number) for number in range(3)] for account in (ONE, TWO, THREE)}
    assert [cluster.owner(account) for account in (ONE, TWO, THREE)] == cluster.nodes[:3]
    assert sorted(store.lanes.due(BUCKETS)) == sorted(account[-2:] for account in (ONE, TWO, THREE))
    for account, sent in sids.items():
        delivered = []
        lease: Lease | None = store.lanes.claim(account[-2:], Room(10)).leases[0]
        while lease is not None:
            delivered.append(lease.message_sid)
            _, lease = store.lanes.settle(lease, Settlement("delivered"), next_token=new_token())
        assert delivered == sent
        assert store.deliveries.counts(account).kept == 3
    assert store.lanes.waiting(BUCKETS) == []


def test_work_over_all_buckets_asks_all_nodes(store: Store) -> None:
    """Heartbeats, upkeep, languages, refused requests and the list of processes work over many nodes."""
    assert store.outages.beat([ONE, TWO, THREE], master="here", silence=12) == {}
    assert set(store.upkeep.round()) == {""}
    assert store.languages.named() == frozenset()
    assert store.refusals.newest() == []
    assert store.processes.present() == []
    assert store.proxied.wanted(BUCKETS, time.time()) == {}


def test_an_account_is_forgotten_on_its_node(cluster: Cluster, store: Store) -> None:
    """All keys of an account that was removed from the settings are deleted on its node."""
    _accept(store, TWO, 1)
    client = open_client(cluster.url)
    client.call("HSET", AccountKeys(TWO).accounts, TWO, store.upkeep.absent_seconds)
    assert TWO in set(store.upkeep.round())
    client.close()
    assert cluster.owner(TWO).call("KEYS", f"*{TWO}*") == []


def test_one_host_is_enough(cluster: Cluster) -> None:
    """One host in the URL is enough, for example a configuration endpoint or a replica."""
    client = ClusterClient(f"redis+cluster://{cluster.nodes[4].name}")
    assert set(client.nodes()) == {node.name for node in cluster.nodes[:3]}
    assert client.call("SET", AccountKeys(THREE).clock, "1") == b"OK"
    client.close()


def test_nodes_are_reached_over_tls_by_the_names_that_they_announce(spare_valkey: Spare) -> None:
    """User, password and certificates of the URL are used for its host, and for the nodes that this host names."""
    port = free_port()
    bus = port + 1  # which is free, too
    node = spare_valkey(port=str(port), cluster_port=str(bus), bind="127.0.0.1", cluster_enabled="yes")
    with tls_before(port) as hidden:
        for words in (
            f"CONFIG SET cluster-announce-port {hidden}",
            "CONFIG SET cluster-announce-ip 192.0.2.1",  # which leads nowhere
            "CONFIG SET cluster-announce-hostname 127.0.0.1",
            "CONFIG SET cluster-preferred-endpoint-type hostname",
            "CLUSTER ADDSLOTSRANGE 0 16383",
            "ACL SETUSER me on >p@ss/ ~* &* +@all",
            "ACL SETUSER default off",
        ):
            assert node.command(words) == "+OK", words
        place, trusted = f"me:p%40ss%2F@127.0.0.1:{hidden}", f"?ssl_ca_certs={quote(str(CERTIFICATE), safe='')}"
        client = ClusterClient(f"rediss+cluster://{place}{trusted}")
        wait_until(lambda: _is_set(client), what="the node serves")
        assert set(client.nodes()) == {f"127.0.0.1:{hidden}"}
        client.close()
        for wrong, why in ((place, "certificate"), (place.replace("p%40", "q"), "WRONGPASS|password")):
            stranger = ClusterClient(f"rediss+cluster://{wrong}{trusted if wrong != place else ''}")
            with pytest.raises(StoreUnavailable, match=why) as caught:
                stranger.call("GET", AccountKeys(ONE).clock)
            assert "ss%2F" not in str(caught.value)


def _is_set(client: ClusterClient) -> bool:
    with contextlib.suppress(StoreUnavailable):
        return bool(client.call("SET", AccountKeys(ONE).clock, "1"))
    return False


def test_the_error_of_an_unreachable_cluster_names_each_host() -> None:
    """The reason names each host, within the time of a call, and shows no password."""
    client = ClusterClient("redis+cluster://me:secret@127.0.0.1:1,127.0.0.1:2")
    began = time.monotonic()
    with pytest.raises(StoreUnavailable, match=r"127\.0\.0\.1:1: .*127\.0\.0\.1:2: ") as caught:
        client.call("GET", AccountKeys(ONE).clock)
    assert time.monotonic() - began < 1.5
    assert "secret" not in str(caught.value)


def test_nodes_that_have_left_are_forgotten(cluster: Cluster) -> None:
    """A process closes its connections to nodes that have left the Cluster, as containers with old addresses."""
    client = ClusterClient(cluster.url)
    client.nodes()
    for port in (1, 2, 3):
        client._client(("127.0.0.1", port))  # as a MOVED reply may name it
    assert set(client._clients) == {("127.0.0.1", port) for port in (3, *(node.port for node in cluster.nodes[:3]))}
    client.close()


def test_a_batch_of_commands_is_split_among_the_nodes(cluster: Cluster) -> None:
    """Commands of one batch go to their nodes; one node's failure affects only its own, and `calls` raises it."""
    client = ClusterClient(cluster.url)
    keys = [AccountKeys(account).leases for account in (ONE, TWO, THREE)]
    client.call("SET", keys[1], "no sorted set")
    found = client.answers([("ZCARD", key) for key in keys])
    assert (found[0], isinstance(found[1], StoreUnavailable), found[2]) == (0, True, 0)
    with pytest.raises(StoreUnavailable, match="WRONGTYPE"):
        client.calls([("ZCARD", key) for key in keys])
    client.close()


def test_all_keys_of_a_script_are_in_one_slot(cluster: Cluster) -> None:
    """All keys of a script, its guard included, have one hash tag; a Cluster refuses others."""
    keys = AccountKeys(ONE)
    words = script("accept", [keys.messages + "x", keys.lanes + "y"], [])
    assert words[2:6] == (3, keys.messages + "x", keys.lanes + "y", guard(ONE[-2:]))
    client = ClusterClient(cluster.url)
    with pytest.raises(StoreUnavailable, match="same slot"):
        client.script("turn", [AccountKeys(ONE).accounts, AccountKeys(TWO).accounts], [1])
    client.close()
    assert all(b"table.remove(KEYS)" in each.source for each in SCRIPTS.values())


def test_no_script_runs_on_half_of_its_keys_while_a_slot_moves(cluster: Cluster, store: Store) -> None:
    """While the keys of an account are on two nodes, its scripts wait or are refused; then all messages are there."""
    sids = [_accept(store, ONE, number, lane=number) for number in range(8)]
    source, target = cluster.owner(ONE), cluster.nodes[1]
    impatient = connect(settings(ROUTER_REDIS_URL=cluster.url))
    impatient.lanes._client._call_seconds = 0.05
    refused = []

    def between() -> None:
        try:
            impatient.lanes.claim(ONE[-2:], Room(10))
        except StoreUnavailable as error:
            refused.append(str(error))

    assert cluster.move(slot_of(ONE), source, target, between=between) == len(refused) > 8
    try:
        assert all("TRYAGAIN" in each or "ASK" in each for each in refused), refused
        assert sorted(_claimed(store, ONE)) == sids
        assert _accept(store, ONE, 99, lane=99)
        assert cluster.owner(ONE) is target
    finally:
        cluster.move(slot_of(ONE), target, source)
        impatient.close()


def test_a_call_waits_for_a_slot_that_is_moved_quickly(cluster: Cluster, store: Store) -> None:
    """Messages that come while a slot is moved are all accepted, without an error, and in order."""
    source, target = cluster.owner(ONE), cluster.nodes[1]
    _accept(store, ONE, 0)
    sids, stop = [f"SM{0:032x}"], False

    def send() -> None:
        while not stop:
            sids.append(_accept(store, ONE, len(sids)))

    sending = gevent.spawn(send)
    for _ in range(2):
        before = len(sids)
        while len(sids) < before + 20:
            gevent.sleep(0)
        moving = gevent.get_hub().threadpool.spawn(cluster.move, slot_of(ONE), source, target)
        moving.get(timeout=10)
        source, target = target, source
    stop = True
    sending.get(timeout=5)
    client = open_client(cluster.url)
    assert [id_.decode()[-34:] for id_ in client.call("LRANGE", AccountKeys(ONE).lanes + f"{1:024x}", 0, -1)] == sids
    client.close()
