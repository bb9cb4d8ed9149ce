"""A real Cluster for tests: three primaries with a replica each, which tests may kill, pause and give slots."""

import contextlib
from collections.abc import Callable
from functools import partial
from typing import Any, Final
from urllib.parse import quote

from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot

from router.errors import StoreUnavailable
from router.store.client import Client
from router.store.keys import AccountKeys
from tests import store_user
from tests.ports import free_port
from tests.valkey import ValkeyServer
from tests.waiting import wait_until

PRIMARIES: Final = 3
# After so many ms without an answer a node is replaced. In production it is 5 to 15 seconds.
NODE_TIMEOUT: Final = "600"


class Node:
    """One node of the Cluster, and a connection to this node alone."""

    def __init__(self, **options: str) -> None:
        self.port = free_port()
        self.bus = self.port + 1  # free as well, by `free_port`
        self.server = ValkeyServer(
            port=str(self.port),
            cluster_port=str(self.bus),
            bind="127.0.0.1",
            cluster_enabled="yes",
            cluster_node_timeout=NODE_TIMEOUT,
            cluster_require_full_coverage="no",
            cluster_replica_validity_factor="0",
            repl_diskless_sync_delay="0",
            repl_ping_replica_period="1",
            **options,
        )
        self.name = f"127.0.0.1:{self.port}"
        self._client = Client(self.server.url, call_seconds=5)
        self.id = self.call("CLUSTER", "MYID").decode()

    def call(self, *words: str | int) -> Any:
        """Send a command to this node."""
        return self._client.call(*words)

    def info(self, section: str) -> dict[str, str]:
        """Return a section of INFO, or CLUSTER INFO for `cluster`."""
        text = self.call("CLUSTER", "INFO") if section == "cluster" else self.call("INFO", section)
        return dict(line.split(":", 1) for line in text.decode().splitlines() if ":" in line)

    def close(self) -> None:
        """Stop the node."""
        self._client.close()
        self.server.close()


class Cluster:
    """Six nodes: `nodes[n]` begins as a primary for n below three, `nodes[n + 3]` as its replica.

    With `user`, its URL is that of the user of docs/operations.md.
    """

    def __init__(self, *, replicas: bool = True, user: bool = False, **options: str) -> None:
        self.nodes = [Node(**options) for _ in range(PRIMARIES * (1 + replicas))]
        self.url = "redis+cluster://" + ",".join(node.name for node in self.nodes)
        first = self.nodes[0]
        if user:
            self.url = self.url.replace("//", f"//{store_user.NAME}:{quote(store_user.PASSWORD, safe='')}@")
            for node in self.nodes:
                self.admit(node)
        for number, node in enumerate(self.nodes[:PRIMARIES]):
            begin, end = (place * REDIS_CLUSTER_HASH_SLOTS // PRIMARIES for place in (number, number + 1))
            node.call("CLUSTER", "ADDSLOTSRANGE", begin, end - 1)
        for number, node in enumerate(self.nodes):
            node.call("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            if node is not first:
                first.call("CLUSTER", "MEET", "127.0.0.1", node.port, node.bus)
        self._wait(lambda node: node.info("cluster")["cluster_known_nodes"] == str(len(self.nodes)), "all have met")
        for primary, replica in zip(self.nodes, self.nodes[PRIMARIES:], strict=False):
            wait_until(partial(_replicates, replica, primary), what="it is a replica")
        self._wait(lambda node: node.info("cluster")["cluster_state"] == "ok", "all know of all slots")
        self.wait_for_replicas()

    def admit(self, node: Node) -> None:
        """Create the user on a node, which forgets its users when it starts."""
        node.call("ACL", "SETUSER", store_user.NAME, "reset", "on", *store_user.rules())

    def wait_for_replicas(self) -> None:
        """Wait until each replica is connected to its primary."""
        self._wait(lambda node: node.info("replication").get("master_link_status", "up") == "up", "replicas follow")

    def owner(self, account_sid: str) -> Node:
        """Return the node that has an account's slot now, as the other nodes see it."""
        slot = slot_of(account_sid)
        for node in self.nodes:
            with contextlib.suppress(StoreUnavailable):
                for first, last, (_, port, *_), *_ in node.call("CLUSTER", "SLOTS"):
                    if first <= slot <= last:
                        return next(each for each in self.nodes if each.port == port)
        raise AssertionError(f"no node has slot {slot}")

    def move(self, slot: int, source: Node, target: Node, *, between: Callable[[], object] = lambda: None) -> int:
        """Move a slot with its keys, one by one, as `redis-cli --cluster reshard` does; return the number of keys."""
        target.call("CLUSTER", "SETSLOT", slot, "IMPORTING", source.id)
        source.call("CLUSTER", "SETSLOT", slot, "MIGRATING", target.id)
        moved = 0
        while keys := source.call("CLUSTER", "GETKEYSINSLOT", slot, 1):
            source.call("MIGRATE", "127.0.0.1", target.port, keys[0].decode(), 0, 5000)
            moved += 1
            between()
        for node in (target, source):
            node.call("CLUSTER", "SETSLOT", slot, "NODE", target.id)
        return moved

    def flush(self) -> None:
        """Delete all keys."""
        for node in self.nodes:
            if node.info("replication")["role"] == "master":
                node.call("FLUSHALL", "SYNC")

    def close(self) -> None:
        """Stop all nodes."""
        for node in self.nodes:
            node.close()

    def _wait(self, is_so: Callable[[Node], bool], what: str) -> None:
        wait_until(lambda: all(map(is_so, self.nodes)), what=what, within=20)


def slot_of(account_sid: str) -> int:
    """Return the slot of an account's keys."""
    return key_slot(AccountKeys(account_sid).due.encode())


def accounts_of(number: int, count: int = 1) -> list[str]:
    """Return made-up accounts whose slots belong to the primary of this number at first."""
    found = (f"AC{1:030x}{tag:02x}" for tag in range(256))
    return [sid for sid in found if slot_of(sid) * PRIMARIES // REDIS_CLUSTER_HASH_SLOTS == number][:count]


def _replicates(node: Node, primary: Node) -> bool:
    with contextlib.suppress(StoreUnavailable):
        return bool(node.call("CLUSTER", "REPLICATE", primary.id) == b"OK")
    return False
