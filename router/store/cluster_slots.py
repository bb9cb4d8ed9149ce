"""Which node of a Cluster has which slot.

Some nodes are asked in parallel, each over its own connection, and the answer with the highest epoch is used: a node
that is cut off from the others still answers, with outdated slots. In between, `MOVED` answers update single slots.

https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/
"""

import random
import time
from collections.abc import Iterable, Iterator
from typing import Any, Final

import gevent
import redis
from gevent.queue import Empty, Queue

from router.cluster_url import ClusterUrl
from router.errors import StoreUnavailable
from router.server_url import Address, name

SLOTS: Final = 16_384
# The maximum number of nodes asked, besides the hosts of the URL.
ASKED_MOST: Final = 9
# How long to wait for further answers after the first one: they may have a higher epoch.
OTHERS_SECONDS: Final = 0.1
# The minimum time between two queries: when a node is down, many callers ask for its slots.
AGAIN_SECONDS: Final = 0.1


class ClusterSlots:
    """The nodes of a Cluster, as one client knows them.

    Args:
        url: the hosts to ask first, and the connection options.
        seconds: the time limit of a query.
        options: the options of each connection, as for redis-py's pool.
    """

    def __init__(self, url: ClusterUrl, seconds: float, options: dict[str, Any]) -> None:
        self._url = url
        self._seconds = seconds
        self._options = options | {"socket_timeout": seconds, "socket_connect_timeout": seconds}
        self._owners: list[Address | None] = [None] * SLOTS
        self._nodes: tuple[Address, ...] = ()
        self._asking: gevent.Greenlet[..., str] | None = None
        self._asked = float("-inf")

    def owner(self, slot: int) -> Address:
        """Return the node that has a slot; query it if unknown, and raise `StoreUnavailable` if none is found."""
        if self._owners[slot] is None:
            self._ask_once()
        owner = self._owners[slot]
        if owner is None:
            asking = self._asking
            why = asking.value if asking is not None and asking.ready() and asking.value else "no node answered in time"
            raise StoreUnavailable(f"no node of the Cluster is known to have slot {slot}: {why}")
        return owner

    def masters(self) -> tuple[Address, ...]:
        """Return the nodes that have slots, sorted; query them if none is known."""
        if not self._nodes:
            self._ask_once()
        return tuple(sorted({owner for owner in self._owners if owner is not None}))

    def knows(self, node: Address) -> bool:
        """Return whether a node is in the Cluster, with slots or as a replica."""
        return node in self._nodes

    def uncovered(self) -> int:
        """Return how many slots no node is known to have."""
        return sum(owner is None for owner in self._owners)

    def moved(self, slot: int, owner: Address) -> None:
        """Set the owner of one slot, from a `MOVED` answer, and query the others in the background."""
        self._owners[slot] = owner
        self.look_again()

    def look_again(self) -> None:
        """Query the slots in the background, because a node did not answer, or a slot has moved."""
        if (self._asking is None or self._asking.ready()) and time.monotonic() - self._asked > AGAIN_SECONDS:
            self._asked = time.monotonic()
            self._asking = gevent.spawn(self._ask)

    def _ask_once(self) -> None:
        """Query the slots, or wait for the query that is under way."""
        self.look_again()
        if self._asking is not None:
            self._asking.join(self._seconds + OTHERS_SECONDS)

    def _ask(self) -> str:
        """Query some nodes; return why none of them answered, "" if one did."""
        known = random.sample(self._nodes, min(ASKED_MOST, len(self._nodes)))
        best: tuple[int, list[Any]] | None = None
        reasons = []
        for node, epoch, found in self._answers(dict.fromkeys((*self._url.seeds, *known))):
            if isinstance(found, str):
                reasons.append(f"{name(node)}: {found}")
            elif best is None or epoch > best[0]:
                best = (epoch, list(ranges(found, node[0])))
        if best is None:
            return "; ".join(reasons)
        owners: list[Address | None] = [None] * SLOTS
        nodes: dict[Address, None] = {}
        for first, last, addresses in best[1]:
            owners[first : last + 1] = [addresses[0]] * (last + 1 - first)
            nodes |= dict.fromkeys(addresses)
        self._owners, self._nodes = owners, tuple(nodes)
        return ""

    def _answers(self, nodes: Iterable[Address]) -> Iterator[tuple[Address, int, list[Any] | str]]:
        """Query nodes in parallel; yield each as it answers, with its epoch and slots, or why there is no answer."""
        answers: Queue[tuple[Address, int, list[Any] | str]] = Queue()
        asking = [gevent.spawn(self._ask_one, node, answers) for node in nodes]
        end = time.monotonic() + self._seconds
        try:
            for _ in asking:
                try:
                    answer = answers.get(timeout=max(0.0, end - time.monotonic()))
                except Empty:
                    return
                if not isinstance(answer[2], str):
                    end = min(end, time.monotonic() + OTHERS_SECONDS)
                yield answer
        finally:
            gevent.killall(asking, block=False)

    def _ask_one(self, node: Address, answers: "Queue[tuple[Address, int, list[Any] | str]]") -> None:
        connection: Any = None
        try:
            connection = redis.ConnectionPool.from_url(self._url.of_node(node), **self._options).get_connection()
            connection.send_command("CLUSTER", "INFO")
            info = connection.read_response(disable_decoding=True)
            connection.send_command("CLUSTER", "SLOTS")
            slots = connection.read_response(disable_decoding=True)
            answers.put((node, _epoch(info), slots) if slots else (node, 0, "it knows of no slots"))
        except Exception as error:  # noqa: BLE001 - also errors from wrong options
            answers.put((node, 0, str(error) or type(error).__name__))
        finally:
            if connection is not None:
                connection.disconnect()


def _epoch(info: bytes) -> int:
    fields = dict(line.split(":", 1) for line in info.decode(errors="replace").splitlines() if ":" in line)
    return int(fields.get("cluster_current_epoch", 0))


def ranges(slots: list[Any], asked: str) -> Iterator[tuple[int, int, list[Address]]]:
    """Parse CLUSTER SLOTS: first and last slot, and the nodes that have them, the master first.

    If a node has no host, or "?", its host is in its metadata, or is that of the node that was asked.
    """
    for first, last, *nodes in slots:
        yield first, last, [(_host(node, asked), int(node[1])) for node in nodes]


def _host(node: list[Any], asked: str) -> str:
    host = (node[0] or b"").decode()
    if host not in ("", "?"):
        return str(host)
    metadata = node[3] if len(node) > 3 else []  # noqa: PLR2004 - host, port, id, metadata
    known = {metadata[place]: metadata[place + 1] for place in range(0, len(metadata) - 1, 2)}
    return str(known.get(b"ip", b"").decode() or asked)
