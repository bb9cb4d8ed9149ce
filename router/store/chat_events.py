"""Subscribes to the events of web chats, which the scripts publish: over one connection for each process and server.

Events that are published while there is no connection are lost. So `connected` is called after each connect, and every
reader then reads the chat itself.

Each bucket's channel is in the bucket's slot (SPUBLISH), so that in a Cluster an event stays on the node that has the
account. When a slot has moved, its channel is subscribed to on the new node.
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

# The interval of the PINGs on an idle connection, and of the checks which server has which channel.
_CHECK_SECONDS: Final = 10.0
_AGAIN_SECONDS: Final = 1.0
# The interval of the checks whether to stop.
_LOOK_SECONDS: Final = 0.5

_OnEvent: TypeAlias = Callable[[str, dict[str, Any]], None]


class ChatEvents:
    """Listens to the channels of some buckets."""

    def __init__(self, client: Client, buckets: Iterable[str]) -> None:
        self._client = client
        self._channels = [chat_channel(tag) for tag in buckets]

    def listen(self, on_event: _OnEvent, connected: Callable[[], None], stopping: Callable[[], bool]) -> None:
        """Until `stopping`, call `on_event` with "<AccountSid>:<CH…>" and each event, `connected` on each connect."""
        # One listener for each server, by its channels.
        listeners: dict[tuple[str, ...], gevent.Greenlet[..., None]] = {}
        try:
            while not stopping():
                wanted = self._by_server()
                for channels in set(listeners) - set(wanted.values()):
                    listeners.pop(channels).kill(block=False)
                for place, channels in wanted.items():
                    if channels not in listeners or listeners[channels].ready():
                        listeners[channels] = gevent.spawn(self._listen, place, channels, on_event, connected, stopping)
                gevent.sleep(_AGAIN_SECONDS)
        finally:
            gevent.killall(list(listeners.values()), block=False)

    def _by_server(self) -> dict[str, tuple[str, ...]]:
        """Return the channels of each server, without those whose server is unknown."""
        by_server = defaultdict(list)
        for channel in self._channels:
            with contextlib.suppress(StoreUnavailable):
                by_server[self._client.place(channel)].append(channel)
        return {place: tuple(channels) for place, channels in by_server.items()}

    def _listen(
        self,
        place: str,
        channels: tuple[str, ...],
        on_event: _OnEvent,
        connected: Callable[[], None],
        stopping: Callable[[], bool],
    ) -> None:
        """Listen to the channels of one server until one of them moves, or the connection is lost."""
        try:
            with self._client.nodes()[place].dedicated() as connection:
                _subscribe(connection, channels)
                connected()
                checked = time.monotonic()
                while not stopping():
                    with store_errors():
                        if connection.can_read(_LOOK_SECONDS):
                            _dispatch(connection.read_response(disable_decoding=True), on_event)
                        elif time.monotonic() - checked > _CHECK_SECONDS:
                            connection.send_command("PING")
                            _dispatch(connection.read_response(disable_decoding=True), on_event)
                            checked = time.monotonic()
        except (StoreUnavailable, KeyError):  # also a server that has just lost its last slot
            self._client.look_again()


def _subscribe(connection: Any, channels: Iterable[str]) -> None:
    """Subscribe to each channel separately, as each has another slot; raise if the server does not have it any more."""
    with store_errors():
        for channel in channels:
            connection.send_command("SSUBSCRIBE", channel)
        for _ in channels:
            connection.read_response(disable_decoding=True)


def _dispatch(reply: list[Any], on_event: _OnEvent) -> None:
    if reply[0] == b"sunsubscribe":
        raise StoreUnavailable("a slot has moved to another node")
    if reply[0] != b"smessage":
        return
    with contextlib.suppress(ValueError):  # an event that another program published
        chat, _, event = reply[2].decode().partition(" ")
        on_event(chat, json.loads(event))
