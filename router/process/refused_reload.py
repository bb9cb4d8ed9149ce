"""Tells `router reload` why the router goes on with the settings it has, through the store.

The process that forks the workers must know neither Redis' client nor TLS, so a forked child writes it, as in preload.
"""

import contextlib
import os
from typing import Final

from router.machine import machine
from router.process.fork import in_child
from router.settings import Settings

_SECONDS: Final = 5.0


def tell(settings: Settings, reason: str) -> None:
    """Write why a reload was refused; `settings` are those that the router goes on with."""
    master = os.getpid()

    def write() -> str:
        from router.store import connect

        connect(settings).processes.refuse_reload(machine(), master, reason)
        return ""

    with contextlib.suppress(TimeoutError):  # the command waits in vain, and the log has it
        in_child(write, seconds=_SECONDS)
