"""Calls to a Redis or Valkey Cluster: each goes to the node that has its key's slot, over that node's one connection.

A node that answers `MOVED`, `ASK`, `TRYAGAIN` or `CLUSTERDOWN` did not run the command. Only then is it sent again,
within the time limit of a call. A call whose outcome is unknown is never repeated here, as with a single server.

A command's key is its second word, or the first key of a script. A command without a key (TIME, PING) goes to the node
of the router's own keys. A command about a whole node (INFO, CONFIG, SCAN, WAIT) must be sent with that node's client:
`node`, `nodes`.
"""

import time
from collections.abc import Mapping
from typing import Any, Final

import gevent
from redis.crc import key_slot

from router.cluster_url import SCHEMES, ClusterUrl
from router.errors import StoreRefused, StoreUnavailable
from router.server_url import Address, name
from router.store.client import CALL_SECONDS, Call, Client, NotRun
from router.store.cluster_slots import ClusterSlots
from router.store.connections import connection_options
from router.store.keys import TURN
from router.store.script import Word

# The pause before a command is sent again, unless a node has just named its new node.
AGAIN_SECONDS: Final = 0.02
# Commands whose second word is no key.
_KEYLESS: Final = frozenset({"TIME", "PING", "INFO", "CONFIG"})


class ClusterClient(Client):
    """A client of each node, and the choice of the node for each command; used like a `Client`."""

    def __init__(self, url: str, *, replicas: int = 0, call_seconds: float = CALL_SECONDS) -> None:
        self._url = ClusterUrl.parse(url)
        self._call_seconds = call_seconds
        self._slots = ClusterSlots(self._url, call_seconds / 2, connection_options(call_seconds))
        self._clients: dict[Address, Client] = {}
        self.replicas = replicas

    @property
    def connection(self) -> int:
        """How many connections to nodes were made."""
        return sum(client.connection for client in self._clients.values())

    def is_confirmed(self, key: Word, seconds: float) -> bool:
        """Return whether enough replicas of the node that has this key confirm all that was written to it."""
        return self.node(key).is_confirmed(key, seconds)

    def node(self, key: Word) -> Client:
        """Return the client of the node that has a key; raise `StoreUnavailable` if it is unknown."""
        return self._client(self._slots.owner(_slot(key)))

    def place(self, key: Word) -> str:
        """Return the name of the node that has a key; raise `StoreUnavailable` if it is unknown."""
        return name(self._slots.owner(_slot(key)))

    def nodes(self) -> Mapping[str, Client]:
        """Return the clients of all nodes that have slots, by `host:port`; none if no node of the Cluster answers."""
        return {name(each): self._client(each) for each in self._slots.masters()}

    def uncovered(self) -> int:
        """Return how many slots no node has."""
        return self._slots.uncovered()

    def look_again(self) -> None:
        """Ask the nodes again which slots they have, because these may have changed."""
        self._slots.look_again()

    def close(self) -> None:
        """Close all connections; the next calls make new ones."""
        for client in self._clients.values():
            client.close()

    def _client(self, node: Address) -> Client:
        client = self._clients.get(node)
        if client is None:
            for gone in [each for each in self._clients if not self._slots.knows(each)]:
                if self._clients[gone].is_idle():  # the node has left the Cluster
                    self._clients.pop(gone).close()
            client = Client(self._url.of_node(node), replicas=self.replicas, call_seconds=self._call_seconds)
            self._clients[node] = client
        return client

    def _sent(self, words: tuple[Word, ...], *, writes: bool) -> Call | StoreUnavailable:
        try:
            return self.node(_key(words)).enqueue(words, writes=writes)
        except StoreUnavailable as error:
            return error

    def _result(self, words: tuple[Word, ...], sent: Call | StoreUnavailable, *, writes: bool) -> Any:
        """Wait for a command's reply; while nodes answer that they did not run it, send it again."""
        end, seconds, times = time.monotonic() + self._call_seconds, None, 0
        while True:
            try:
                if isinstance(sent, StoreUnavailable):
                    raise sent
                return sent.result(seconds)
            except NotRun as answer:
                times += 1
                if times > 1 or answer.kind not in ("MOVED", "ASK"):
                    gevent.sleep(AGAIN_SECONDS)
                seconds = end - time.monotonic()
                if seconds <= 0:
                    raise StoreUnavailable(f"no node of the Cluster took the command in time ({answer})") from None
                sent = self._sent_again(words, answer, writes=writes)
            except StoreRefused:
                raise
            except StoreUnavailable:
                self._slots.look_again()
                raise

    def _sent_again(self, words: tuple[Word, ...], answer: NotRun, *, writes: bool) -> Call | StoreUnavailable:
        slot, there = _slot(_key(words)), answer.address
        if there is not None:
            # A node that does not know the host name of the other one gives its port only.
            there = (there[0] or self._slots.owner(slot)[0], there[1])
        if answer.kind == "ASK" and there is not None:
            client = self._client(there)
            client.enqueue(("ASKING",), writes=False)
            return client.enqueue(words, writes=writes)
        if answer.kind == "MOVED" and there is not None:
            self._slots.moved(slot, there)
        elif answer.kind == "CLUSTERDOWN":
            self._slots.look_again()
        return self._sent(words, writes=writes)


def open_client(url: str, *, replicas: int = 0, call_seconds: float = CALL_SECONDS) -> Client:
    """Make the client for a URL of any kind."""
    kind = ClusterClient if url.partition("://")[0] in SCHEMES else Client
    return kind(url, replicas=replicas, call_seconds=call_seconds)


def _key(words: tuple[Word, ...]) -> Word:
    if words[0] == "EVALSHA":
        return words[3]
    return TURN if words[0] in _KEYLESS or len(words) == 1 else words[1]


def _slot(key: Word) -> int:
    return key_slot(key if isinstance(key, bytes) else str(key).encode())
