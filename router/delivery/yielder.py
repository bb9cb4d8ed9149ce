"""Yield to the process's other work in the middle of something long."""

import time
from typing import Final

# Seconds that something may have the process at a time: a webhook that comes meanwhile waits for as long.
_AT_ONCE: Final = 0.005


class Yielder:
    """Called often in the middle of something long, it lets the other greenlets of the process run now and then."""

    def __init__(self) -> None:
        self._since = time.monotonic()

    def __call__(self) -> None:
        """Let others run, if it is time."""
        if time.monotonic() - self._since > _AT_ONCE:
            time.sleep(0)  # gevent's, in a worker
            self._since = time.monotonic()
