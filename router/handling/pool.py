"""The children of a worker: one for normal handlers, and one for handlers that block, which isolates them."""

import time
from collections.abc import Mapping
from typing import Final, Literal

from router.handling.frame import Kind, Reply
from router.handling.process import LostError, Process

# How long a handler that has blocked the child is called in the ward, in seconds.
ILL_SECONDS: Final = 600.0
# A call that has not begun is moved to another process if it has at least this many seconds left.
LEAST_SECONDS: Final = 0.5

Place = Literal["main", "ward"]


class Pool:
    """Calls handlers; `paths` are their names and functions."""

    def __init__(self, paths: Mapping[str, str]) -> None:
        self._paths = paths
        self._processes: dict[Place, Process] = {}
        self._ill: dict[str, float] = {}

    def call(self, name: str, raw: bytes, seconds: float) -> Reply:
        """Call a handler with a packed request, and return its reply within `seconds`.

        Raises:
            LostError: there is no reply.
            NoChildError: the handlers cannot be imported.

        """
        deadline = time.monotonic() + seconds
        while True:
            place = self._place(name, time.monotonic())
            process = self._process(place)
            try:
                reply = process.call(name, raw, deadline)
            except LostError as lost:
                if lost.at_fault:
                    self._ill[name] = time.monotonic() + ILL_SECONDS
                    self._process(place)  # start its successor now, before the next message needs it
                if lost.begun or deadline - time.monotonic() < LEAST_SECONDS:
                    raise
                continue
            if reply.kind is Kind.NOT_BEGUN:
                raise LostError("was not called in time: its process is busy", begun=False)
            return reply

    def close(self) -> None:
        """End the children."""
        for process in self._processes.values():
            process.close()

    def _place(self, name: str, now: float) -> Place:
        """Return the place for a call; if a handler blocks the main process now, that process becomes the ward."""
        main = self._processes.get("main")
        if main is not None and main.usable and (holder := main.held_by(now)) is not None:
            self._ill[holder] = now + ILL_SECONDS
            ward = self._processes.get("ward")
            if ward is not None and ward.usable:
                main.retire()
            else:
                self._processes["ward"] = main
            del self._processes["main"]
        return "ward" if self._ill.get(name, 0.0) > now else "main"

    def _process(self, place: Place) -> Process:
        process = self._processes.get(place)
        if process is None or not process.usable:
            process = self._processes[place] = Process(self._paths)
        return process
