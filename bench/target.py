"""The fast target: `python -m bench.target PORT` answers every POST with TwiML.

`GET /<from>/<to>` returns the number of POSTs, their number between two times, and the times of the first and the last;
times are of `time.perf_counter`, which all processes of a machine share. `GET /retried` returns the times of the POSTs
to that path. `GET /reset` resets the counts. One process with one epoll and no framework, so that the target is not the
bottleneck.
"""

import select
import socket
import sys
import time
from bisect import bisect
from typing import Final

from bench.wire import message_length

_TWIML: Final = b'<?xml version="1.0" encoding="UTF-8"?><Response><Message>Thank you</Message></Response>'
_HEAD: Final = b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n"
_ANSWER: Final = _HEAD % (b"text/xml", len(_TWIML)) + _TWIML
_READ: Final = 65536


class Target:
    """Counts and answers requests."""

    def __init__(self) -> None:
        self._arrivals: list[float] = []
        self._retried: list[float] = []

    def answer(self, request: bytes | bytearray) -> bytes:
        """Return the answer to a request."""
        if request.startswith(b"POST "):
            self._arrivals.append(time.perf_counter())
            if request.startswith(b"POST /retried "):
                self._retried.append(self._arrivals[-1])
            return _ANSWER
        path = request.split(b" ", 2)[1].decode()
        if path == "/reset":
            self._arrivals.clear()
            self._retried.clear()
            return _plain("")
        if path == "/retried":
            return _plain(" ".join(map(str, self._retried)))
        if path.count("/") != 2:  # noqa: PLR2004 - a probe whether it serves
            return _plain("")
        _, began, ended = path.split("/")
        between = bisect(self._arrivals, float(ended)) - bisect(self._arrivals, float(began))
        first, last = (self._arrivals[0], self._arrivals[-1]) if self._arrivals else (0.0, 0.0)
        return _plain(f"{len(self._arrivals)} {between} {first} {last}")

    def serve(self, port: int) -> None:
        """Serve on a port of the loopback interface until the process ends."""
        listener = socket.create_server(("127.0.0.1", port), backlog=1024)
        poll = select.epoll()
        poll.register(listener, select.EPOLLIN)
        connections: dict[int, tuple[socket.socket, bytearray]] = {}
        while True:
            for number, _ in poll.poll():
                if number == listener.fileno():
                    connection, _ = listener.accept()
                    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    connections[connection.fileno()] = connection, bytearray()
                    poll.register(connection, select.EPOLLIN)
                elif not self._talk(*connections[number]):
                    poll.unregister(number)
                    connections.pop(number)[0].close()

    def _talk(self, connection: socket.socket, buffer: bytearray) -> bool:
        """Read from a connection and answer complete requests; return False if the client has closed it."""
        try:
            received = connection.recv(_READ)
            buffer += received
            while length := message_length(buffer):
                connection.sendall(self.answer(buffer[:length]))
                del buffer[:length]
        except ConnectionError:
            return False
        return bool(received)


def _plain(text: str) -> bytes:
    return _HEAD % (b"text/plain", len(text)) + text.encode()


if __name__ == "__main__":
    Target().serve(int(sys.argv[1]))
