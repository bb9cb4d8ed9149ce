"""Lets other greenlets run during a long computation."""

import time
from typing import Final

# Seconds between two yields: the maximum delay of a webhook by the computation.
_AT_ONCE: Final = 0.005


class Yielder:
    """Call it often in a long computation: it lets the other greenlets run every few milliseconds."""

    def __init__(self) -> None:
        self._since = time.monotonic()

    def __call__(self) -> None:
        """Let other greenlets run, if the last yield was long enough ago."""
        if time.monotonic() - self._since > _AT_ONCE:
            time.sleep(0)  # in a worker, gevent has patched it
            self._since = time.monotonic()
