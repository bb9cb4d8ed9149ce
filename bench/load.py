"""The load generator: `python -m bench.load` reads a `Load` as JSON, and writes `Measured` as JSON.

A separate process with raw sockets, because it shares a core with store and target: a request takes it about 25 µs,
and `busy` in the result shows its share of the core.
"""

import json
import select
import socket
import sys
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import cycle
from typing import Any, Final

from bench.webhook import PUBLIC_URL, Stream
from bench.wire import message_length

_READ: Final = 65536
# Connections for each concurrent request. A connection pauses while others are used, as with Twilio. Otherwise the next
# request is there before the server polls, so gunicorn serves one connection and starves the others: a bare view then
# appears half as fast again, with a p99 a hundred times as long.
_SPARE: Final = 2
# Seconds of silence after which a server counts as dead.
_SILENCE: Final = 10.0


@dataclass(frozen=True, slots=True)
class Load:
    """The load to generate.

    `messages` are prepared and sent for `seconds` after `warm` seconds of warm-up, at most `at_once` at a time. With a
    `rate` (per second) each is sent at its time, else as soon as another is answered. When all are sent, the
    measurement ends or, with `repeat`, continues with the first.
    """

    port: int
    stream: Stream
    messages: int
    seconds: float
    at_once: int
    warm: float = 0.0
    rate: float = 0.0
    repeat: bool = False

    @classmethod
    def from_json(cls, text: str) -> "Load":
        """Parse the output of `to_json`."""
        values = json.loads(text)
        return cls(**values | {"stream": Stream(**values["stream"])})

    def to_json(self) -> str:
        """Return it as JSON, for the process of the load generator."""
        return json.dumps(asdict(self))


@dataclass(frozen=True, slots=True)
class Measured:
    """The results of a `Load`: answers per second, and latencies in seconds.

    With a rate, a latency counts from the time at which the request should have been sent, so that a stalled server
    does not hide the requests that it delayed. `sent` counts all requests, including the warm-up; `failed` those not
    answered with 200, and `failure` is the first of these answers. Rate and latencies are of answers between `began`
    and `ended`, times of `time.perf_counter`. `busy` is the share of a core that the generator used.
    """

    rate: float
    p50: float
    p99: float
    sent: int
    failed: int
    failure: str
    busy: float
    began: float
    ended: float

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> "Measured":
        """Convert the JSON of the process."""
        return cls(**values)


class _Connection:
    """A persistent connection, and its request in progress."""

    __slots__ = ("buffer", "due", "socket")

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=_SILENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        self.due = 0.0

    def send(self, request: bytes, due: float) -> None:
        self.due = due
        self.socket.sendall(request)

    def receive(self) -> bytes:
        """Return the answer when it is complete, else b""; raise ConnectionError if the connection was closed."""
        received = self.socket.recv(_READ)
        if not received:
            raise ConnectionError("the server closed the connection")
        self.buffer += received
        length = message_length(self.buffer)
        if not length:
            return b""
        answer, self.buffer = self.buffer[:length], self.buffer[length:]
        return answer


class _Run:
    """A measurement in progress."""

    def __init__(self, load: Load) -> None:
        self._load = load
        prepared = list(load.stream.requests(load.messages, PUBLIC_URL.partition("://")[2]))
        self._requests = cycle(prepared) if load.repeat else iter(prepared)
        connections = [_Connection(load.port) for _ in range(_SPARE * load.at_once)]
        self._connections = {each.socket.fileno(): each for each in connections}
        self._poll = select.epoll()
        for number in self._connections:
            self._poll.register(number, select.EPOLLIN)
        self._idle = deque(connections)  # the one that has been idle longest is used next
        self._latencies: list[float] = []
        self._sent = 0
        self._failed = 0
        self._failure = ""

    def run(self) -> Measured:
        started = time.perf_counter()
        counts_from, self._end = started + self._load.warm, started + self._load.warm + self._load.seconds
        cpu, last = time.process_time(), started
        self._next = started
        while self._send_what_is_due() or self._under_way():
            for number, _ in self._wait():
                now = time.perf_counter()
                if self._answered(self._connections[number]) and now >= counts_from:
                    self._latencies.append(now - self._connections[number].due)
                    last = now
        busy = (time.process_time() - cpu) / (time.perf_counter() - started)
        for each in self._connections.values():
            each.socket.close()
        ordered = sorted(self._latencies) or [0.0]
        return Measured(
            rate=len(self._latencies) / max(last - counts_from, 1e-9),
            p50=ordered[len(ordered) // 2],
            p99=ordered[len(ordered) * 99 // 100],
            sent=self._sent,
            failed=self._failed,
            failure=self._failure,
            busy=busy,
            began=counts_from,
            ended=last,
        )

    def _send_what_is_due(self) -> bool:
        """Send the requests that are due, within `at_once`; return whether there will be more."""
        while True:
            now = time.perf_counter()
            due = self._next if self._load.rate else now
            if due >= self._end:
                return False
            if due > now or self._under_way() == self._load.at_once:
                return True
            request = next(self._requests, None)
            if request is None:
                self._end = now
                return False
            self._idle.popleft().send(request, due)
            self._sent += 1
            if self._load.rate:
                self._next += 1 / self._load.rate

    def _under_way(self) -> int:
        return len(self._connections) - len(self._idle)

    def _wait(self) -> list[tuple[int, int]]:
        # epoll has a resolution of milliseconds; select, which can wait for an epoll, of microseconds.
        room = self._under_way() < self._load.at_once
        pause = max(0.0, self._next - time.perf_counter()) if self._load.rate and room else _SILENCE
        select.select([self._poll], [], [], pause)
        events = self._poll.poll(0)
        if not events and pause == _SILENCE:
            raise TimeoutError(f"no answer within {_SILENCE:g} s")
        return events

    def _answered(self, connection: _Connection) -> bool:
        answer = connection.receive()
        if not answer:
            return False
        self._idle.append(connection)
        if not answer.startswith(b"HTTP/1.1 200 "):
            self._failed += 1
            self._failure = self._failure or answer[:300].decode("latin-1")
            return False
        return True


if __name__ == "__main__":
    json.dump(asdict(_Run(Load.from_json(sys.stdin.read())).run()), sys.stdout)
