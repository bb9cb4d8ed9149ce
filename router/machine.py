"""The identity of this machine (its PID namespace), and the signal that workers send to their master."""

import platform
import signal
from pathlib import Path
from typing import Final

ASK: Final = signal.SIGURG
"""By which a worker asks its master for languages; a process that does not know it ignores it."""


def machine() -> str:
    """Return a text that is the same for all processes of one PID namespace, and different for all others."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot}:{Path('/proc/self/ns/pid').readlink()}"
    except OSError:  # not Linux
        return platform.node()


def started(pid: int) -> str:
    """Return when a process of this machine started, in ticks since boot; "" if that is unknown.

    A container's first process always has the pid 1, and its PID namespace may get the number of an earlier one.
    """
    try:
        # The second field is the program's name in parentheses, which may contain blanks; this is the 22nd.
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def host() -> str:
    """Return the machine's name, to show it to people."""
    return platform.node() or "this machine"
