"""Stops a command on Ctrl-C, TERM or HUP, but only between two of its steps."""

import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType, TracebackType
from typing import Any, Final, Self, TypeVar

import click

from router.errors import StoreUnavailable

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# Seconds between two polls of the store: short enough for a person who watches.
_PAUSE: Final = 0.5
_Found = TypeVar("_Found")


class Stop:
    """A context in which these signals only set a flag.

    The usual KeyboardInterrupt would interrupt the current step, and gevent prints a traceback if that is a call to the
    store.
    """

    def __init__(self) -> None:
        self._asked = threading.Event()
        self._before: dict[int, Any] = {}

    @property
    def asked(self) -> bool:
        """Whether a signal was received."""
        return self._asked.is_set()

    def wait(self, seconds: float) -> bool:
        """Wait for so many seconds or until a signal is received; return whether one was."""
        return self._asked.wait(seconds)

    def polls(self, poll: Callable[[], list[_Found]]) -> Iterator[list[_Found]]:
        """Yield the results of `poll` until a signal is received; pause after each that is empty.

        While the store does not answer, the results are empty; this is printed once.
        """
        found, unavailable = list[_Found](), False
        while True:
            try:
                found, unavailable = poll(), False
            except StoreUnavailable as error:
                if not unavailable:
                    click.echo(f"{error}; trying again until it answers", err=True)
                found, unavailable = [], True
            yield found
            if self.wait(0 if found else _PAUSE):
                return

    def __enter__(self) -> Self:
        self._before = handle(lambda *_: self._asked.set())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)


def handle(handler: Callable[[int, FrameType | None], None]) -> dict[int, Any]:
    """Call a function on Ctrl-C, TERM and HUP; return the previous handlers, by signal.

    HUP stays ignored under `nohup`. INT does not: `router connect &` in a script inherits an ignored INT.
    """
    return {
        number: signal.signal(number, handler)
        for number in _SIGNALS
        if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN
    }
