"""A client of the REST resources such as an operator's script would be: http.client with persistent connections."""

import http.client
import itertools
import socket
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlencode

from bench.load import Measured
from bench.server import Server
from bench.webhook import ACCOUNT, TOKEN
from router.errors import RouterError

_PATIENCE: Final = 10.0
_READ: Final = 65536
_FORM: Final = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class Call:
    """One request: a POST if it has a form, else a GET."""

    path: str
    form: tuple[tuple[str, str], ...] = ()


class Client:
    """A client with one persistent connection."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_PATIENCE)
        self._headers = {"Authorization": f"Basic {b64encode(f'{ACCOUNT}:{TOKEN}'.encode()).decode()}"}

    def send(self, call: Call) -> None:
        """Make a call and read its answer; raise `RouterError` for a status other than 200 or 201."""
        if call.form:
            headers = self._headers | {"Content-Type": _FORM}
            self._connection.request("POST", call.path, urlencode(call.form), headers)
        else:
            self._connection.request("GET", call.path, headers=self._headers)
        answer = self._connection.getresponse()
        body = answer.read()
        if answer.status not in (200, 201):
            raise RouterError(f"{call.path} was answered {answer.status}: {body[:300].decode(errors='replace')}")

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def in_sequence(port: int, calls: Iterator[Call], *, seconds: float, warm: float) -> Measured:
    """Make calls over one connection, each after the previous answer, and measure them.

    Args:
        port: the router's port.
        calls: an endless iteration.
        seconds: the time to measure.
        warm: the seconds of warm-up before that.
    """
    client = Client(port)
    begin = time.perf_counter() + warm
    latencies: list[float] = []
    now, sent, spent = time.perf_counter(), 0, time.thread_time()
    started = now
    while now < begin + seconds:
        client.send(next(calls))
        sent, before, now = sent + 1, now, time.perf_counter()
        if before >= begin:
            latencies.append(now - before)
    client.close()
    ordered = sorted(latencies) or [now - started]
    return Measured(
        rate=len(ordered) / sum(ordered),
        p50=ordered[len(ordered) // 2],
        p99=ordered[len(ordered) * 99 // 100],
        sent=sent,
        failed=0,
        failure="",
        busy=(time.thread_time() - spent) / (now - started),
        began=begin,
        ended=now,
    )


@dataclass
class Crowd:
    """Many connections that share a list of calls until all are made."""

    port: int
    connections: int
    done: int = 0
    _failures: list[BaseException] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def send(self, calls: Iterable[Call], progress: Callable[[int], None]) -> float:
        """Make all calls; return the seconds it took.

        Args:
            calls: the calls.
            progress: is called about every second with the number of calls done.

        Raises:
            RouterError: a call was not answered with 200 or 201.
        """
        shared = iter(calls)
        begun = time.perf_counter()
        threads = [threading.Thread(target=self._work, args=(shared,), daemon=True) for _ in range(self.connections)]
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive():
                thread.join(1.0)
                progress(self.done)
        if self._failures:
            raise RouterError(f"after {self.done:,} calls: {self._failures[0]}") from self._failures[0]
        return time.perf_counter() - begun

    def _work(self, shared: Iterator[Call]) -> None:
        client = Client(self.port)
        try:
            while not self._failures:
                with self._lock:
                    calls = list(itertools.islice(shared, 1))
                if not calls:
                    return
                client.send(calls[0])
                with self._lock:
                    self.done += 1
        except (RouterError, OSError, http.client.HTTPException) as error:
            self._failures.append(error)
        finally:
            client.close()


def post(server: Server, request: bytes) -> None:
    """Send a complete request to a server; raise `RouterError` for a status other than 200."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=_PATIENCE) as connection:
        connection.sendall(request)
        answer = connection.recv(_READ)
    if not answer.startswith(b"HTTP/1.1 200 "):
        raise RouterError(f"{server.name} answered: {answer[:300].decode(errors='replace')}")
