"""Processor time: of a server for a message, and of other programs on the machine during a measurement.

Other programs reduce the throughput but hardly change the processor time for a message, so both are reported.
"""

import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

_TICK: Final = 1 / os.sysconf("SC_CLK_TCK")


class Watch:
    """Processor time since its creation: of `pids`, and of all processes that are not descendants of this one."""

    def __init__(self, pids: Iterable[int]) -> None:
        self._pids = tuple(pids)
        self._began = time.perf_counter()
        self._watched = self._of_watched()
        self._others = _busy() - _own()

    def seconds(self) -> float:
        """Return the processor time of the watched processes."""
        return self._of_watched() - self._watched

    def others(self) -> float:
        """Return the average number of cores that other processes used."""
        return max(0.0, (_busy() - _own() - self._others) / (time.perf_counter() - self._began))

    def _of_watched(self) -> float:
        return sum(_times(Path(f"/proc/{pid}/stat"))[0] for pid in self._pids)


def _busy() -> float:
    """Return the busy time of all cores, including stolen time: proc_stat(5)."""
    user, nice, system, _idle, _iowait, irq, softirq, steal = (
        int(word) for word in Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()[1:9]
    )
    return (user + nice + system + irq + softirq + steal) * _TICK


def _own() -> float:
    """Return the processor time of this process, its ended children, and its descendants."""
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
