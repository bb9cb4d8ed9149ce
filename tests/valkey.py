"""A real Valkey for tests, with the product's configuration: every write on disk, nothing evicted."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import Final
from urllib.parse import quote

from router.process.embedded import CONFIG, ask, valkey_binary
from tests.waiting import wait_until

# All stores of a whole run need at most 1 GB.
_ROOM: Final = 4 << 30


def _fast_folder() -> Path | None:
    """Return a file system in memory with room for the stores, None for the usual place.

    A store writes each command to its file and waits for the disk, for 3 ms and more where several test processes do
    so. In either place the data of a killed process is kept.
    """
    memory = Path("/dev/shm")  # noqa: S108  # each store makes a folder of its own in it
    return memory if memory.is_dir() and shutil.disk_usage(memory).free >= _ROOM else None


class ValkeyServer:
    """One server on a unix socket in a folder of its own, which the tests may kill, pause and fill.

    Args:
        options: lines of valkey.conf that differ, as `{"maxmemory": "8mb"}`.
    """

    def __init__(self, **options: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="router-test-", dir=_fast_folder()))
        self.socket_path = self.folder / "valkey.sock"
        self.url = "unix://" + quote(str(self.socket_path))
        self._options = [part for name, value in options.items() for part in (f"--{name.replace('_', '-')}", value)]
        self._process: subprocess.Popen[bytes] | None = None
        # A copy, because a Sentinel makes its servers rewrite the file.
        self._config = Path(shutil.copy(CONFIG, self.folder))
        self.start()

    @property
    def pid(self) -> int:
        """The process id of the server."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start the server with the data in its folder, and wait until it answers."""
        with (self.folder / "valkey.log").open("ab") as log:
            self._process = subprocess.Popen(
                [valkey_binary(), self._config, "--dir", self.folder, "--unixsocket", self.socket_path, *self._options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        wait_until(self._answers, what="Valkey answers")

    def set(self, name: str, value: str) -> None:
        """Set another setting of valkey.conf, from the next start on."""
        self._options += [f"--{name}", value]

    def kill(self) -> None:
        """Kill the process with SIGKILL, as a crash would; `start` restarts it with the data on disk."""
        self.resume()
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def pause(self) -> None:
        """Suspend the process: it accepts connections and answers nothing until `resume`."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """End a `pause`."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGCONT)

    def command(self, words: str) -> str:
        """Send one inline command, as `CONFIG SET maxmemory 8mb`; return the first line of its answer."""
        return ask(self.socket_path, words, within=10)

    def flush(self) -> None:
        """Delete all keys and counters. Scripts stay, as compiling them for a new connection takes 5 ms."""
        # In one round trip: tests and examples of property tests begin with it, thousands of times.
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(10)
            connection.connect(str(self.socket_path))
            connection.sendall(b"FLUSHALL SYNC\r\nCONFIG RESETSTAT\r\n")
            with connection.makefile("rb") as answer:
                assert [answer.readline() for _ in range(2)] == [b"+OK\r\n"] * 2

    def close(self) -> None:
        """Stop the server and remove its folder."""
        if self._process is not None and self._process.poll() is None:
            self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _answers(self) -> bool:
        assert self._process is not None
        log = (self.folder / "valkey.log").read_text(errors="replace")
        assert self._process.poll() is None, log[-2000:]
        with contextlib.suppress(OSError):
            return self.command("PING") == "+PONG"
        return False
