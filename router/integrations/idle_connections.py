"""The pool of idle connections to targets."""

import time
from collections.abc import Callable, Hashable
from typing import Final

from router.integrations.connection import IDLE_SECONDS, Connection

# The maximum number of idle connections of one target: its share of a process's attempts (ROUTER_DELIVERIES / 4).
IDLE_PER_TARGET: Final = 64


class IdleConnections:
    """The idle connections of one process, by target.

    A connection that the target has closed or sent data on, or that has been idle for `IDLE_SECONDS`, is not reused.
    One race remains: the target may close the connection while a request is being sent. Whether the request was read is
    then unknown, and so is its outcome: RFC 9110, section 9.2.2, for a POST.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._idle: dict[Hashable, list[Connection]] = {}
        self._sweep_at = 0.0

    def take(self, key: Hashable) -> Connection | None:
        """Return the most recently used connection, or None."""
        waiting = self._idle.get(key)
        if not waiting:
            return None
        now = self._clock()
        while waiting:
            connection = waiting.pop()
            if connection.usable(now):
                return connection
            connection.close()
        return None

    def give(self, key: Hashable, connection: Connection) -> None:
        """Put a connection into the pool, if it is reusable."""
        if connection.closed:
            return
        waiting = self._idle.setdefault(key, [])
        if len(waiting) < IDLE_PER_TARGET:
            waiting.append(connection)
        else:
            connection.close()
        now = self._clock()
        if now >= self._sweep_at:
            self._sweep_at = now + IDLE_SECONDS
            self._sweep(now)

    def close(self) -> None:
        """Close all connections."""
        for waiting in self._idle.values():
            for connection in waiting:
                connection.close()
        self._idle.clear()

    def _sweep(self, now: float) -> None:
        """Close the connections of all targets that have been idle for too long."""
        for key, waiting in list(self._idle.items()):
            kept = []
            for connection in waiting:
                if connection.usable(now):
                    kept.append(connection)
                else:
                    connection.close()
            if kept:
                waiting[:] = kept
            else:
                del self._idle[key]
