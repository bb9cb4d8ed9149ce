"""Commands that run until Ctrl-C, TERM or HUP: the signal is seen between two steps, never in the middle of one."""

import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType, TracebackType
from typing import Any, Final, Self, TypeVar

import click

from router.errors import StoreUnavailable

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# Between two looks at the store, in seconds: short for a person who watches, and some ten calls for the store.
_PAUSE: Final = 0.5
_Found = TypeVar("_Found")


class Stop:
    """In its context these signals only say that it is time to end.

    The usual exception would break off whatever is under way, and gevent prints it when that is a call to the store.
    """

    def __init__(self) -> None:
        self._asked = threading.Event()
        self._before: dict[int, Any] = {}

    @property
    def asked(self) -> bool:
        """Whether a signal came."""
        return self._asked.is_set()

    def wait(self, seconds: float) -> bool:
        """Wait so long, or until a signal comes; return whether one came."""
        return self._asked.wait(seconds)

    def looks(self, look: Callable[[], list[_Found]]) -> Iterator[list[_Found]]:
        """Look again and again until a signal comes, with a pause after a look that found nothing.

        While the store does not answer a look finds nothing; that is printed once.
        """
        found, away = list[_Found](), False
        while True:
            try:
                found, away = look(), False
            except StoreUnavailable as error:
                if not away:
                    click.echo(f"{error}; trying again until it does", err=True)
                found, away = [], True
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
    """Have a function called at Ctrl-C, TERM and HUP; return what was called before, by signal.

    `nohup` stays in force. INT is another matter: a script's `router connect &` inherits it ignored.
    """
    return {
        number: signal.signal(number, handler)
        for number in _SIGNALS
        if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN
    }
