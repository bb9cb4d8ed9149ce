"""Keeps the process registered in the store while it accepts messages, and requests missing language models.

Models are loaded by the process that forks the workers, so that all share them. It cannot ask the store; a worker can.
"""

import contextlib
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from threading import Event
from typing import Final

from router.errors import StoreUnavailable
from router.language.detector import needed
from router.machine import ASK, host, machine
from router.settings import Settings
from router.store import Store
from router.store.processes import EVERY, Process, Served

# How often the store is asked which languages flows name: one call for each bucket of the accounts.
_LOOK: Final = 1.0
# How often the master is asked, at most: it has the store read, and loads models, in the meantime.
_AGAIN: Final = 3.0
# Targets that do not answer that a process names, at most: some 10 KB.
_SHUT: Final = 100


class Presence:
    """Says what this process is, until it stops.

    Args:
        settings: of the process.
        store: where it says so.
        languages: the codes of the languages whose models it has.
        shut: returns the targets to which it sends only probes now, as `Process.shut` has them.
    """

    def __init__(
        self, settings: Settings, store: Store, languages: frozenset[str], shut: Callable[[], Iterable[tuple[str, str]]]
    ) -> None:
        self._store = store
        self._shut = shut
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
        """Say what this process is, again and again, and look for languages that it lacks; until `stop`."""
        process = replace(self._process, master=os.getppid(), pid=os.getpid())
        say = ask = 0.0
        while not self._stopped.is_set():
            now = time.monotonic()
            with contextlib.suppress(StoreUnavailable, OSError):
                process = replace(process, shut=tuple(sorted(self._shut())[:_SHUT]))
                if now >= say or process != self._announced:
                    self._store.processes.announce(process, self._announced, self._serves)
                    self._announced, say = process, now + EVERY
                if now >= ask and not needed(self._store.languages.named()) <= self._languages:
                    ask = now + _AGAIN
                    if os.getppid() == process.master:
                        os.kill(process.master, ASK)
            self._stopped.wait(_LOOK)

    def stop(self) -> None:
        """Say no more, and that this process takes no more messages."""
        self._stopped.set()
        if self._announced is not None:
            with contextlib.suppress(StoreUnavailable):
                self._store.processes.withdraw(self._announced)
