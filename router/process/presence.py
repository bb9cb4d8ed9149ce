"""Keeps the process registered in the store while it accepts messages, and requests missing language models.

It also finds the entries of processes that were killed: Twilio got no answer to the messages that these had just
received, and calls a webhook only once. So router/queries/outage.py makes the period a gap of their accounts.

The process that forks the workers loads the models, so that all share them. It cannot read the store, but a worker can.
"""

import contextlib
import os
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from threading import Event
from typing import Final

from router.errors import StoreUnavailable
from router.language.detector import needed
from router.machine import ASK, host, machine
from router.settings import Settings
from router.store import Store
from router.store.processes import EVERY, Expired, Process, Served

# The interval at which the languages of flows are read: one call for each bucket of the accounts.
_LOOK: Final = 1.0
# The minimum time between two requests to the master, which needs it to read the store and to load models.
_AGAIN: Final = 3.0
# The maximum number of targets with an open breaker in an entry: about 10 KB.
_SHUT: Final = 100


class Presence:
    """Announces this process until it stops.

    Args:
        settings: the process's settings.
        store: the store that has the entries.
        languages: the codes of the languages whose models it has loaded.
        shut: returns the targets with an open breaker, as in `Process.shut`.
        killed: called with each process that was killed, and the accounts that it served.
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        languages: frozenset[str],
        shut: Callable[[], Iterable[tuple[str, str]]],
        killed: Callable[[Expired, Collection[str]], None],
    ) -> None:
        self._store = store
        self._shut = shut
        self._killed = killed
        self._languages = languages
        self._serves = Served.of(settings)
        self._process = Process(
            machine=machine(),
            host=host(),
            master=0,
            pid=0,
            bind=settings.bind,
            languages=tuple(sorted(languages)),
            serves=self._serves.name(),
        )
        self._announced: Process | None = None
        self._stopped = Event()

    def run(self) -> None:
        """Announce this process regularly, and request the models that it lacks for the languages of flows."""
        process = replace(self._process, master=os.getppid(), pid=os.getpid())
        announce_at = request_at = 0.0
        while not self._stopped.is_set():
            now = time.monotonic()
            with contextlib.suppress(StoreUnavailable, OSError):
                process = replace(process, shut=tuple(sorted(self._shut())[:_SHUT]))
                if now >= announce_at or process != self._announced:
                    expired = self._store.processes.announce(process, self._announced, self._serves)
                    self._announced, announce_at = process, now + EVERY
                    for each in expired:
                        self._killed(each, self._store.processes.served(each.process.serves).accounts)
                        self._store.processes.forget(each.to)
                if now >= request_at and not needed(self._store.languages.named()) <= self._languages:
                    request_at = now + _AGAIN
                    if os.getppid() == process.master:
                        os.kill(process.master, ASK)
            self._stopped.wait(_LOOK)

    def stop(self) -> None:
        """Announce the process no more."""
        self._stopped.set()

    def withdraw(self) -> None:
        """Remove the entry of this process: it ends as intended. Raises StoreUnavailable."""
        if self._announced is not None:
            self._store.processes.withdraw(self._announced)
