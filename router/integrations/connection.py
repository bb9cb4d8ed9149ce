"""One HTTP/1.1 connection: a request goes out, and as much of an answer as we want comes back.

Written on the socket itself, with Node.js's parser (llhttp, as httptools), because the client costs more than the
request: per request, under gevent, urllib3 takes 150 µs of processor time, http.client 75, geventhttpclient 55, this
20. What a general client adds to it (redirects, proxies, cookies, retries, decoding) must not happen here.
"""

import select
import socket
import ssl
import time
from typing import Final

import httptools
from gevent import Timeout, monkey

# What is read of an answer. Twilio takes TwiML up to 64 KB (https://www.twilio.com/docs/api/errors/11750).
BODY_LIMIT: Final = 64 * 1024
HEAD_LIMIT: Final = 64 * 1024
# A connection that has been idle for longer is not used again. The common servers close after 2 s (gunicorn) and 5 s
# (Node.js); a request written just as they do is lost with its outcome unknown. A new connection costs far less.
IDLE_SECONDS: Final = 1.5
# A read outlives every attempt: under gevent the attempt's own deadline ends it, this is for plain threads.
READ_SECONDS: Final = 30.0

_FINAL: Final = 200  # the first status that is not interim


class NothingSentError(Exception):
    """The connection took not one byte of the request."""


class NoAnswerError(Exception):
    """The request was sent, at least in part, and no head of an answer came; the text says what came instead."""


class Response:
    """An answer, as far as it came; also what the parser reports to.

    `has_head` says that the head is complete, which is when the outcome is known; `complete` that the whole body came
    too, and is no more than `BODY_LIMIT` bytes: otherwise `body` is a part of it, worth nothing. `surplus` says that
    more came than one answer, or an end that was not announced. Header names are in lower case, and a header that came
    several times is there several times.
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
        """The body, as far as it came."""
        return b"".join(self._chunks)

    def header(self, name: bytes) -> str:
        """Return a header's value, the first if there are several, empty if there is none."""
        return next((value.decode("latin-1") for key, value in self.headers if key == name), "")

    def feed(self, data: bytes) -> None:
        """Take what was read; raises NoAnswerError when it is not HTTP."""
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self.surplus = True
            if not self.has_head:
                raise NoAnswerError("what came back is not HTTP") from error

    def end(self) -> None:
        """Take the end of the connection, which ends a body that has no length of its own."""
        names = {name for name, _ in self.headers}
        if self.has_head and not names & {b"content-length", b"transfer-encoding"}:
            self.complete = self.size <= BODY_LIMIT
        self.surplus = True

    def release(self) -> None:
        """Let go of the parser, which holds us as we hold it: a cycle for each message keeps the collector busy."""
        del self._parser

    # What the parser calls.

    def on_message_begin(self) -> None:
        """Begin; a second final answer is surplus, which makes the connection useless but not the first answer."""
        if self.has_head:
            self.surplus = True
        else:
            self.headers.clear()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header, but not a trailer."""
        if not self.has_head:
            self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Know the status, unless it is an interim one (100 Continue, 103 Early Hints): then the answer is to come."""
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
    """A connected socket, from `Door.open`, for one request at a time."""

    __slots__ = ("_idle_since", "_poll", "_socket")

    def __init__(self, connected: socket.socket) -> None:
        connected.settimeout(READ_SECONDS)
        self._socket = connected
        self._idle_since = 0.0
        # The system's own poll: gevent's asks the event loop, which takes a hundred times as long.
        self._poll: select.poll = monkey.get_original("select", "poll")()
        self._poll.register(connected, select.POLLIN)

    def exchange(self, request: bytes) -> Response:
        """Send a request and read its answer; afterwards the connection is `closed`, or fit for another one.

        The answer is known by its head: when the rest of it breaks off, drips past the deadline or is too long, it is
        returned as it is, not `complete`. A `gevent.Timeout` that falls due here counts as a connection that broke.

        Raises:
            NothingSentError: the connection was dead before the first byte; the request may go to another one.
            NoAnswerError: no answer came, and the request may have been processed.

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
        """Whether it was closed by us."""
        return self._socket.fileno() < 0

    def usable(self, now: float) -> bool:
        """Say whether it may carry another request: not idle for long, not closed and not spoken to by the target."""
        return now - self._idle_since < IDLE_SECONDS and not self._poll.poll(0)

    def close(self) -> None:
        """Let go of it."""
        self._socket.close()

    def _send(self, request: bytes) -> bool:
        """Write the request; say whether all of it went out."""
        sent = 0
        try:
            sent = self._socket.send(request)
            if sent < len(request):
                self._socket.sendall(memoryview(request)[sent:])
        except OSError as error:
            if not sent:
                self.close()
                raise NothingSentError(_why(error)) from error
            return False  # it closed before it had read everything, and may have said why (413)
        return True

    def _read(self, response: Response) -> None:
        head = 0
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
