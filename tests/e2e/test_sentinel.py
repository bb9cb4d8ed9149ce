"""Several machines over one store that fails over: a real Sentinel, a master that dies, and its replicas."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from router.process.embedded import valkey_binary
from router.store.client import Client
from tests.e2e.service import free_port
from tests.e2e.world import World, arrived
from tests.integrations.target import Target, answer
from tests.valkey import ValkeyServer
from tests.waiting import wait_until


class Sentinel:
    """A master with two replicas on loopback, and a Sentinel that watches them."""

    def __init__(self, folder: Path) -> None:
        self.ports = [free_port() for _ in range(3)]
        self.servers = [
            ValkeyServer(port=str(port), bind="127.0.0.1", repl_diskless_sync_delay="0") for port in self.ports
        ]
        for replica in self.servers[1:]:
            assert replica.command(f"REPLICAOF 127.0.0.1 {self.ports[0]}") == "+OK"
        wait_until(lambda: all(map(_is_up, self.servers[1:])), what="the replicas have all", within=20)
        self.port = free_port()
        config = folder / "sentinel.conf"
        config.write_text(
            f"port {self.port}\nbind 127.0.0.1\ndir {folder}\nsentinel monitor main 127.0.0.1 {self.ports[0]} 1\n"
            "sentinel down-after-milliseconds main 500\nsentinel failover-timeout main 3000\n",
            encoding="utf-8",
        )
        with (folder / "sentinel.log").open("ab") as log:
            self._process = subprocess.Popen(
                [valkey_binary(), config, "--sentinel"], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self.url = f"redis+sentinel://127.0.0.1:{self.port}/main"

    def close(self) -> None:
        """End all of them."""
        self._process.kill()
        self._process.wait()
        for server in self.servers:
            server.close()


def _is_up(replica: ValkeyServer) -> bool:
    client = Client(replica.url)
    try:
        return b"master_link_status:up" in client.call("INFO", "replication")
    finally:
        client.close()


@pytest.fixture
def sentinel(tmp_path: Path) -> Iterator[Sentinel]:
    """A store that fails over."""
    made = Sentinel(tmp_path)
    yield made
    made.close()


def test_a_failover_loses_nothing_that_was_acknowledged(sentinel: Sentinel, tmp_path: Path) -> None:
    """With ROUTER_REDIS_REPLICAS=1 every 200 is on a replica: the master dies, and all are delivered, in order."""
    with Target() as target:
        target.script["/hook"] = answer(200)
        folder = tmp_path / "world"
        folder.mkdir()
        world = World(folder, sentinel, config="redis_replicas = 1\n")  # type: ignore[arg-type]  # it has a URL
        try:
            flow = world.flow(target.url("/hook"), response="accept", paused=True)
            theirs = world.address()
            before = [world.text(flow, theirs).sid for _ in range(20)]
            sentinel.servers[0].kill()
            after: list[str] = []

            def taken() -> bool:
                reply = world.text(flow, theirs)
                if reply.status == 200:
                    after.append(reply.sid)
                return bool(after)

            wait_until(taken, what="messages are taken again", within=20)
            world.change(flow, paused=False)
            world.ends(after[-1], within=20)
            assert [sid for sid in arrived(target) if sid in {*before, *after}] == [*before, *after]
        finally:
            world.close()
