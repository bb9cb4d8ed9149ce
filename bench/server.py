"""The processes of a benchmark: each has its own port, and all end with the benchmark."""

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
# Prefixes of variables that are not inherited from the caller's environment.
_FOREIGN: Final = ("ROUTER_", "TWILIO_", "PROMETHEUS_", "GUNICORN_", "BENCH_")


@dataclass(frozen=True, slots=True)
class Server:
    """A process that serves a port; `pid` is that of the started process, which may have worker processes."""

    name: str
    port: int
    pid: int

    def workers(self) -> list[int]:
        """Return the ids of the worker processes, or of the process itself if it has none."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text(encoding="ascii").split()
        return [int(pid) for pid in children] or [self.pid]

    def private_bytes(self) -> list[int]:
        """Return each worker's private memory (USS): the memory that would be freed if only it ended."""
        return [_private_bytes(pid) for pid in self.workers()]


def _private_bytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(("Private_Clean:", "Private_Dirty:")))


@dataclass
class Servers:
    """Starts servers, each in its own folder."""

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
        """Start a server, and wait until it answers the `question`.

        `{port}` in its command and in the values of its environment is replaced by its port, by default a free one.

        Raises:
            RouterError: it does not answer within 30 s; the message ends with the end of its log.
        """
        port = port or free_port()
        self._started += 1
        place = self.folder / f"{self._started}-{name}"
        place.mkdir()
        settings = {each: value.replace("{port}", str(port)) for each, value in environ.items()}
        with (place / "log").open("wb") as log:
            process = subprocess.Popen(  # noqa: S603 - our own commands
                [str(part).replace("{port}", str(port)) for part in command],
                cwd=place,
                env=without_settings() | {"PROMETHEUS_MULTIPROC_DIR": str(place / "metrics")} | settings,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._processes.append(process)
        self._wait(name, process, port, place / "log", question)
        return Server(name, port, process.pid)

    def store(self, name: str) -> str:
        """Start a Valkey with the configuration of `router run`, and return its URL."""
        self._started += 1
        store = EmbeddedValkey.over(self.folder / f"{self._started}-{name}", self.store_binary)
        process = store.start()
        if store.socket_path.parent != store.folder:  # if the path of the data directory is too long for a socket
            self._stores.callback(shutil.rmtree, store.socket_path.parent, ignore_errors=True)
        self._stores.callback(store.stop, process)
        store.wait_until_ready(process)
        return store.url

    def end(self, server: Server) -> None:
        """Stop one server."""
        process = next(each for each in self._processes if each.pid == server.pid)
        process.terminate()
        _end(process, time.monotonic() + _GRACE)

    def close(self) -> None:
        """Stop all servers, the stores last."""
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
        raise RouterError(f"{name} did not start: {log.read_text(errors='replace')[-1500:]}")


@contextlib.contextmanager
def servers(data_dir: Path, store_binary: Path | None = None) -> Iterator[Servers]:
    """Yield a `Servers` with a temporary folder in the data directory, and stop all its servers at the end.

    `store_binary` is the valkey-server or redis-server of the stores, by default that of the embedded store. TERM and
    HUP end the benchmark and its servers, as Ctrl-C does.
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
    """Return this process's environment without settings of the router, Twilio and gunicorn."""
    return {each: value for each, value in os.environ.items() if not each.startswith(_FOREIGN)}


def _leave(number: int, _frame: FrameType | None) -> None:
    sys.exit(128 + number)


def free_port() -> int:
    """Return a port on which no server listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def _end(process: subprocess.Popen[bytes], deadline: float) -> None:
    """Wait until a server has ended, and kill its process group if it does not."""
    try:
        process.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
