"""The public base URL of the tunnel that `router tunnel` has opened, passed to the running workers in a file.

The writer holds a lock on the file while the tunnel is open. A file left by a crash is not locked and is ignored: the
tunnel's provider may have given the address to another customer, who could forward requests that Twilio signs for it.
"""

import fcntl
import json
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from router.errors import RouterError

NAME: Final = "tunnel.json"
# How long a worker may trust a tunnel whose process was killed. A change, or a regular end, is detected immediately.
_TRUST_SECONDS: Final = 1.0
_LONGEST: Final = 2048


class TunnelRecord:
    """The file as seen by its writer; while this context is open, there is no other writer.

    `chat` is whether web chat is served through the tunnel, too.

    Raises:
        RouterError: the data directory cannot be written to, or another process has a tunnel here.
    """

    def __init__(self, data_dir: Path, *, chat: bool = False) -> None:
        self._path = data_dir / NAME
        self._chat = chat
        self._lock = -1
        self._alone = -1

    def publish(self, url: str) -> None:
        """Publish the tunnel's base URL to the workers, replacing the previous one."""
        draft = self._path.with_suffix(".new")
        try:
            lock = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            fcntl.flock(lock, fcntl.LOCK_EX)  # does not block: no other process has the file open yet
            os.write(lock, json.dumps({"url": url, "process": os.getpid(), "chat": self._chat}).encode())
            draft.replace(self._path)
        except OSError as error:
            raise self._unwritable(error) from None
        held, self._lock = self._lock, lock
        if held >= 0:
            os.close(held)

    def withdraw(self) -> None:
        """Remove the file: there is no tunnel any more."""
        if self._lock >= 0:
            self._path.unlink(missing_ok=True)
            os.close(self._lock)
            self._lock = -1

    def _unwritable(self, error: OSError) -> RouterError:
        return RouterError(f"the tunnel's address cannot be written to {self._path}: {error.strerror}")

    def __enter__(self) -> Self:
        try:
            self._alone = os.open(self._path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(self._alone, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._alone)
            there = read(self._path.parent) or "an address that is not known yet"
            raise RouterError(f"another `router tunnel` runs here already, at {there}; end it first") from None
        except OSError as error:
            raise self._unwritable(error) from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.withdraw()
        os.close(self._alone)


class TunnelWatch:
    """The file as seen by a worker: a check costs one `stat`; it is read after a change, and every `_TRUST_SECONDS`.

    `clock` returns monotonic seconds.
    """

    def __init__(self, data_dir: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._data_dir = data_dir
        self._path = str(data_dir / NAME)
        self._clock = clock
        self._seen: tuple[int, int] | None = None
        self._url, self._chat = "", False
        self._until = 0.0

    def url(self) -> str:
        """Return the tunnel's base URL, "" without a tunnel."""
        # Every message calls this, and usually there is no file: access() is cheaper than a stat() that raises, and
        # Path is slower than os.
        if not os.access(self._path, os.F_OK):
            self._seen = None
            return ""
        try:
            found = os.stat(self._path)  # noqa: PTH116 - as above
        except OSError:
            self._seen = None
            return ""
        seen = (found.st_ino, found.st_mtime_ns)
        if seen != self._seen or self._clock() >= self._until:
            (self._url, self._chat), self._seen = _read(self._data_dir), seen
            self._until = self._clock() + _TRUST_SECONDS
        return self._url

    def chat(self) -> bool:
        """Return whether web chat is served through the tunnel."""
        return bool(self.url()) and self._chat


def read(data_dir: Path) -> str:
    """Return the base URL of the open tunnel, "" without a tunnel."""
    return _read(data_dir)[0]


def _read(data_dir: Path) -> tuple[str, bool]:
    """Return the base URL of the open tunnel, and whether web chat is served through it."""
    path = data_dir / NAME
    with suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
        while True:
            with path.open("rb") as file:
                if not _is_held(file.fileno()):
                    if os.fstat(file.fileno()).st_ino != path.stat().st_ino:
                        continue  # the file was replaced after it was opened
                    return "", False
                written = json.loads(file.read(_LONGEST))
                url = written["url"]
                good = isinstance(url, str) and url.startswith(("https://", "http://"))
                return (url, written.get("chat") is True) if good else ("", False)
    return "", False


def _is_held(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False
