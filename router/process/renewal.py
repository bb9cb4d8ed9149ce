"""Loads the models of newly named languages in a running router, in the process that forks the workers.

It loads the models, then replaces its workers one by one with newly forked ones. A worker is stopped gracefully only
when its successor accepts connections, so the configured number of workers is available at any time.
"""

import signal
import time
from collections.abc import Callable
from typing import Any, Final

from router.machine import ASK

# The pause before a worker that could not start is started again, and between two reads of the store.
_PAUSE: Final = 3.0


class Renewal:
    """Replaces workers, one step each time the arbiter manages its workers.

    Args:
        server: gunicorn's arbiter.
        load: loads the missing models; returns whether there were any.
    """

    def __init__(self, server: Any, load: Callable[[], bool]) -> None:
        self._server = server
        self._load = load
        self._asked = False
        self._load_after = self._spawn_after = 0.0
        self._old = 0  # workers up to this age have too few languages
        self._successor: int | None = None
        self._leaving: set[int] = set()
        self._extra = 0  # workers above the number in the settings

    def ask(self) -> None:
        """Record that a worker lacks a language: the handler of the signal ASK."""
        self._asked = True

    def manage_workers(self) -> None:
        """Take the next step, then call the arbiter's own method, which this replaces."""
        server = self._server
        # While workers are being replaced, the old ones still send requests: these are ignored.
        if self._asked and self._oldest() is None and time.monotonic() >= self._load_after:
            self._asked = False
            self._load_after = time.monotonic() + _PAUSE
            if self._load():
                self._old = server.worker_age
                server.log.info("languages were loaded; replacing %d workers, one by one", len(server.WORKERS))
        self._leaving &= server.WORKERS.keys()
        self._replace()
        extra = len(self._leaving) + (self._successor is not None)
        server.num_workers += extra - self._extra
        self._extra = extra
        type(server).manage_workers(server)

    def _replace(self) -> None:
        server, old = self._server, self._oldest()
        if self._successor is not None and self._successor not in server.WORKERS:
            server.log.error("a worker with new languages did not start; the others continue, the router tries again")
            self._successor, self._spawn_after = None, time.monotonic() + _PAUSE
        if self._successor is not None and _takes_connections(server.WORKERS[self._successor]):
            self._successor = None
            if old is not None:
                server.kill_worker(old, signal.SIGTERM)
                self._leaving.add(old)
                old = self._oldest()
        if self._successor is None and old is not None and time.monotonic() >= self._spawn_after:
            self._successor = server.spawn_worker()

    def _oldest(self) -> int | None:
        """Return the worker that is to be replaced next."""
        old = {worker.age: pid for pid, worker in self._server.WORKERS.items() if worker.age <= self._old}
        return next((pid for _, pid in sorted(old.items()) if pid not in self._leaving), None)


def install(server: Any, load: Callable[[], bool]) -> None:
    """Make an arbiter renew its workers when one of them requests it; a second call, after a reload, starts afresh."""
    renewal = Renewal(server, load)
    server.manage_workers = renewal.manage_workers
    server.handle_urg = renewal.ask
    signal.signal(ASK, server.signal)


def _takes_connections(worker: Any) -> bool:
    """Return whether a worker has started: its heartbeat file then has a monotonic time, and before that a date."""
    return bool(worker.tmp.last_update() <= time.monotonic())
