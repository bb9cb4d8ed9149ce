"""The processes of a benchmark: each on a port of its own, and ended with the benchmark, whatever happens."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Final

from router.errors import RouterError
from router.process.embedded import EmbeddedValkey

PROJECT: Final = Path(__file__).parents[1]
_PATIENCE: Final = 30.0
_GRACE: Final = 5.0
_HEALTHZ: Final = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
# What the caller's environment must not decide for a benchmark.
_FOREIGN: Final = ("ROUTER_", "TWILIO_", "PROMETHEUS_", "GUNICORN_", "BENCH_")


@dataclass(frozen=True, slots=True)
class Server:
    """A process that serves a port; `pid` is the one that was started, which may have workers below it."""

    name: str
    port: int
    pid: int

    def workers(self) -> list[int]:
        """Return the processes that do the work."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text(encoding="ascii").split()
        return [int(pid) for pid in children] or [self.pid]

    def private_bytes(self) -> list[int]:
        """Return each worker's private memory (USS): what the machine would have back if it alone ended."""
        return [_private_bytes(pid) for pid in self.workers()]


def _private_bytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(("Private_Clean:", "Private_Dirty:")))


@dataclass
class Servers:
    """Starts servers in a folder of their own."""

    folder: Path
    store_binary: Path | None = None
    _processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    _stores: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    _started: int = 0

    def start(
        self,
        name: str,
        command: Sequence[str | Path],
        environ: Mapping[str, str],
        *,
        question: bytes = _HEALTHZ,
        port: int | None = None,
    ) -> Server:
        """Start a server; `{port}` in the values of its environment and in its command becomes the port it is to serve.

        Without a `port` that is a free one.

        It serves when it answers the `question`.

        Raises:
            RouterError: it does not serve within 30 s; the error ends with its last words.
        """
        port = port or free_port()
        self._started += 1
        place = self.folder / f"{self._started}-{name}"
        place.mkdir()
        given = {each: value.replace("{port}", str(port)) for each, value in environ.items()}
        with (place / "log").open("wb") as log:
            process = subprocess.Popen(  # noqa: S603 - our own commands
                [str(part).replace("{port}", str(port)) for part in command],
                cwd=place,
                env=without_settings() | {"PROMETHEUS_MULTIPROC_DIR": str(place / "metrics")} | given,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._processes.append(process)
        self._wait(name, process, port, place / "log", question)
        return Server(name, port, process.pid)

    def store(self, name: str) -> str:
        """Start a Valkey, configured as `router run` configures its own, and return its URL."""
        self._started += 1
        store = EmbeddedValkey.over(self.folder / f"{self._started}-{name}", self.store_binary)
        process = store.start()
        if store.socket_path.parent != store.folder:  # where the data directory's path is too long for a socket
            self._stores.callback(shutil.rmtree, store.socket_path.parent, ignore_errors=True)
        self._stores.callback(store.stop, process)
        store.wait_until_ready(process)
        return store.url

    def end(self, server: Server) -> None:
        """End one before the others."""
        process = next(each for each in self._processes if each.pid == server.pid)
        process.terminate()
        _end(process, time.monotonic() + _GRACE)

    def close(self) -> None:
        """End all of them, the stores last."""
        with self._stores:
            for process in self._processes:
                process.terminate()
            deadline = time.monotonic() + _GRACE
            for process in self._processes:
                _end(process, deadline)

    def _wait(self, name: str, process: subprocess.Popen[bytes], port: int, log: Path, question: bytes) -> None:
        begun = time.monotonic()
        while time.monotonic() - begun < _PATIENCE and process.poll() is None:
            with (
                contextlib.suppress(OSError),
                socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE) as asked,
            ):
                # gunicorn's master listens before its workers can answer.
                asked.sendall(question)
                if asked.recv(1):
                    return
            time.sleep(0.02)
        raise RouterError(f"{name} does not serve: {log.read_text(errors='replace')[-1500:]}")


@contextlib.contextmanager
def servers(data_dir: Path, store_binary: Path | None = None) -> Iterator[Servers]:
    """Yield what starts servers, with a folder on the disk of the data directory, which is removed in the end.

    Stores are run by `store_binary`, a valkey-server or redis-server; by default by that of the embedded store.

    TERM and HUP end the benchmark like Ctrl-C, with everything that it started.
    """
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    before = {number: signal.signal(number, _leave) for number in (signal.SIGTERM, signal.SIGHUP)}
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir=data_dir)).absolute()
    started = Servers(folder, store_binary)
    try:
        yield started
    finally:
        started.close()
        shutil.rmtree(folder, ignore_errors=True)
        for number, handler in before.items():
            signal.signal(number, handler)


def without_settings() -> dict[str, str]:
    """Return this process's environment without what must not decide for a benchmark."""
    return {each: value for each, value in os.environ.items() if not each.startswith(_FOREIGN)}


def _leave(number: int, _frame: FrameType | None) -> None:
    sys.exit(128 + number)


def free_port() -> int:
    """Return a port that no server listens on now."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def _end(process: subprocess.Popen[bytes], deadline: float) -> None:
    """Wait until a server has left, and make it leave when it does not; it leads its own process group."""
    try:
        process.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
