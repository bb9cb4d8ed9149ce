"""A target: a real server on a real socket that answers each path as the test says."""

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Final, Self

CERTIFICATE: Final = Path(__file__).with_name("target.pem")
"""Certificate and key of target.test, signed by no trusted authority."""

_PACE: Final = 0.01  # seconds between two writes of `drip`
_TLS: Final = b"\x16"  # the first byte of a TLS connection


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it arrived: `headers` in their order, `connection` counted from 1."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    connection: int

    def header(self, name: str) -> str | None:
        """Return a header's value; a header given twice fails the test."""
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        assert len(values) < 2, f"{name} came {len(values)} times"
        return values[0] if values else None


class Caller:
    """The client's connection, as a behaviour uses it."""

    def __init__(self, connection: socket.socket, stopping: threading.Event) -> None:
        self.socket = connection
        self.stopping = stopping

    def send(self, data: bytes) -> bool:
        """Send data; return whether the client is still connected."""
        try:
            self.socket.sendall(data)
        except OSError:
            return False
        return True

    def wait_for_end(self) -> None:
        """Wait until the client hangs up, or the server is stopped."""
        with contextlib.suppress(OSError):
            while self.socket.recv(4096):
                pass


# Answers one request; returns whether the connection stays open for another one.
Behaviour = Callable[[Caller], bool]


def answer(
    status: int = 200, body: bytes = b"<Response/>", content_type: str = "text/xml", **headers: str
) -> Behaviour:
    """Answer at once; headers as `retry_after="3"`."""
    extra = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    head = f"HTTP/1.1 {status} Whatever\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n{extra}\r\n"
    return send(head.encode() + body, keep=True)


def send(data: bytes, *, keep: bool = False) -> Behaviour:
    """Send exactly these bytes; close the connection unless `keep`."""

    def behave(caller: Caller) -> bool:
        return caller.send(data) and keep

    return behave


def in_turn(*behaviours: Behaviour) -> Behaviour:
    """Use one behaviour per request, in this order; the last one for all further requests."""
    left = list(behaviours)

    def behave(caller: Caller) -> bool:
        return (left.pop(0) if len(left) > 1 else left[0])(caller)

    return behave


def drip(data: bytes, then: bytes) -> Behaviour:
    """Send `data`, then `then` again and again, one byte at a time."""

    def behave(caller: Caller) -> bool:
        going = caller.send(data)
        while going and not caller.stopping.wait(_PACE):
            going = all(caller.send(bytes((byte,))) for byte in then)
        return False

    return behave


def flood(head: bytes, size: int) -> Behaviour:
    """Send `head` and up to `size` bytes of body, as much as the client reads."""

    def behave(caller: Caller) -> bool:
        block = b"x" * 65536
        going = caller.send(head)
        for _ in range(size // len(block)):
            going = going and caller.send(block)
        return False

    return behave


def hang(caller: Caller) -> bool:
    """Read the request and never answer."""
    caller.wait_for_end()
    return False


def close(caller: Caller) -> bool:  # noqa: ARG001
    """Read the request and close the connection."""
    return False


def reset(caller: Caller) -> bool:
    """Read the request and reset the connection."""
    caller.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return False


class Target:
    """A server on 127.0.0.1 that records every request.

    Args:
        script: what to do, by path; other paths answer an empty `<Response/>`.
        tls: speak TLS with the certificate of `target.test`.
    """

    def __init__(self, script: Mapping[str, Behaviour] | None = None, *, tls: bool = False) -> None:
        self.script = dict(script or {})
        self.requests: list[Request] = []
        self.connections = 0
        self.server_names: list[str | None] = []
        self._stopping = threading.Event()
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._tls = self._context() if tls else None
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._start(self._accept)

    def url(self, path: str = "/", host: str = "127.0.0.1") -> str:
        """Return the URL of a path."""
        return f"{'https' if self._tls else 'http'}://{host}:{self.port}{path}"

    def hang_up(self) -> None:
        """Close every connection from the target's side."""
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.hang_up()
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive(), "the target does not end"

    def _start(self, function: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=function, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.add(connection)
            self._start(self._serve, connection, self.connections)

    def _serve(self, plain: socket.socket, number: int) -> None:
        connection = plain
        try:
            if self._tls:
                connection = self._tls.wrap_socket(plain, server_side=True)
                self._open.add(connection)
            with connection.makefile("rb") as stream:
                keep = True
                while keep and (request := _read(stream, number)) is not None:
                    self.requests.append(request)
                    path = request.target.partition("?")[0]
                    keep = self.script.get(path, _DEFAULT)(Caller(connection, self._stopping))
        except OSError:
            pass
        finally:
            self._open -= {plain, connection}
            connection.close()

    def _context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(CERTIFICATE)
        context.sni_callback = lambda _, name, __: self.server_names.append(name)
        return context


_DEFAULT: Final = answer()


def _read(stream: BufferedReader, number: int) -> Request | None:
    if stream.peek(1)[:1] in {b"", _TLS}:
        return None
    line = stream.readline()
    method, target, _ = line.decode("latin-1").split(" ")
    headers = []
    while line := stream.readline().rstrip(b"\r\n"):
        name, _, value = line.decode("latin-1").partition(": ")
        headers.append((name, value))
    length = int(dict(headers).get("Content-Length", 0))  # a GET has no body
    return Request(method, target, tuple(headers), stream.read(length), number)
