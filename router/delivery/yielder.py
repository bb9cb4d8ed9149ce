"""Lets other greenlets run during a long computation."""

import time
from typing import Final

# Seconds between two yields: the longest that a webhook is delayed by the computation.
_AT_ONCE: Final = 0.005


class Yielder:
    """To be called often in a long computation; lets the other greenlets run every few milliseconds."""

    def __init__(self) -> None:
        self._since = time.monotonic()

    def __call__(self) -> None:
        """Let other greenlets run, if the time is due."""
        if time.monotonic() - self._since > _AT_ONCE:
            time.sleep(0)  # gevent's, in a worker
            self._since = time.monotonic()
