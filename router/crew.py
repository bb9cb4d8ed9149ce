"""Greenlets that stay, for what is done for every message.

A new greenlet costs some 30 µs of processor time, for Python maps memory for its frames and unmaps it at the end. One
that has been waiting costs 5 µs.
"""

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import gevent
from gevent.event import Event


class Crew:
    """Runs functions in greenlets, each of which waits for another function when it is done with one.

    Args:
        most: how many wait at most.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._waiting: list[Any] = []
        self._free = Event()
        self.busy = 0  # functions that run, or are about to

    def spawn(self, function: Callable[..., Any], *args: Any, **more: Any) -> None:
        """Run a function in the next round of the event loop. An exception is printed, as of any greenlet."""
        self.busy += 1
        job = partial(function, *args, **more)
        hub = gevent.get_hub()
        if self._waiting and self._waiting[-1].parent is hub:  # else it is another thread's
            hub.loop.run_callback(self._waiting.pop().switch, job)
        else:
            gevent.spawn(self._work, job)

    def join(self, seconds: float) -> None:
        """Wait until nothing runs, for so long at most."""
        if self.busy:
            self._free.clear()
            self._free.wait(seconds)

    def _work(self, job: partial[Any] | None) -> None:
        hub, own = gevent.get_hub(), gevent.getcurrent()
        while job is not None:
            try:
                job()
            except Exception:  # noqa: BLE001 - as gevent does for a greenlet that ends with one
                hub.handle_error(own, *sys.exc_info())
            finally:
                self.busy -= 1
                if not self.busy:
                    self._free.set()
            job = None  # and with it what it holds
            if len(self._waiting) < self._most:
                self._waiting.append(own)
                job = _next(hub, own)


def _next(hub: Any, own: Any) -> Any:
    """Wait for the next function. A deadline that the last one has left open ends nothing here."""
    while True:
        try:
            return hub.switch()
        except (Exception, gevent.Timeout):  # noqa: BLE001 - it is printed, and the next function still comes
            hub.handle_error(own, *sys.exc_info())
