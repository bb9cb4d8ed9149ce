"""A real Sentinel for tests, which may hang, stop, and be given another master."""

import contextlib
import os
import signal
import socket
import subprocess
from pathlib import Path

from router.process.embedded import valkey_binary
from tests.ports import free_port
from tests.waiting import wait_until


class SentinelServer:
    """One Sentinel on a port of loopback, which names the master `main`.

    Args:
        folder: where its configuration and log go.
        master: the port of loopback that it names.
        lines: more lines of its configuration.
    """

    def __init__(self, folder: Path, master: int, *lines: str) -> None:
        self.port = free_port()
        self._folder = folder
        self._config = folder / f"sentinel-{self.port}.conf"
        given = [
            f"port {self.port}",
            "bind 127.0.0.1",
            f"dir {folder}",
            f"sentinel monitor main 127.0.0.1 {master} 1",
            "sentinel down-after-milliseconds main 500",
            "sentinel failover-timeout main 3000",
            *lines,
        ]
        self._config.write_text("\n".join(given) + "\n", encoding="utf-8")
        self.start()

    def start(self) -> None:
        """Start the Sentinel, and wait until it answers."""
        with (self._folder / f"sentinel-{self.port}.log").open("ab") as log:
            self._process = subprocess.Popen(
                [valkey_binary(), self._config, "--sentinel"], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        wait_until(self._answers, what="the Sentinel answers")

    def command(self, words: str) -> str:
        """Send one inline command and return the first line of its answer."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as connection:
            connection.sendall(words.encode() + b"\r\n")
            with connection.makefile("rb") as answer:
                return answer.readline().decode().strip()

    def name(self, master: int) -> None:
        """Give the Sentinel another master, without a failover."""
        assert self.command("SENTINEL REMOVE main") == "+OK"
        assert self.command(f"SENTINEL MONITOR main 127.0.0.1 {master} 1") == "+OK"

    def pause(self) -> None:
        """Suspend the process: it accepts connections and answers nothing until `resume`."""
        os.kill(self._process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """End a `pause`."""
        os.kill(self._process.pid, signal.SIGCONT)

    def kill(self) -> None:
        """Kill the process: connections are refused."""
        self._process.kill()
        self._process.wait()

    def _answers(self) -> bool:
        assert self._process.poll() is None, (self._folder / f"sentinel-{self.port}.log").read_text()[-2000:]
        with contextlib.suppress(OSError):
            return self.command("PING")[:1] in {"+", "-"}  # an error if it requires a password
        return False
