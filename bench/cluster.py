"""`make bench PART=cluster`: durable intake with three nodes of a Cluster and with one server, for many accounts.

Everything runs on this machine, so its cores are the limit. Therefore the store's processor time for a message is
measured as well: it shows the load that a node on its own machine could take.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from redis.crc import REDIS_CLUSTER_HASH_SLOTS

from bench.candidate import start_router, target_url
from bench.measure import Sample, alternate, put_load, ratios
from bench.report import Figure, figure
from bench.scene import Scene
from bench.server import Server, free_port
from bench.stock import PAUSED, flow
from bench.webhook import TOKEN, account
from router.process.embedded import CONFIG, valkey_binary
from router.store.client import Client
from router.store.cluster import open_client
from router.store.flows import FlowStore

ACCOUNTS: Final = 32
_NODES: Final = 3
_FLOWS: Final = 10
_PATIENCE: Final = 20.0
_SPENT: Final = ("used_cpu_sys:", "used_cpu_user:")


class _Side:
    """A store of one or several servers, and a router with this store that serves many accounts."""

    def __init__(self, scene: Scene, servers: Sequence[Server], url: str) -> None:
        self.url = url
        self._servers = [Client(f"redis://127.0.0.1:{server.port}", call_seconds=30.0) for server in servers]
        self._target = target_url(scene.target)
        config = scene.servers.folder / "accounts.toml"
        tables = [f'[[account]]\nsid = "{account(n)}"\nauth_tokens = ["{TOKEN}"]\n' for n in range(1, ACCOUNTS)]
        config.write_text("".join(tables), encoding="utf-8")
        self._options = scene.options
        self.router = start_router(scene.servers, url, scene.options.workers, ROUTER_CONFIG=str(config))
        self.spent: list[float] = []

    def intake(self) -> Sample:
        """Measure the intake of messages of all accounts, and record the stores' processor time for each."""
        for server in self._servers:
            server.call("FLUSHALL", "SYNC")
        flows = FlowStore(open_client(self.url, call_seconds=30.0))
        for number in range(ACCOUNTS):
            paused = [flow(PAUSED, address, self._target) for address in range(_FLOWS)]
            flows.put_all([(replace(each, account_sid=account(number)), None) for each in paused])
        flows.close()
        before = self._seconds()
        sample = put_load(self.router, self._options, PAUSED, accounts=ACCOUNTS)
        self.spent.append((self._seconds() - before) / max(1, sample.measured.sent))
        return sample

    def close(self) -> None:
        """Close the connections."""
        for server in self._servers:
            server.close()

    def _seconds(self) -> float:
        lines = [line for server in self._servers for line in server.call("INFO", "cpu").decode().splitlines()]
        return sum(float(line.partition(":")[2]) for line in lines if line.startswith(_SPENT))


def cluster(scene: Scene) -> list[Figure]:
    """Measure the intake of many accounts with one server and with three nodes."""
    single = _start(scene, "single")
    buses = [str(free_port()) for _ in range(_NODES)]
    nodes = [_start(scene, "node", "--cluster-enabled", "yes", "--cluster-port", bus) for bus in buses]
    _join(nodes, buses)
    sides = {
        "one server": _Side(scene, [single], f"redis://127.0.0.1:{single.port}"),
        "three nodes": _Side(scene, nodes, "redis+cluster://" + ",".join(f"127.0.0.1:{each.port}" for each in nodes)),
    }
    taken = alternate({name: side.intake for name, side in sides.items()}, scene.options)
    for side in sides.values():
        side.close()
    return [
        *(figure("cluster", name, "messages/s", [each.throughput for each in taken[name]]) for name in sides),
        figure("cluster", "three nodes / one server", "x", ratios(taken["three nodes"], taken["one server"])),
        *(figure("cluster", f"{name}: processor time", "µs each", _micros(taken[name])) for name in sides),
        *(
            figure("cluster", f"{name}: the store's processor time", "µs each", [1e6 * each for each in side.spent])
            for name, side in sides.items()
        ),
        figure(
            "cluster", "kept busy by others", "cores", [each.others for samples in taken.values() for each in samples]
        ),
    ]


def _micros(samples: Sequence[Sample]) -> list[float]:
    return [1e6 * sample.processor for sample in samples]


def _start(scene: Scene, name: str, *options: str) -> Server:
    """Start a server with the configuration of `router run`, on a TCP port of this machine."""
    command = [str(valkey_binary()), str(CONFIG), "--port", "{port}", "--bind", "127.0.0.1", "--dir", "."]
    return scene.servers.start(name, [*command, *options], {}, question=b"PING\r\n")


def _join(nodes: Sequence[Server], buses: Sequence[str]) -> None:
    """Form a Cluster of empty nodes with equal numbers of slots; `buses` are the ports of their cluster bus."""
    clients = [Client(f"redis://127.0.0.1:{node.port}") for node in nodes]
    for number, client in enumerate(clients):
        begin, end = (place * REDIS_CLUSTER_HASH_SLOTS // len(nodes) for place in (number, number + 1))
        client.call("CLUSTER", "ADDSLOTSRANGE", begin, end - 1)
        client.call("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        if number:
            clients[0].call("CLUSTER", "MEET", "127.0.0.1", nodes[number].port, buses[number])
    _wait(lambda: all(_is_complete(client, len(nodes)) for client in clients))
    for client in clients:
        client.close()


def _is_complete(client: Client, nodes: int) -> bool:
    info: Mapping[str, str] = dict(
        line.split(":", 1) for line in client.call("CLUSTER", "INFO").decode().splitlines() if ":" in line
    )
    return info["cluster_state"] == "ok" and info["cluster_known_nodes"] == str(nodes)


def _wait(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + _PATIENCE
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError("the nodes did not form a Cluster in time")
        time.sleep(0.05)
