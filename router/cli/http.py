"""One HTTP request of a command, and its result as Twilio sees it: an answer, or the error that Twilio logs.

This module does not use `requests`, although Twilio's library depends on it. `requests` normalizes the URL, but Twilio
signs the URL as it is written. Its timeout applies to each read, not to the whole response. And its exceptions do not
show whether a connection was refused, a host name unknown or a certificate expired. Proxies from the environment are
not used.

https://www.twilio.com/docs/api/errors
"""

import contextlib
import http.client
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Final
from urllib.parse import urlsplit

from router.diagnosis.twilio_view import Answered
from router.errors import RouterError

# The maximum number of bytes read from an answer: more than the 64 KiB of TwiML that Twilio accepts.
_ANSWER_MOST: Final = 256 * 1024
# OpenSSL's codes for an expired certificate and an incomplete chain: X509_V_ERR_* of openssl/x509_vfy.h.
_EXPIRED: Final = 10
_NO_CHAIN: Final = (18, 19, 20, 21)


class NoAnswer(RouterError):  # noqa: N818 - named for the condition
    """A request was not answered.

    `connected` is whether a connection was established: then the request may have been processed. `code` is the error
    that Twilio would log.
    """

    def __init__(self, reason: str, *, connected: bool = True, code: int = 11200) -> None:
        super().__init__(reason)
        self.connected = connected
        self.code = code

    @property
    def answered(self) -> Answered:
        """This failure as an answer with status 0."""
        return Answered(0, code=self.code, reason=str(self))


def exchange(  # noqa: PLR0913 - a request and two timeouts
    method: str,
    url: str,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    *,
    connect: float = 5.0,
    read: float = 15.0,
) -> Answered:
    """Send a request, with path and query exactly as they are written, and read its answer.

    `connect` and `read` are the seconds to wait for the connection and for the whole answer; the defaults are Twilio's.

    Raises:
        NoAnswer: there was no connection, or no complete answer in time.
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
        what = f"did not answer within {read:g} s" if connected else f"accepted no connection within {connect:g} s"
        raise NoAnswer(f"{origin} {what}, and Twilio waits no longer", connected=connected, code=11205) from None
    except (OSError, http.client.HTTPException, ValueError) as error:  # ValueError: characters that a URL cannot have
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
    """Shut the connection down after so many seconds: the timeout of a socket applies only to each read.

    Raises:
        TimeoutError: the exchange took longer.
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
        socket.socket.shutdown(connection, socket.SHUT_RDWR)  # not SSLSocket.shutdown: another thread still reads


def _target(url: str) -> str:
    """Return path and query of a URL exactly as they are written."""
    rest = url.partition("#")[0].partition("://")[2]
    slash = min((place for place in (rest.find("/"), rest.find("?")) if place >= 0), default=len(rest))
    return rest[slash:] if rest[slash:].startswith("/") else f"/{rest[slash:]}"


def _what_failed(error: Exception) -> tuple[str, int]:
    """Return what failed, and the error that Twilio logs: https://www.twilio.com/docs/api/errors."""
    reason = str(error) or type(error).__name__
    if isinstance(error, ValueError) and not isinstance(error, OSError):
        return "its URL has characters that must be percent-encoded", 11100
    if isinstance(error, socket.gaierror):
        return "this host name does not exist", 11210
    if isinstance(error, ssl.SSLCertVerificationError):
        code = 11236 if error.verify_code == _EXPIRED else 11237 if error.verify_code in _NO_CHAIN else 11235
        return error.verify_message, code
    if isinstance(error, ssl.SSLError):
        return reason, 11220
    if isinstance(error, http.client.HTTPException) and not isinstance(error, ConnectionError):
        return reason, 11206
    return reason, 11200
