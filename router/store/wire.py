"""Sends commands and reads replies over a connection of redis-py.

redis-py polls for a reply before it waits for one, and sets a timer whenever it sends or waits. This took a sixth of
the processor time of a message that is alone in its batch. So redis-py only connects and closes, and this module sends
and reads.
"""

import select
import ssl
from typing import TYPE_CHECKING, Any, Final

import hiredis
import redis
from gevent import get_hub, getcurrent, monkey
from redis.connection import DefaultParser

if TYPE_CHECKING:
    import socket

# Errors after which a connection is closed: another master was elected, the store is starting, scripts were flushed
# (the next connection loads them), the password changed.
_GONE: Final = (
    redis.ConnectionError,  # also while the store is loading, and for a wrong password
    redis.ReadOnlyError,
    redis.exceptions.NoScriptError,
    redis.exceptions.MasterDownError,
)
_READ: Final = 64 * 1024
_NOT_YET: Final = object()


class Wire:
    """One connection; only one greenlet may read from it.

    Args:
        connection: redis-py's, connected, and without pending replies.
        seconds: the time limit for a reply.
    """

    def __init__(self, connection: Any, seconds: float) -> None:
        # redis-py has no public attribute for it. Its timeout, also `seconds`, applies to sending, and without gevent.
        self._socket: socket.socket = connection._get_socket()  # noqa: SLF001
        self._reader = hiredis.Reader(
            protocolError=redis.InvalidResponse, replyError=DefaultParser.parse_error, notEnoughData=_NOT_YET
        )
        loop = get_hub().loop
        # Waits for a reply without polling first. Only under gevent, and not with TLS, which may have read and buffered
        # the reply already.
        plain = monkey.is_module_patched("socket") and not isinstance(self._socket, ssl.SSLSocket)
        self._arrival: Any = loop.io(self._socket.fileno(), 1) if plain else None
        self._deadline: Any = loop.timer(seconds, seconds)
        # The original poll: gevent's uses the event loop and takes a hundred times as long.
        self._poll: select.poll = monkey.get_original("select", "poll")()
        self._poll.register(self._socket, select.POLLIN)

    def send(self, commands: bytes) -> None:
        """Send packed commands; raise OSError."""
        sent = self._socket.send(commands)
        if sent < len(commands):  # gevent's sendall asks the system for the size of its buffer each time
            self._socket.sendall(memoryview(commands)[sent:])

    def reply(self) -> Any:
        """Wait for the next reply: bytes, an integer, a list, None, or the `redis.ResponseError` that the store sent.

        Raises `redis.RedisError` or OSError if no reply arrives in time, or the connection cannot be used any more.
        """
        while (reply := self._reader.gets()) is _NOT_YET:
            self._reader.feed(self._received())
        if isinstance(reply, _GONE):
            raise reply
        return reply

    def has_ended(self) -> bool:
        """Return whether the store has closed the connection; only for one without pending replies."""
        return bool(self._poll.poll(0))

    def close(self) -> None:
        """Make a waiting `reply` fail; redis-py closes the connection."""
        get_hub().cancel_wait(self._arrival, redis.ConnectionError("the connection was closed"), close_watcher=True)
        self._deadline.close()

    def _received(self) -> bytes:
        if self._arrival is not None:
            self._deadline.again(getcurrent().throw, redis.TimeoutError("Timeout reading from socket"))
            try:
                get_hub().wait(self._arrival)
            finally:
                self._deadline.stop()
        received = self._socket.recv(_READ)
        if not received:
            raise redis.ConnectionError("Connection closed by server.")
        return received
