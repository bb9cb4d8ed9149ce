"""Hears what happens in web chats, as the scripts publish it: over one connection for each process.

A publication is only a hint: the chat's list is the truth. What is published while there is no connection is lost, so
`woke` is called after each connect, and every reader looks again.
"""

import contextlib
import json
import time
from collections.abc import Callable, Iterable
from typing import Any, Final

import gevent

from router.errors import StoreUnavailable
from router.store.client import CALL_SECONDS, connection_pool, store_errors
from router.store.keys import chat_channel

# How often the connection is checked, and how long until a new one is made.
_CHECK_SECONDS: Final = 10.0
_AGAIN_SECONDS: Final = 1.0
# How often a stop is looked for.
_LOOK_SECONDS: Final = 0.5


class ChatEvents:
    """Listens to the channels of some buckets."""

    def __init__(self, url: str, buckets: Iterable[str]) -> None:
        self._url = url
        self._channels = [chat_channel(tag) for tag in buckets]

    def listen(
        self,
        hear: Callable[[str, dict[str, Any]], None],
        woke: Callable[[], None],
        stopping: Callable[[], bool],
    ) -> None:
        """Call `hear` with "<AccountSid>:<CH…>" and the event, and `woke` after each connect, until `stopping`."""
        while not stopping():
            try:
                self._listen(hear, woke, stopping)
            except StoreUnavailable:
                gevent.sleep(_AGAIN_SECONDS)

    def _listen(
        self, hear: Callable[[str, dict[str, Any]], None], woke: Callable[[], None], stopping: Callable[[], bool]
    ) -> None:
        with store_errors():
            pool = connection_pool(self._url, CALL_SECONDS)
            connection = pool.get_connection()
        try:
            with store_errors():
                connection.send_command("SUBSCRIBE", *self._channels)
                for _ in self._channels:
                    connection.read_response(disable_decoding=True)
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
        finally:
            connection.disconnect()
            pool.release(connection)


def _tell(reply: list[Any], hear: Callable[[str, dict[str, Any]], None]) -> None:
    if reply[0] != b"message":
        return
    with contextlib.suppress(ValueError):  # what another program published
        chat, _, event = reply[2].decode().partition(" ")
        hear(chat, json.loads(event))
