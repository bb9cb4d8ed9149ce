"""Processor time: what a server spends on a message, and what others on the machine spend meanwhile.

Throughput suffers from whatever else runs; processor time for a message hardly does, so both are reported.
"""

import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

_TICK: Final = 1 / os.sysconf("SC_CLK_TCK")


class Watch:
    """Processor time since it was made: of `pids`, and of whatever is no descendant of this process."""

    def __init__(self, pids: Iterable[int]) -> None:
        self._pids = tuple(pids)
        self._began = time.perf_counter()
        self._watched = self._of_watched()
        self._others = _busy() - _own()

    def seconds(self) -> float:
        """Return the processor time of the watched processes."""
        return self._of_watched() - self._watched

    def others(self) -> float:
        """Return how many cores others kept busy, on average."""
        return max(0.0, (_busy() - _own() - self._others) / (time.perf_counter() - self._began))

    def _of_watched(self) -> float:
        return sum(_times(Path(f"/proc/{pid}/stat"))[0] for pid in self._pids)


def _busy() -> float:
    """Return the time that all cores were busy, stolen time included: proc_stat(5)."""
    user, nice, system, _idle, _iowait, irq, softirq, steal = (
        int(word) for word in Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()[1:9]
    )
    return (user + nice + system + irq + softirq + steal) * _TICK


def _own() -> float:
    """Return the time of this process, of its children that have ended, and of its descendants."""
    parents: dict[int, list[tuple[int, float]]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            seconds, parent = _times(stat)
        except (FileNotFoundError, ProcessLookupError):
            continue
        parents.setdefault(parent, []).append((int(stat.parent.name), seconds))
    total, below = sum(os.times()[:4]), [os.getpid()]
    while below:
        for pid, seconds in parents.get(below.pop(), ()):
            total += seconds
            below.append(pid)
    return total


def _times(stat: Path) -> tuple[float, int]:
    """Return a process's user and system time, and its parent: proc_pid_stat(5)."""
    words = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) * _TICK, int(words[1])
