"""Writes the reason of a refused reload into the store, where `router reload` reads it.

The process that forks the workers must not import the Redis client or ssl, so a forked child writes it, as in preload.
"""

import contextlib
import os
from typing import Final

from router.machine import machine
from router.process.fork import in_child
from router.settings import Settings

_SECONDS: Final = 5.0


def tell(settings: Settings, reason: str) -> None:
    """Write why a reload was refused; `settings` are those that the router keeps."""
    master = os.getpid()

    def write() -> str:
        from router.store import connect

        connect(settings).processes.refuse_reload(machine(), master, reason)
        return ""

    with contextlib.suppress(TimeoutError):  # then the command times out, and only the log has the reason
        in_child(write, seconds=_SECONDS)
