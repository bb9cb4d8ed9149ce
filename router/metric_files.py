"""The files through which the figures of all processes are gathered; prometheus-client writes and reads them.

It names files after the process that writes them, and a dead process's counts still count. So that files do not become
more with every process that ends, processes are numbered: one that takes a dead one's place goes on in its files.

gunicorn's configuration uses this; nothing of prometheus-client may be imported before the fork.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Collection
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Final

# Read by prometheus-client when it is imported.
FOLDER: Final = "PROMETHEUS_MULTIPROC_DIR"
# What a process's files are named after; read by `router.metrics`.
NAME: Final = "PROMETHEUS_MULTIPROC_NAME"
_PREFIX: Final = "router-metrics-"


@dataclass(frozen=True, slots=True)
class MetricFiles:
    """The folder of one gunicorn master and its workers.

    They share a lock on it while at least one of them lives, so that files left by a killed one can be recognized.
    """

    folder: Path
    _lock: int  # a file descriptor that is never closed

    @classmethod
    def prepare(cls) -> "MetricFiles":
        """Use the folder that the environment names, or make one, and remove folders without a live writer.

        A folder of our own bears the master's process id, so that no forked process removes it. Called again by a
        reload, it finds the same folder.
        """
        given = os.environ.get(FOLDER)
        if not given:
            _remove_left_behind()
            given = tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-")
        folder = Path(given)
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder, os.O_RDONLY)
        if _locked(lock):
            for file in folder.glob("*.db"):
                file.unlink(missing_ok=True)
        os.environ[FOLDER] = given
        return cls(folder, lock)

    def remove(self) -> None:
        """Remove a folder that this process has made."""
        if self.folder.name.startswith(f"{_PREFIX}{os.getpid()}-"):
            shutil.rmtree(self.folder, ignore_errors=True)

    def end(self, name: str) -> None:
        """Take out the gauges of a process that ended, as `mark_process_dead` of prometheus-client does."""
        for file in self.folder.glob(f"gauge_live*_{name}.db"):
            file.unlink(missing_ok=True)


def free_name(taken: Collection[str]) -> str:
    """Return the first name for a worker of this master that none of its living ones has."""
    return next(name for number in count() if (name := f"{os.getpid()}-{number}") not in taken)


def _remove_left_behind() -> None:
    """Remove folders of masters that were killed: no process has their id, and none of their workers is left."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        if _is_running(folder.name.removeprefix(_PREFIX).partition("-")[0]):
            continue  # also a master that has just made its folder, or one of an older version, which takes no lock
        try:
            lock = os.open(folder, os.O_RDONLY | os.O_NOFOLLOW)
        except OSError:  # another user's, or gone
            continue
        try:
            if _locked(lock) and os.fstat(lock).st_uid == os.geteuid():
                shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(lock)


def _is_running(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except (OSError, ValueError, OverflowError):  # another user's, or a name that is not ours
        return True
    return True


def _locked(folder: int) -> bool:
    """Try to lock a folder; return False if another process holds the lock."""
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
