"""Calls to a Redis or Valkey Cluster: each goes to the node that has its key's slot, over that node's one connection.

A node that answers `MOVED`, `ASK`, `TRYAGAIN` or `CLUSTERDOWN` did not run the command. Only then it is sent again, as
long as the time of a call allows. A call whose outcome is unknown is never repeated here, as with a single server.

A command's key is its second word, or the first key of a script. One without a key (TIME, PING) goes to the node of the
router's own keys. What concerns a whole node (INFO, CONFIG, SCAN, WAIT) is sent to the client of that node: `node`,
`nodes`.
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

# Between two times that a command is sent, unless a node has just said where it belongs.
AGAIN_SECONDS: Final = 0.02
# Commands whose second word is no key.
_KEYLESS: Final = frozenset({"TIME", "PING", "INFO", "CONFIG"})


class ClusterClient(Client):
    """The clients of the nodes, and which of them a command goes to; used like a `Client`."""

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
        """Say whether enough replicas of the node that has this key have all that was written there."""
        return self.node(key).is_confirmed(key, seconds)

    def node(self, key: Word) -> Client:
        """Return the client of the node that has a key; raise `StoreUnavailable` when none is known to."""
        return self._client(self._slots.owner(_slot(key)))

    def place(self, key: Word) -> str:
        """Return the name of the node that has a key; raise `StoreUnavailable` when none is known to."""
        return name(self._slots.owner(_slot(key)))

    def nodes(self) -> Mapping[str, Client]:
        """Return the clients of all nodes that have slots, by `host:port`; none if no node of the Cluster answers."""
        return {name(each): self._client(each) for each in self._slots.masters()}

    def uncovered(self) -> int:
        """Return how many slots no node has."""
        return self._slots.uncovered()

    def look_again(self) -> None:
        """Ask the nodes again which has what: the caller has heard that it has changed."""
        self._slots.look_again()

    def close(self) -> None:
        """Close all connections; the next calls make new ones."""
        for client in self._clients.values():
            client.close()

    def _client(self, node: Address) -> Client:
        client = self._clients.get(node)
        if client is None:
            for gone in [each for each in self._clients if not self._slots.knows(each)]:
                if self._clients[gone].is_idle():  # nodes that have left the Cluster, as containers do
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
        """Wait for a command's reply; send it again as long as nodes answer that they did not run it."""
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
            # A node that does not know how clients reach others names only their port.
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
