"""The files through which the processes share their metrics; prometheus-client writes and reads them.

It names files after the process that writes them, and the counts of a process that has ended must be kept. So that the
number of files does not grow, processes are numbered: one that replaces an ended process continues its files.

gunicorn's configuration uses this module, so it must not import prometheus-client, which is imported after the fork.
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

# The variable that prometheus-client reads when it is imported.
FOLDER: Final = "PROMETHEUS_MULTIPROC_DIR"
# The variable with the name in a process's files; `router.metrics` reads it.
NAME: Final = "PROMETHEUS_MULTIPROC_NAME"
_PREFIX: Final = "router-metrics-"


@dataclass(frozen=True, slots=True)
class MetricFiles:
    """The folder of one gunicorn master and its workers.

    They share a lock on it while at least one of them runs, so that a folder left by killed ones can be recognized.
    """

    folder: Path
    _lock: int  # a file descriptor that is never closed

    @classmethod
    def prepare(cls) -> "MetricFiles":
        """Use the folder that the environment names, or create one, and remove old folders without a running process.

        The name of a created folder contains the master's process id, so that no forked process removes it. When a
        reload calls this again, it returns the same folder.
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
        """Remove the folder, if this process has created it."""
        if self.folder.name.startswith(f"{_PREFIX}{os.getpid()}-"):
            shutil.rmtree(self.folder, ignore_errors=True)

    def end(self, name: str) -> None:
        """Remove the live gauges of an ended process, as `mark_process_dead` of prometheus-client does."""
        for file in self.folder.glob(f"gauge_live*_{name}.db"):
            file.unlink(missing_ok=True)


def free_name(taken: Collection[str]) -> str:
    """Return the first name for a worker of this master that no running worker has."""
    return next(name for number in count() if (name := f"{os.getpid()}-{number}") not in taken)


def _remove_left_behind() -> None:
    """Remove folders of killed masters: no process has their id, and none of their workers is running."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        if _is_running(folder.name.removeprefix(_PREFIX).partition("-")[0]):
            continue  # also if a master has just created it, or is of an older version, which takes no lock
        try:
            lock = os.open(folder, os.O_RDONLY | os.O_NOFOLLOW)
        except OSError:  # it belongs to another user, or is gone
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
    except (OSError, ValueError, OverflowError):  # another user's folder, or a name of another program
        return True
    return True


def _locked(folder: int) -> bool:
    """Try to lock a folder; return False if another process holds the lock."""
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
