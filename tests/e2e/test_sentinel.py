"""A router over a store with replicas and real Sentinels: failover, and Sentinels that do not answer."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from router.process.preload import FOUND
from router.store.client import Client
from tests.e2e.service import Service, parameters
from tests.e2e.world import World, arrived
from tests.integrations.target import Target, answer
from tests.ports import free_port
from tests.sentinel import SentinelServer
from tests.valkey import ValkeyServer
from tests.waiting import wait_until


class ReplicatedStore:
    """A master with two replicas on loopback, and a Sentinel that watches them."""

    def __init__(self, folder: Path) -> None:
        self.ports = [free_port() for _ in range(3)]
        self.servers = [
            ValkeyServer(port=str(port), bind="127.0.0.1", repl_diskless_sync_delay="0") for port in self.ports
        ]
        for replica in self.servers[1:]:
            assert replica.command(f"REPLICAOF 127.0.0.1 {self.ports[0]}") == "+OK"
        wait_until(lambda: all(map(_is_up, self.servers[1:])), what="the replicas are in sync", within=20)
        self._sentinel = SentinelServer(folder, self.ports[0])
        self.url = f"redis+sentinel://127.0.0.1:{self._sentinel.port}/main"

    def close(self) -> None:
        """End all of them."""
        self._sentinel.kill()
        for server in self.servers:
            server.close()


def _is_up(replica: ValkeyServer) -> bool:
    client = Client(replica.url)
    try:
        return b"master_link_status:up" in client.call("INFO", "replication")
    finally:
        client.close()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ReplicatedStore]:
    """A store with replicas and a Sentinel."""
    made = ReplicatedStore(tmp_path)
    yield made
    made.close()


def test_a_failover_loses_no_acknowledged_message(store: ReplicatedStore, tmp_path: Path) -> None:
    """With ROUTER_REDIS_REPLICAS=1 all acknowledged messages are delivered in order after the master is killed."""
    with Target() as target:
        target.script["/hook"] = answer(200)
        folder = tmp_path / "world"
        folder.mkdir()
        world = World(folder, store, config="redis_replicas = 1\n", **{FOUND: ""})  # type: ignore[arg-type]  # it has a URL
        try:
            flow = world.flow(target.url("/hook"), response="accept", paused=True)
            theirs = world.address()
            before = [world.text(flow, theirs).sid for _ in range(20)]
            store.servers[0].kill()
            after: list[str] = []

            def accepted() -> bool:
                reply = world.text(flow, theirs)
                if reply.status == 200:
                    after.append(reply.sid)
                return bool(after)

            wait_until(accepted, what="messages are accepted again", within=20)
            world.change(flow, paused=False)
            world.ends(after[-1], within=20)
            assert [sid for sid in arrived(target) if sid in {*before, *after}] == [*before, *after]
        finally:
            world.close()


# -- Sentinels that do not answer -------------------------------------------------------------------------------------

# Seconds within which a 503 must be answered, so that Twilio still has time to call the fallback URL.
REFUSED_WITHIN = 2.5


class RouterWithSentinels:
    """A master that three Sentinels watch, and a router of one process."""

    def __init__(self, folder: Path, master: ValkeyServer, port: int) -> None:
        self.master = master
        self.sentinels = [SentinelServer(folder, port) for _ in range(3)]
        hosts = ",".join(f"127.0.0.1:{each.port}" for each in self.sentinels)
        self._folder, self._url = folder, f"redis+sentinel://{hosts}/main"
        self._service: Service | None = None
        self._count = 0

    def start(self) -> None:
        """Start the router, which connects to the store at the first message."""
        self._service = Service(self._folder, self._url, workers=1)

    def send(self) -> tuple[int, float]:
        """Send a message; return the status, and the seconds that it took."""
        assert self._service is not None
        self._count += 1
        began = time.monotonic()
        status = self._service.webhook(parameters(self._count, "+15551000001"))[0]
        return status, time.monotonic() - began

    def disconnect(self) -> None:
        """Close all connections in the store, as a failover does."""
        assert self.master.command("CLIENT KILL TYPE normal SKIPME yes").startswith(":")

    def close(self) -> None:
        """End everything."""
        if self._service is not None:
            self._service.close()
        for each in self.sentinels:
            each.kill()


@pytest.fixture
def router(tmp_path: Path, spare_valkey: Callable[..., ValkeyServer]) -> Iterator[RouterWithSentinels]:
    """A master and its Sentinels; the router is not started yet."""
    port = free_port()
    made = RouterWithSentinels(tmp_path, spare_valkey(port=str(port), bind="127.0.0.1"), port)
    yield made
    made.close()


def _hang(sentinel: SentinelServer) -> None:
    sentinel.pause()


def _refuse(sentinel: SentinelServer) -> None:
    sentinel.kill()


@pytest.mark.parametrize("harm", [_hang, _refuse])
def test_without_sentinels_messages_get_503_in_time(
    router: RouterWithSentinels, harm: Callable[[SentinelServer], None]
) -> None:
    """If no Sentinel answers and no master is known, messages get a 503 in time, and 200 once a Sentinel answers."""
    for each in router.sentinels:
        harm(each)
    router.start()
    for _ in range(3):
        status, seconds = router.send()
        assert (status, seconds < REFUSED_WITHIN) == (503, True), seconds
    if harm is _hang:
        router.sentinels[1].resume()
    else:
        router.sentinels[1].start()
    assert router.send()[0] == 200


def test_one_sentinel_that_answers_is_enough(router: RouterWithSentinels) -> None:
    """With a Sentinel that hangs and one that refuses, messages are accepted, and reconnecting takes below 1 s."""
    _hang(router.sentinels[0])
    _refuse(router.sentinels[1])
    router.start()
    for _ in range(3):
        assert router.send()[0] == 200
        router.disconnect()
    status, seconds = router.send()
    assert status == 200
    assert seconds < 1


@pytest.mark.parametrize("harm", [_hang, _refuse])
def test_the_last_known_master_is_used_without_sentinels(
    router: RouterWithSentinels, harm: Callable[[SentinelServer], None]
) -> None:
    """A lost connection to the known master is opened again although no Sentinel answers, as none could fail over."""
    router.start()
    assert router.send()[0] == 200
    for each in router.sentinels:
        harm(each)
    for _ in range(3):
        router.disconnect()
        status, seconds = router.send()
        assert (status, seconds < REFUSED_WITHIN) == (200, True), seconds
