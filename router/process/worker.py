"""gunicorn's gevent worker, with a fast path for plain webhook requests.

Each connection begins on the fast path. The first request that is not plain (plain_request.py), or not complete after
two reads, is handed over to gunicorn with all its bytes, and gunicorn serves the connection from then on. If the
configuration needs anything that the fast path does not do (TLS, an access log, hooks, trusted forwarders, HTTP/2,
the PROXY protocol), gunicorn serves every connection.
"""

import errno
import time
from collections.abc import Callable
from contextlib import suppress
from email.utils import formatdate
from functools import lru_cache
from io import BytesIO
from typing import Any, Final

import gevent
from gunicorn import util
from gunicorn.config import Config, PostRequest, PreRequest
from gunicorn.http.errors import InvalidResponseHeader, InvalidResponseHeaderName
from gunicorn.http.message import TOKEN_RE
from gunicorn.http.wsgi import HEADER_VALUE_RE, base_environ
from gunicorn.workers.ggevent import GeventWorker

from router.patching import packages_read_once
from router.process.plain_request import HEAD_MOST, PlainRequest, connection_variables, plain_request

# Bytes of one read, which usually returns a complete request.
_READ: Final = 64 * 1024
# How long the fast path waits for the rest of a body, in seconds: a client that sends head and body separately sends
# the body immediately after the head. gunicorn waits for slower ones.
_REST_SECONDS: Final = 0.05
# The limits for discarding an unread body after the answer.
_DISCARD_MOST: Final = 1024 * 1024
_DISCARD_SECONDS: Final = 1.0
# The interval of the search for connections that have been idle for too long, in seconds.
_REAP_SECONDS: Final = 1.0


class Worker(GeventWorker):  # type: ignore[misc] # gunicorn ships no types
    """A worker process."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.alive: bool
        self._fast = has_fast_path(self.cfg)
        self._names: dict[Any, Any] = {}  # listening sockets -> their addresses
        self._idle: dict[Any, float] = {}  # connections between two requests -> since when, in monotonic seconds

    def init_process(self) -> None:
        """Cache values that all requests need, because each read of gunicorn's configuration calls a method; run."""
        self._base = base_environ(self.cfg) | {"wsgi.multithread": True, "wsgi.url_scheme": "http"}
        self._fields_most: int = self.cfg.limit_request_fields
        self._keepalive: int = self.cfg.keepalive
        super().init_process()

    def patch(self) -> None:
        """Patch the standard library, quickly."""
        with packages_read_once():
            super().patch()

    def run(self) -> None:
        """Serve until the process shall stop."""
        self._names = {each: each.getsockname() for each in self.sockets}
        gevent.spawn(self._reap)
        super().run()

    def handle(self, listener: Any, client: Any, addr: Any) -> None:
        """Serve one connection to its end.

        A stop may close the listening socket after a connection was accepted, and before this is called for it. Such a
        connection is served, too, because the socket's address was read at the start.
        """
        listener = _Listener(self._names[listener])
        if not self._fast or isinstance(addr, bytes):  # bytes: the client has an abstract unix socket
            super().handle(listener, client, addr)
            return
        unserved: bytes | None = None
        try:
            client.setblocking(1)
            unserved = self._serve(listener.getsockname(), client, addr)
        except OSError as error:
            if error.errno not in (errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN, errno.EBADF):
                self.log.exception("Socket error processing request.")
        except (gevent.GreenletExit, SystemExit):
            pass
        except BaseException as error:  # noqa: BLE001 - as gunicorn does: log it, and answer with 500
            self.handle_error(None, client, addr, error)
        if unserved is None:
            util.close(client)
        else:
            super().handle(listener, _Connection(client, unserved), addr)

    def handle_request(self, listener_name: Any, req: Any, sock: Any, addr: Any) -> None:
        """Serve one request as gunicorn does; if the connection ends with the answer, discard the rest of its body.

        A connection that is closed while the client still sends is reset, and then the client may lose the answer.
        The connection also ends if the process began to stop during the request: gunicorn checks this only before it.
        """
        try:
            super().handle_request(listener_name, req, sock, addr)
            ends = not self.alive
        except StopIteration:
            ends = True
        if ends:
            left = _DISCARD_MOST
            with suppress(Exception), gevent.Timeout(_DISCARD_SECONDS, exception=False):  # type: ignore[arg-type]
                while left > 0 and (data := req.body.read(8192)):
                    left -= len(data)
            raise StopIteration

    def _serve(self, server: Any, client: Any, addr: Any) -> bytes | None:
        """Serve plain requests; return the bytes of the first other request, None if the connection has ended."""
        shared = self._base | {"gunicorn.socket": client} | connection_variables(server, addr, "")
        hub = gevent.get_hub()
        arrival = hub.loop.io(client.fileno(), 1)
        try:
            return self._serve_all(client, lambda: hub.wait(arrival), server, shared)
        finally:
            arrival.close()

    def _serve_all(self, client: Any, wait: Callable[[], None], server: Any, shared: dict[str, Any]) -> bytes | None:
        """Serve plain requests as `_serve` does; `wait` returns when there is something to read."""
        while True:
            self._idle[client] = time.monotonic()
            try:
                wait()  # a recv that finds no data yet costs as much as three waits
                data: bytes = client.recv(_READ)
            finally:
                self._idle.pop(client, None)
            if not data:
                return None
            request = plain_request(data, self._fields_most)
            if request is not None and request.missing:
                with gevent.Timeout(_REST_SECONDS, exception=False):  # type: ignore[arg-type] # missing in its stubs
                    data += client.recv(request.missing)
                request = plain_request(data, self._fields_most)
            if request is None or request.missing:
                return data
            if isinstance(server, str):
                shared |= connection_variables(server, "", request.variables.get("HTTP_HOST", ""))
            if not self._answer(client, request, shared):
                return None

    def _answer(self, client: Any, request: PlainRequest, shared: dict[str, Any]) -> bool:
        """Answer one request; return whether another may follow on its connection."""
        self.nr += 1
        if self.nr >= self.max_requests and self.alive:
            self.log.info("Autorestarting worker after current request.")
            self.alive = False
        keeps_open = self.alive and not request.closes and bool(self._keepalive)
        answered: list[Any] = []

        def start_response(*args: Any) -> None:
            answered[:] = args

        environ = {**shared, **request.variables, "wsgi.input": BytesIO(request.body)}
        parts = self.wsgi(environ, start_response)
        try:
            body = b"".join(parts)
        finally:
            if hasattr(parts, "close"):
                parts.close()
        status, headers = answered[:2]
        head = _head(environ["SERVER_PROTOCOL"], status, tuple(headers), len(body), keeps_open, int(time.time()))
        send_whole(client, head + body)
        return keeps_open

    def _reap(self) -> None:
        """Close connections that are idle for too long: one greenlet instead of a timer for each connection."""
        while True:
            gevent.sleep(_REAP_SECONDS)
            before = time.monotonic() - self._keepalive
            for client in [each for each, since in self._idle.items() if since < before]:
                with suppress(OSError):
                    client.shutdown(2)


