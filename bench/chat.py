"""The part `chat`: open streams of web chat visitors, their cost, and the delay of a message to them.

A process uses at most a quarter of its connections for streams, so the router gets as many processes as the streams
need, and one more, because the kernel distributes connections unevenly.
"""

import json
import select
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any, Final

from bench.candidate import start_router
from bench.measure import put_load, ratios
from bench.report import Figure, figure
from bench.scene import Scene
from bench.server import Server
from bench.stock import PAUSED
from router.chat.streams import STREAMS_MOST
from router.errors import RouterError

# Messages a second; each goes to the stream of its own chat.
_RATE: Final = 100.0
_READ: Final = 65536
_PATIENCE: Final = 20.0


@dataclass(frozen=True, slots=True)
class _Chat:
    """A chat of one visitor."""

    token: str
    cursor: int


def chat(scene: Scene) -> list[Figure]:
    """Measure open streams: their memory, the delay of a message, and their effect on the intake of SMS."""
    streams = scene.options.streams
    workers = max(scene.options.workers, -(-streams // STREAMS_MOST) + 1)
    scene.stock.empty()
    address = scene.stock.put_web_flow()
    router = start_router(scene.servers, scene.url, workers)
    put_load(router, scene.options, PAUSED)  # warms the caches for both measurements
    alone = [put_load(router, scene.options, PAUSED)]
    chats = _begin(router, address, streams)
    before = sum(router.private_bytes())
    with _opened(router, chats) as sockets:
        each = (sum(router.private_bytes()) - before) / streams
        delays = sorted(_write(router, chats, sockets))
        busy = [put_load(router, scene.options, PAUSED)]
    scene.servers.end(router)
    return [
        figure("chat", "streams", "", [float(streams)]),
        figure("chat", "processes", "", [float(workers)]),
        figure("chat", "private memory of a stream", "KB", [max(0.0, each / 1e3)], at_most=40),
        figure("chat", "delay to the stream, p50", "ms", [1000 * delays[len(delays) // 2]]),
        figure("chat", "delay to the stream, p99", "ms", [1000 * delays[len(delays) * 99 // 100]], at_most=100),
        figure("chat", "intake of SMS beside the streams", "x", ratios(busy, alone), at_least=0.8),
        # The workers' processor time for a message, which other programs on the machine hardly affect.
        figure(
            "chat", "the same, by worker time", "x", [alone[0].processor / max(busy[0].processor, 1e-9)], at_least=0.8
        ),
    ]


def _begin(router: Server, address: str, count: int) -> list[_Chat]:
    connection = HTTPConnection("127.0.0.1", router.port, timeout=_PATIENCE)
    begun = []
    for _ in range(count):
        found = _post(connection, "/chat/sessions", {"address": address, "new": True})
        begun.append(_Chat(found["token"], found["cursor"]))
    connection.close()
    return begun


def _post(connection: HTTPConnection, path: str, body: dict[str, Any], token: str = "") -> dict[str, Any]:
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    connection.request("POST", path, json.dumps(body), headers)
    answer = connection.getresponse()
    content = answer.read()
    if answer.status not in (200, 201):
        raise RouterError(f"{path} was answered {answer.status}: {content[:200].decode(errors='replace')}")
    return dict(json.loads(content))


@contextmanager
def _opened(router: Server, chats: Sequence[_Chat]) -> Iterator[list[socket.socket]]:
    """Open a stream for each chat; one that a full process refused is retried, to reach another process."""
    opened: list[socket.socket] = []
    try:
        for each in chats:
            end = time.monotonic() + _PATIENCE
            while (found := _stream(router, each)) is None:
                if time.monotonic() > end:
                    raise RouterError("the processes refuse more streams")
            opened.append(found)
        yield opened
    finally:
        for stream in opened:
            stream.close()


def _stream(router: Server, chat: _Chat) -> socket.socket | None:
    connection = socket.create_connection(("127.0.0.1", router.port), timeout=_PATIENCE)
    connection.sendall(
        f"GET /chat/events HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {chat.token}\r\n"
        f"Last-Event-ID: {chat.cursor}\r\n\r\n".encode()
    )
    head = b""
    while b"\r\n\r\n" not in head:
        head += connection.recv(_READ)
    if b"text/event-stream" in head:
        return connection
    connection.close()
    return None


def _write(router: Server, chats: Sequence[_Chat], sockets: Sequence[socket.socket]) -> list[float]:
    """Send a message to each chat; return the seconds until its stream's event."""
    sent: dict[int, float] = {}
    delays: dict[int, float] = {}
    reader = threading.Thread(target=_listen, args=(sockets, sent, delays), daemon=True)
    reader.start()
    connection = HTTPConnection("127.0.0.1", router.port, timeout=_PATIENCE)
    begun = time.perf_counter()
    for number, each in enumerate(chats):
        time.sleep(max(0.0, begun + number / _RATE - time.perf_counter()))
        sent[sockets[number].fileno()] = time.perf_counter()
        _post(connection, "/chat/messages", {"body": f"message {number}"}, each.token)
    reader.join(_PATIENCE)
    connection.close()
    if len(delays) < len(chats):
        raise RouterError(f"{len(chats) - len(delays)} of {len(chats)} messages did not reach their streams")
    return list(delays.values())


def _listen(sockets: Sequence[socket.socket], sent: dict[int, float], delays: dict[int, float]) -> None:
    poll = select.epoll()
    for each in sockets:
        poll.register(each.fileno(), select.EPOLLIN)
    by_number = {each.fileno(): each for each in sockets}
    while len(delays) < len(sockets):
        for number, _ in poll.poll(_PATIENCE):
            data = by_number[number].recv(_READ)
            if b"event: message" in data and number in sent:
                delays.setdefault(number, time.perf_counter() - sent[number])
            elif not data:
                return
