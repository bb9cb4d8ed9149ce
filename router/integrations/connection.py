"""One HTTP/1.1 connection: sends a request and reads the answer, up to a size limit.

It uses the socket directly, with Node.js's parser (llhttp, as httptools), for speed: per request, under gevent, urllib3
takes 150 µs of processor time, http.client 75, geventhttpclient 55, this module 20. The further functions of a general
client (redirects, proxies, cookies, retries, decoding) must not be used here.
"""

import select
import socket
import ssl
import time
from typing import Any, Final

import httptools
from gevent import Timeout, get_hub, monkey

# The longest body that is read. Twilio accepts TwiML up to 64 KB (https://www.twilio.com/docs/api/errors/11750).
BODY_LIMIT: Final = 64 * 1024
HEAD_LIMIT: Final = 64 * 1024
# A connection that has been idle for longer is not reused. Common servers close idle connections after 2 s (gunicorn)
# or 5 s (Node.js); the outcome of a request written at that moment is unknown, which is worse than the cost of a new
# connection.
IDLE_SECONDS: Final = 1.5
# Longer than any attempt: under gevent the caller's deadline ends a read; this timeout is for threads without gevent.
READ_SECONDS: Final = 30.0

_FINAL: Final = 200  # the first status that is not interim


class NothingSentError(Exception):
    """No byte of the request could be sent."""


class NoAnswerError(Exception):
    """The request was sent, at least in part, but no response head was received; the text is the reason."""


class Response:
    """An answer, as far as it was received; also the parser's callback object.

    `has_head`: the head is complete, so the outcome is known. `complete`: the whole body was received, too, with at
    most `BODY_LIMIT` bytes; otherwise `body` is partial and must not be used. `surplus`: data followed the answer, or
    the connection ended unannounced. Header names are in lower case; repeated headers are kept separately.
    """

    __slots__ = ("_chunks", "_parser", "complete", "has_head", "headers", "keep_alive", "size", "status", "surplus")

    def __init__(self) -> None:
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.has_head = False
        self.complete = False
        self.surplus = False
        self.keep_alive = False
        self.size = 0
        self._chunks: list[bytes] = []
        self._parser = httptools.HttpResponseParser(self)

    @property
    def body(self) -> bytes:
        """The body, as far as it was received."""
        return b"".join(self._chunks)

    def header(self, name: bytes) -> str:
        """Return the first value of a header, "" if it is missing."""
        return next((value.decode("latin-1") for key, value in self.headers if key == name), "")

    def feed(self, data: bytes) -> None:
        """Parse received data; raise NoAnswerError if it is not HTTP."""
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self.surplus = True
            if not self.has_head:
                raise NoAnswerError("what came back is not HTTP") from error

    def end(self) -> None:
        """Handle the end of the connection, which also ends a body without a length."""
        names = {name for name, _ in self.headers}
        if self.has_head and not names & {b"content-length", b"transfer-encoding"}:
            self.complete = self.size <= BODY_LIMIT
        self.surplus = True

    def release(self) -> None:
        """Drop the parser, which refers to this object: only the garbage collector would free the reference cycle."""
        del self._parser

    # Parser callbacks.

    def on_message_begin(self) -> None:
        """Begin an answer; a second final answer is surplus: the first is valid, but the connection is not reused."""
        if self.has_head:
            self.surplus = True
        else:
            self.headers.clear()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header, but not a trailer."""
        if not self.has_head:
            self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Set the status, unless it is an interim one (100 Continue, 103 Early Hints), which another answer follows."""
        status = self._parser.get_status_code()
        if not self.has_head and status >= _FINAL:
            self.status = status
            self.has_head = True

    def on_body(self, chunk: bytes) -> None:
        """Keep a part of the body."""
        if not self.complete:
            self.size += len(chunk)
            self._chunks.append(chunk)

    def on_message_complete(self) -> None:
        """End the answer, unless it was an interim one."""
        if self.has_head and not self.surplus:
            self.complete = self.size <= BODY_LIMIT
            self.keep_alive = self._parser.should_keep_alive()


class Connection:
    """A connected socket, from `Dialer.dial`, for one request at a time."""

    __slots__ = ("_arrival", "_idle_since", "_poll", "_socket")

    def __init__(self, connected: socket.socket) -> None:
        connected.settimeout(READ_SECONDS)
        self._socket = connected
        # Waits for the answer without polling first. Only under gevent, and not with TLS, which may have read and
        # buffered it already.
        plain = monkey.is_module_patched("socket") and not isinstance(connected, ssl.SSLSocket)
        self._arrival: Any = get_hub().loop.io(connected.fileno(), 1) if plain else None
        self._idle_since = 0.0
        # The original poll: gevent's uses the event loop and takes a hundred times as long.
        self._poll: select.poll = monkey.get_original("select", "poll")()
        self._poll.register(connected, select.POLLIN)

    def exchange(self, request: bytes) -> Response:
        """Send a request and read its answer; afterwards the connection is `closed`, or reusable.

        The head is enough for an answer: if the body is interrupted, exceeds the deadline or is too long, the answer is
        returned, but not `complete`. A `gevent.Timeout` during the exchange counts as a broken connection.

        Raises:
            NothingSentError: the connection was dead before the first byte; the request may use another connection.
            NoAnswerError: no answer was received, and the request may have been processed.

        """
        response = Response()
        try:
            whole = self._send(request)
            self._read(response)
        except (OSError, Timeout, NoAnswerError) as error:
            if not response.has_head:
                self.close()
                raise error if isinstance(error, NoAnswerError) else NoAnswerError(_why(error)) from error
            whole = False
        except BaseException:
            self.close()
            raise
        finally:
            response.release()
        if whole and response.complete and response.keep_alive and not response.surplus:
            self._idle_since = time.monotonic()
        else:
            self.close()
        return response

    @property
    def closed(self) -> bool:
        """Whether this side has closed it."""
        return self._socket.fileno() < 0

    def usable(self, now: float) -> bool:
        """Return whether it may be reused: not idle for too long, not closed, and without unexpected data."""
        return now - self._idle_since < IDLE_SECONDS and not self._poll.poll(0)

    def close(self) -> None:
        """Close the connection."""
        if self._arrival is not None:
            self._arrival.close()
            self._arrival = None
        self._socket.close()

    def _send(self, request: bytes) -> bool:
        """Write the request; return whether all of it was sent."""
        sent = 0
        try:
            sent = self._socket.send(request)
            if sent < len(request):
                self._socket.sendall(memoryview(request)[sent:])
        except OSError as error:
            if not sent:
                self.close()
                raise NothingSentError(_why(error)) from error
            return False  # the target closed before reading all of it, and may have answered (413)
        return True

    def _read(self, response: Response) -> None:
        head = 0
        if self._arrival is not None:
            get_hub().wait(self._arrival)  # without a timer: the attempt's deadline ends it
        while not response.complete and response.size <= BODY_LIMIT:
            data = self._socket.recv(BODY_LIMIT)
            if not data:
                response.end()
                if not response.has_head:
                    raise NoAnswerError("it closed the connection without an answer")
                return
            response.feed(data)
            if response.surplus:
                return
            head += len(data)
            if not response.has_head and head > HEAD_LIMIT:
                raise NoAnswerError(f"the head of its answer is over {HEAD_LIMIT // 1024} KiB")


def _why(error: BaseException) -> str:
    if isinstance(error, Timeout | TimeoutError):
        return "it did not answer in time"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed ({error.reason or 'unknown'})"
    return f"the connection broke ({error})"
