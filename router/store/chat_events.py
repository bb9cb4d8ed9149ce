"""Hears what happens in web chats, as the scripts publish it: over one connection for each process and server.

A publication is only a hint: the chat's list is the truth. What is published while there is no connection is lost, so
`woke` is called after each connect, and every reader looks again.

Each bucket's channel has the bucket's slot (SPUBLISH), so that in a Cluster a publication stays on the node that has
the account, and is listened to there. When a slot has moved, its channel is subscribed to on its new node.
"""

import contextlib
import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeAlias

import gevent

from router.errors import StoreUnavailable
from router.store.client import Client, store_errors
from router.store.keys import chat_channel

# How often a connection is checked, and how often it is looked where the channels are.
_CHECK_SECONDS: Final = 10.0
_AGAIN_SECONDS: Final = 1.0
# How often a stop is looked for.
_LOOK_SECONDS: Final = 0.5

_Hear: TypeAlias = Callable[[str, dict[str, Any]], None]


class ChatEvents:
    """Listens to the channels of some buckets."""

    def __init__(self, client: Client, buckets: Iterable[str]) -> None:
        self._client = client
        self._channels = [chat_channel(tag) for tag in buckets]

    def listen(self, hear: _Hear, woke: Callable[[], None], stopping: Callable[[], bool]) -> None:
        """Call `hear` with "<AccountSid>:<CH…>" and the event, and `woke` after each connect, until `stopping`."""
        listeners: dict[
            tuple[str, ...], gevent.Greenlet[..., None]
        ] = {}  # by their channels, those of one server together
        try:
            while not stopping():
                wanted = self._by_server()
                for channels in set(listeners) - set(wanted.values()):
                    listeners.pop(channels).kill(block=False)
                for place, channels in wanted.items():
                    if channels not in listeners or listeners[channels].ready():
                        listeners[channels] = gevent.spawn(self._listen, place, channels, hear, woke, stopping)
                gevent.sleep(_AGAIN_SECONDS)
        finally:
            gevent.killall(list(listeners.values()), block=False)

    def _by_server(self) -> dict[str, tuple[str, ...]]:
        """Return the channels of each server; of those whose server is not known, none."""
        found = defaultdict(list)
        for channel in self._channels:
            with contextlib.suppress(StoreUnavailable):
                found[self._client.place(channel)].append(channel)
        return {place: tuple(channels) for place, channels in found.items()}

    def _listen(
        self, place: str, channels: tuple[str, ...], hear: _Hear, woke: Callable[[], None], stopping: Callable[[], bool]
    ) -> None:
        """Listen to the channels of one server until they are elsewhere, or the connection is lost."""
        try:
            with self._client.nodes()[place].dedicated() as connection:
                _subscribe(connection, channels)
                woke()
                checked = time.monotonic()
                while not stopping():
                    with store_errors():
                        if connection.can_read(_LOOK_SECONDS):
                            _tell(connection.read_response(disable_decoding=True), hear)
                        elif time.monotonic() - checked > _CHECK_SECONDS:
                            connection.send_command("PING")
                            _tell(connection.read_response(disable_decoding=True), hear)
                            checked = time.monotonic()
        except (StoreUnavailable, KeyError):  # also a server that has just lost its last slot
            self._client.look_again()


def _subscribe(connection: Any, channels: Iterable[str]) -> None:
    """Subscribe to each channel by itself, for each has a slot of its own; raise where the server has it no more."""
    with store_errors():
        for channel in channels:
            connection.send_command("SSUBSCRIBE", channel)
        for _ in channels:
            connection.read_response(disable_decoding=True)


def _tell(reply: list[Any], hear: _Hear) -> None:
    if reply[0] == b"sunsubscribe":
        raise StoreUnavailable("a slot has moved to another node")
    if reply[0] != b"smessage":
        return
    with contextlib.suppress(ValueError):  # what another program published
        chat, _, event = reply[2].decode().partition(" ")
        hear(chat, json.loads(event))
