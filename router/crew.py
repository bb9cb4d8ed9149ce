"""A pool of greenlets, for work that is done for every message.

A new greenlet costs about 30 µs of processor time, because Python maps memory for its frames and unmaps it at the end.
Reusing one costs 5 µs.
"""

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import gevent
from gevent.event import Event


class Crew:
    """Runs functions in greenlets. A greenlet that has finished waits for another function.

    Args:
        most: the maximum number of waiting greenlets.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._waiting: list[Any] = []
        self._free = Event()
        self.busy = 0  # functions that run, or are about to

    def spawn(self, function: Callable[..., Any], *args: Any, **more: Any) -> None:
        """Run a function in the next round of the event loop. An exception is printed, as for any greenlet."""
        self.busy += 1
        job = partial(function, *args, **more)
        hub = gevent.get_hub()
        if self._waiting and self._waiting[-1].parent is hub:  # otherwise it belongs to another thread
            hub.loop.run_callback(self._waiting.pop().switch, job)
        else:
            gevent.spawn(self._work, job)

    def join(self, seconds: float) -> None:
        """Wait until no function runs, `seconds` at most."""
        if self.busy:
            self._free.clear()
            self._free.wait(seconds)

    def _work(self, job: partial[Any] | None) -> None:
        hub, own = gevent.get_hub(), gevent.getcurrent()
        while job is not None:
            try:
                job()
            except Exception:  # noqa: BLE001 - print it, as gevent does for any greenlet
                hub.handle_error(own, *sys.exc_info())
            finally:
                self.busy -= 1
                if not self.busy:
                    self._free.set()
            job = None  # release the function and its arguments
            if len(self._waiting) < self._most:
                self._waiting.append(own)
                job = _next(hub, own)


def _next(hub: Any, own: Any) -> Any:
    """Wait for the next function. A timeout that the last one has not cancelled is printed, and ignored."""
    while True:
        try:
            return hub.switch()
        except (Exception, gevent.Timeout):  # noqa: BLE001 - print it, and continue to wait
            hub.handle_error(own, *sys.exc_info())
