"""One HTTP request of a command, and what came of it in Twilio's words: an answer, or the error that Twilio logs.

Not `requests`, which is installed with Twilio's library: it writes a URL anew, where a signature covers it as it is;
bounds only the wait for the next piece of an answer, not the whole; and hides in three layers of exceptions whether a
connection was refused, a name unknown or a certificate expired. Nor is a proxy of the environment used here.

https://www.twilio.com/docs/api/errors
"""

import contextlib
import http.client
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from router.errors import RouterError

# What is read of an answer: more than the 64 KiB of TwiML that Twilio takes.
_ANSWER_MOST: Final = 256 * 1024
# What OpenSSL calls an expired certificate, and a chain that ends nowhere: X509_V_ERR_* of openssl/x509_vfy.h.
_EXPIRED: Final = 10
_NO_CHAIN: Final = (18, 19, 20, 21)


@dataclass(frozen=True, slots=True)
class Answered:
    """What a request was answered with.

    Args:
        status: HTTP's; 0 when there was no answer.
        content_type: as it was written, "" for none.
        body: at most 256 KiB of it.
        seconds: from the request to the end of the answer, redirects included.
        location: where it redirects to.
        chunked: whether the body came in chunks.
        redirects: how many were followed.
        attempts: how often it was asked for.
        code: the error that Twilio would log, where there was no answer.
        reason: why there was none.
    """

    status: int
    content_type: str = ""
    body: bytes = field(default=b"", repr=False)
    seconds: float = 0.0
    location: str = ""
    chunked: bool = False
    redirects: int = 0
    attempts: int = 1
    code: int = 0
    reason: str = ""


class NoAnswer(RouterError):  # noqa: N818 - named for what it says
    """A request was not answered.

    `connected` says whether there was a connection, so that the request may have been processed; `code` is the error
    that Twilio would log.
    """

    def __init__(self, reason: str, *, connected: bool = True, code: int = 11200) -> None:
        super().__init__(reason)
        self.connected = connected
        self.code = code

    @property
    def answered(self) -> Answered:
        """The answer that there was none."""
        return Answered(0, code=self.code, reason=str(self))


def exchange(  # noqa: PLR0913 - a request, and two times
    method: str,
    url: str,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    *,
    connect: float = 5.0,
    read: float = 15.0,
) -> Answered:
    """Send a request and read its answer. The times are Twilio's own.

    Args:
        method: HTTP's.
        url: where to; path and query are sent as they are written.
        body: of a POST.
        headers: all but Host and Content-Length.
        connect: seconds to wait for the connection.
        read: seconds to wait for the answer.

    Raises:
        NoAnswer: nothing listens there, or it does not answer in time.
    """
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    origin = f"{parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}"
    connection = kind(parts.hostname or "", parts.port, timeout=connect)
    started, connected = time.monotonic(), False
    try:
        connection.connect()
        connected = True
        connection.sock.settimeout(read)
        with _within(connection.sock, read):
            connection.request(method, _target(url), body, headers or {})
            response = connection.getresponse()
            answer = response.read(_ANSWER_MOST)
    except ConnectionRefusedError:
        raise NoAnswer(f"nothing listens at {origin}", connected=False, code=11205) from None
    except TimeoutError:
        what = f"did not answer within {read:g} s" if connected else f"took no connection within {connect:g} s"
        raise NoAnswer(f"{origin} {what}, and Twilio waits no longer", connected=connected, code=11205) from None
    except (OSError, http.client.HTTPException, ValueError) as error:  # ValueError: letters that no URL has
        reason, code = _what_failed(error)
        raise NoAnswer(f"{origin} could not be called: {reason}", connected=connected, code=code) from error
    finally:
        connection.close()
    return Answered(
        response.status,
        response.getheader("Content-Type", ""),
        answer,
        time.monotonic() - started,
        location=response.getheader("Location", ""),
        chunked=response.getheader("Transfer-Encoding", "").lower() == "chunked",
    )


@contextlib.contextmanager
def _within(connection: socket.socket, seconds: float) -> Iterator[None]:
    """End an exchange that takes longer in all; a socket's own limit is for each piece, and pieces can be small.

    Raises:
        TimeoutError: it took longer.
    """
    end = time.monotonic() + seconds
    timer = threading.Timer(seconds, _end, (connection,))
    timer.daemon = True
    timer.start()
    try:
        yield
    except (OSError, http.client.HTTPException):
        if time.monotonic() >= end:
            raise TimeoutError from None
        raise
    finally:
        timer.cancel()
    if time.monotonic() >= end:
        raise TimeoutError


def _end(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        socket.socket.shutdown(connection, socket.SHUT_RDWR)  # not TLS's own, which another thread is reading through


def _target(url: str) -> str:
    """Return path and query of a URL, as they are written."""
    rest = url.partition("#")[0].partition("://")[2]
    slash = min((place for place in (rest.find("/"), rest.find("?")) if place >= 0), default=len(rest))
    return rest[slash:] if rest[slash:].startswith("/") else f"/{rest[slash:]}"


def _what_failed(error: Exception) -> tuple[str, int]:
    """Say what failed, and the error that Twilio logs of it: https://www.twilio.com/docs/api/errors."""
    reason = str(error) or type(error).__name__
    if isinstance(error, ValueError) and not isinstance(error, OSError):
        return "its URL holds characters that belong percent-encoded", 11100
    if isinstance(error, socket.gaierror):
        return "there is no such host", 11210
    if isinstance(error, ssl.SSLCertVerificationError):
        code = 11236 if error.verify_code == _EXPIRED else 11237 if error.verify_code in _NO_CHAIN else 11235
        return error.verify_message, code
    if isinstance(error, ssl.SSLError):
        return reason, 11220
    if isinstance(error, http.client.HTTPException) and not isinstance(error, ConnectionError):
        return reason, 11206
    return reason, 11200