def has_fast_path(config: Config) -> bool:
    """Return whether the configuration allows the fast path."""
    return not any(
        (
            config.is_ssl,
            config.accesslog,
            config.logconfig,
            config.logconfig_dict,
            config.logconfig_json,
            config.syslog,
            config.statsd_host,
            any(config.forwarded_allow_ips),
            config.http2_cleartext != "off",
            config.proxy_protocol != "off",
            config.header_map != "drop",
            0 < config.limit_request_line < HEAD_MOST,
            0 < config.limit_request_field_size < HEAD_MOST,
            config.limit_request_fields <= 0,
            config.pre_request is not PreRequest.default,
            config.post_request is not PostRequest.default,
        )
    )


def send_whole(connection: Any, data: bytes) -> None:
    """Send all data. Unlike gevent's `sendall`, it does not call the system for the buffer size first."""
    sent = connection.send(data)
    if sent < len(data):
        connection.sendall(data[sent:])


# Most answers within a second have the same head.
@lru_cache(maxsize=16)
def _head(  # noqa: PLR0913, PLR0917 - the parts of a head
    protocol: str, status: str, headers: tuple[tuple[str, str], ...], length: int, keeps_open: bool, seconds: int
) -> bytes:
    """Format the head of an answer as gunicorn does."""
    lines = [
        f"{protocol} {status}",
        "Server: gunicorn",
        f"Date: {formatdate(seconds, usegmt=True)}",
        f"Connection: {'keep-alive' if keeps_open else 'close'}",
    ]
    has_length = False
    for name, value in headers:
        if not TOKEN_RE.fullmatch(name):
            raise InvalidResponseHeaderName(repr(name))
        if not HEADER_VALUE_RE.fullmatch(value):
            raise InvalidResponseHeader(repr(name))
        if util.is_hoppish(name):
            continue
        has_length = has_length or name.lower() == "content-length"
        lines.append(f"{name}: {value.strip()}")
    if not has_length:
        lines.append(f"Content-Length: {length}")
    return "\r\n".join((*lines, "", "")).encode("latin-1")


class _Listener:
    """Stands for the listening socket of a connection: gunicorn only needs its address."""

    def __init__(self, name: Any) -> None:
        self._name = name

    def getsockname(self) -> Any:
        """Return the address."""
        return self._name


class _Connection:
    """A connection from which some bytes have been read already: `recv` returns these first."""

    def __init__(self, connection: Any, unserved: bytes) -> None:
        self._connection = connection
        self._unserved = unserved

    def recv(self, most: int) -> bytes:
        """Read as a socket does."""
        if self._unserved:
            first, self._unserved = self._unserved[:most], self._unserved[most:]
            return first
        received: bytes = self._connection.recv(most)
        return received

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)
