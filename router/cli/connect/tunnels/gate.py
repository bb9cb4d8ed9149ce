"""A gate before the router: what comes through a tunnel reaches /webhooks/ and nothing else.

Each request is read whole and written anew on a connection of its own, so that nothing can hide behind it. Target,
headers and body stay as they came, byte for byte: they are signed, or tell the router the name it was called by.
"""

import http.client
import re
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Final, Self

# Written as the router writes it: nothing encoded, no dots, so that no two readers can differ on it.
_OPEN: Final = re.compile(r"/webhooks/[a-z]+(\?.*)?")
_LENGTH: Final = re.compile(r"[0-9]{1,18}")
# RFC 9110, section 7.6.1; the length is counted anew.
_HOP: Final = frozenset(
    ("connection", "content-length", "expect", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding")
)
# More than the 128 KiB that the router takes of a body, so that the refusal is its own.
_BODY_MOST: Final = 1024 * 1024
_IDLE_SECONDS: Final = 60.0
# More than Twilio waits, so that the router's answer is never cut off here.
_ANSWER_SECONDS: Final = 20.0


class Gate:
    """A server on loopback for as long as it is a context.

    Args:
        address: host and port of the router.
        port: where to listen; 0 for any.

    Raises:
        OSError: the port is taken.
    """

    def __init__(self, address: tuple[str, int], port: int = 0) -> None:
        self._server = _Server(port, address)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True)

    @property
    def port(self) -> int:
        """The port it listens at."""
        return int(self._server.server_port)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int, router: tuple[str, int]) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.router = router


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server
    timeout = _IDLE_SECONDS
    # An answer is one write: head and body apart would wait 40 ms for each other, by Nagle and delayed acknowledgement.
    wbufsize = -1
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        """Pass a webhook on; refuse whatever else it is."""
        target = self.requestline.split()[1]  # `path` is that, but for slashes that were taken away
        lengths = self.headers.get_all("Content-Length", ["0"])
        if not _OPEN.fullmatch(target):
            self._refuse(404, "Only /webhooks/ is reached through this tunnel.\n")
        elif self.headers.get_all("Transfer-Encoding"):
            self._refuse(411, "A webhook says how long it is.\n")
        elif len(lengths) > 1 or not _LENGTH.fullmatch(lengths[0]):
            self._refuse(400, "Content-Length is not one number.\n")
        elif self.headers.defects:
            self._refuse(400, "A header is none.\n")  # and whatever follows it was not read
        elif any("\r" in value or "\n" in value for value in self.headers.values()):
            self._refuse(400, "A header goes over several lines.\n")
        elif int(lengths[0]) > _BODY_MOST:
            self._refuse(413, "A webhook is shorter.\n")
        elif len(body := self.rfile.read(int(lengths[0]))) < int(lengths[0]):
            self._refuse(400, "The body ended early.\n")
        else:
            self._pass(target, body)

    do_GET = do_HEAD = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_POST  # noqa: N815 - the base class's names

    def _pass(self, target: str, body: bytes) -> None:
        lines = [f"{self.command} {target} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in self.headers.items() if name.lower() not in _HOP]
        lines += [f"Content-Length: {len(body)}", "Connection: close", "", ""]
        try:
            with socket.create_connection(self.server.router, timeout=_ANSWER_SECONDS) as connection:
                connection.sendall("\r\n".join(lines).encode("latin-1") + body)
                answer = http.client.HTTPResponse(connection, method=self.command)
                answer.begin()
                content = answer.read()
        except (OSError, http.client.HTTPException):
            self._refuse(502, "The router does not answer.\n")
            return
        self.send_response_only(answer.status, answer.reason)
        for name, value in answer.getheaders():
            if name.lower() not in _HOP:
                self.send_header(name, value)
        self._end(content)

    def _refuse(self, status: int, text: str) -> None:
        self.close_connection = True  # whatever follows was not read
        self.send_response_only(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Connection", "close")
        self._end(text.encode())

    def _end(self, content: bytes) -> None:
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Write nothing: the router does."""
