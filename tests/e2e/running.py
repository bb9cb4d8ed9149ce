"""A `router run` in a folder of its own, as a terminal would start it."""

import json
import os
import signal
import socket
import subprocess
import sys
import tomllib
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.ports import free_port
from tests.waiting import wait_until

ROUTER = Path(sys.executable).parent / "router"
# No certificate authority is trusted: each process of a router would take 20 ms to read the system's.
NO_AUTHORITIES = {"SSL_CERT_FILE": os.devnull}


def clean_environ(**more: str) -> dict[str, str]:
    """Return this process's environment without any setting of the router, and with these."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ROUTER_", "TWILIO_", "PROM"))}
    return kept | more


class RunningRouter:
    """One `router run`; `up` waits until it is ready, `end` ends it and its children.

    Args:
        folder: where it is started, and where its `var` is.
        options: further command line options.
        program: the `router` that is started.
        data_dir: given to it as `--data-dir`; without one it is `var`.
        environ: further environment variables.
    """

    def __init__(
        self, folder: Path, *options: str, program: str = str(ROUTER), data_dir: str = "", **environ: str
    ) -> None:
        self.folder = folder
        self.var = folder / (data_dir or "var")
        self.port = free_port()
        self._output = folder / f"output-{self.port}"
        command = [program, "run", "--bind", f"127.0.0.1:{self.port}", "--workers", "1", *options]
        command += ["--data-dir", data_dir] if data_dir else []
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                command,
                cwd=folder,
                env=clean_environ(**NO_AUTHORITIES | environ),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                process_group=0,
            )

    @property
    def output(self) -> str:
        """The text that it has printed so far."""
        return self._output.read_text(errors="replace")

    @property
    def demo(self) -> dict[str, Any]:
        """The demo's configuration in the data directory."""
        return tomllib.loads((self.var / "demo.toml").read_text())

    @property
    def store(self) -> Path:
        """The socket of the embedded Valkey."""
        record = json.loads((self.var / "running.json").read_text())
        return Path(record["ROUTER_REDIS_URL"].removeprefix("unix://"))

    def up(self) -> "RunningRouter":
        """Wait until it has printed its address."""
        wait_until(lambda: "Ctrl-C" in self.output or self.process.poll() is not None, what="it is up", within=60)
        assert self.process.poll() is None, self.output
        return self

    def status_of(self, path: str) -> int:
        """Return the status that a GET is answered with, 0 when nothing answers."""
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            connection.sendall(f"GET {path} HTTP/1.0\r\nHost: 127.0.0.1:{self.port}\r\n\r\n".encode())
            with connection.makefile("rb") as answer:
                return int(answer.readline().split()[1])
        return 0

    def children(self) -> dict[str, int]:
        """Return the ids of the processes that it has started, by name: `valkey-server`, `gunicorn`."""
        return {("valkey-server" if "valkey-server" in line else "gunicorn"): pid for pid, line in _children(self.pid)}

    def workers(self) -> list[int]:
        """Return the process ids of gunicorn's workers."""
        return [pid for pid, _ in _children(self.children()["gunicorn"])]

    @property
    def pid(self) -> int:
        """The id of the process that was started, the parent of all others."""
        return self.process.pid

    def interrupt(self) -> None:
        """Press Ctrl-C: the whole process group of the terminal gets the signal."""
        os.killpg(self.pid, signal.SIGINT)

    def end(self) -> None:
        """End it with its children."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise


def is_alive(pid: int) -> bool:
    """Say whether a process runs; a zombie does not."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def _children(parent: int) -> list[tuple[int, str]]:
    found = []
    for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split():
        with suppress(FileNotFoundError, ProcessLookupError):
            found.append((int(pid), Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()))
    return found
