"""Ctrl-C, TERM and HUP for commands that run until then, and have to put something back: no change is cut in two."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Final, Self

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stop:
    """In its context these signals only say that it is time to end."""

    def __init__(self) -> None:
        self._asked = threading.Event()
        self._before: dict[int, Any] = {}

    @property
    def asked(self) -> bool:
        """Whether somebody has asked."""
        return self._asked.is_set()

    def wait(self, seconds: float) -> bool:
        """Wait so long, or until somebody asks; say whether."""
        return self._asked.wait(seconds)

    def __enter__(self) -> Self:
        for number in _SIGNALS:
            # `nohup` stays in force. INT is another matter: a script's `router connect &` inherits it ignored.
            if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._signalled)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    def _signalled(self, _number: int, _frame: FrameType | None) -> None:
        self._asked.set()
