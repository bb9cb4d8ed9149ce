"""The data directory of a router: it must be writable, and only one router runs in it."""

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from router.errors import RouterError, SettingsError


def make(folder: Path) -> None:
    """Create the data directory, and check that it is writable.

    Raises:
        SettingsError: it cannot be created or is not writable.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        reason = "it is a file" if isinstance(error, FileExistsError) else error.strerror
        raise SettingsError("ROUTER_DATA_DIR", f"{folder} cannot be used: {reason}; name another folder") from None


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lock the data directory for this process; the lock ends with the process."""
    with (folder / "router.lock").open("a+", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise RouterError(
                f"a router already runs in {folder} (process {lock.read().strip() or 'unknown'}); "
                "stop it, or use another --data-dir"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield
