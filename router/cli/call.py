"""A webhook called as Twilio calls it: signed, by POST or GET, with Twilio's patience, redirects followed.

https://www.twilio.com/docs/usage/webhooks/webhooks-connection-overrides
https://www.twilio.com/docs/messaging/twiml#twilios-request-to-your-application
"""

import http.client
import socket
import ssl
import time
import uuid
from dataclasses import dataclass, field, replace
from typing import Final, Literal
from urllib.parse import urlencode, urljoin, urlsplit

from router.errors import RouterError
from router.message import FORM
from router.signature import Key, sign, url_to_sign

Fields = list[tuple[str, str]]
Method = Literal["POST", "GET"]

# How long Twilio waits for an answer: https://www.twilio.com/docs/usage/webhooks/webhooks-connection-overrides
TWILIO_WAITS: Final = 15.0
# How many redirects Twilio follows: https://www.twilio.com/docs/api/errors/11215
REDIRECTS: Final = 10
# What is read of an answer: more than the 64 KiB of TwiML that Twilio takes.
_ANSWER_MOST: Final = 256 * 1024
_REDIRECT: Final = range(300, 400)
_KEEP_THE_METHOD: Final = (307, 308)
# What OpenSSL calls an expired certificate, and a chain that ends nowhere: X509_V_ERR_* of openssl/x509_vfy.h.
_EXPIRED: Final = 10
_NO_CHAIN: Final = (18, 19, 20, 21)

TAMPERS: Final = {
    "body": "a parameter is added after it was signed",
    "url": "it is signed for another URL: https in place of http, or the other way round",
    "key": "it is signed with a key that is not the account's",
    "scheme": "it names another signing scheme than the one it is signed by",
    "missing": "it has no signature",
    "account": "it is of an account that is not served here",
}
"""Ways to break a webhook, each of which must be refused."""


class NoAnswer(RouterError):  # noqa: N818 - named for what it says
    """A webhook was not answered.

    `connected` says whether there was somebody who may have taken it all the same; `code` is the error that Twilio
    would log.
    """

    def __init__(self, reason: str, *, connected: bool = True, code: int = 11200) -> None:
        super().__init__(reason)
        self.connected = connected
        self.code = code

    @property
    def answered(self) -> "Answered":
        """The answer that there was none."""
        return Answered(0, code=self.code, reason=str(self))


@dataclass(frozen=True, slots=True)
class Answered:
    """What a webhook was answered with.

    Args:
        status: HTTP's; 0 when there was no answer.
        content_type: as it was written, "" for none.
        body: at most 256 KiB of it.
        seconds: from the request to the end of the answer, redirects included.
        location: where it redirects to.
        chunked: whether the body came in chunks.
        redirects: how many were followed.
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
    code: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Signing:
    """How a webhook is signed: the key, and for a shared key the header that names it.

    `tamper` is one of `TAMPERS`, or "".
    """

    key: Key
    header: str = ""
    tamper: str = ""


def send(
    url: str,
    form: Fields,
    key: Key | Signing,
    *,
    signed_as: str = "",
    method: Method = "POST",
) -> Answered:
    """Send a webhook as Twilio does, signed; a redirect is its answer.

    Args:
        url: where to.
        form: its parameters.
        key: what signs.
        signed_as: the URL as it is written at Twilio, where that is another one than `url`.
        method: with GET the parameters are in the query.

    Raises:
        NoAnswer: nobody listens, or nobody answers in the time that Twilio waits.
    """
    signing = key if isinstance(key, Signing) else Signing(key)
    encoded = urlencode(form)
    public = url_to_sign(signed_as or url)
    headers = {
        "Accept": "*/*",
        "User-Agent": "TwilioProxy/1.1",
        "X-Home-Region": "us1",
        "I-Twilio-Idempotency-Token": str(uuid.uuid4()),
        **_signature(public if method == "POST" else _with_query(public, encoded), form, signing, method),
    }
    if signing.tamper == "body":
        encoded += "&Tampered=1"
    target, body = _target(url), None
    if method == "POST":
        headers["Content-Type"] = f"{FORM}; charset=UTF-8"
        body = encoded.encode()
    else:
        target = _with_query(target, encoded)
    return _exchange(url, method, target, body, headers)


def call(url: str, form: Fields, signing: Signing, *, signed_as: str = "", method: Method = "POST") -> Answered:
    """Send a webhook and follow redirects as Twilio does; the arguments and what it raises are those of `send`.

    After a 301, 302 or 303 it asks by GET, without the form: https://www.twilio.com/docs/api/errors/11215.
    """
    answered = send(url, form, signing, signed_as=signed_as, method=method)
    where, redirects, seconds = signed_as or url, 0, answered.seconds
    at = url
    while answered.status in _REDIRECT and answered.location and redirects < REDIRECTS:
        try:
            at, where = urljoin(at, answered.location), urljoin(where, answered.location)
            parts = urlsplit(at)
            if parts.scheme not in ("http", "https") or parts.port == 0:
                break
        except ValueError:
            break  # a URL that is none
        if answered.status not in _KEEP_THE_METHOD:
            form, method = [], "GET"
        answered = send(at, form, signing, signed_as=where, method=method)
        redirects, seconds = redirects + 1, seconds + answered.seconds
    return replace(answered, redirects=redirects, seconds=seconds)


def _signature(public: str, form: Fields, signing: Signing, method: Method) -> dict[str, str]:
    """Return the headers that sign a request, broken where that is wanted."""
    key, header, tamper = signing.key, signing.header, signing.tamper
    if tamper == "missing":
        return {}
    if tamper == "key":
        key = replace(key, secret=b"not " + key.secret)
    if tamper == "scheme":
        header = "" if header else "key=webhooks_sharedkey_00000000000000000000000000,algorithm=HMAC_SHA256"
    if tamper == "url":
        scheme, _, rest = public.partition("://")
        public = f"{'http' if scheme == 'https' else 'https'}://{rest}"
    headers = {"X-Twilio-Signature": sign(public, form if method == "POST" else (), key)}
    return headers | {"X-Twilio-Webhooks-Signature-Settings": header} if header else headers


def _exchange(url: str, method: str, target: str, body: bytes | None, headers: dict[str, str]) -> Answered:
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    origin = f"{parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}"
    connection = kind(parts.hostname or "", parts.port, timeout=TWILIO_WAITS)
    started = time.monotonic()
    try:
        connection.request(method, target, body, headers)
        response = connection.getresponse()
        answer = response.read(_ANSWER_MOST)
    except ConnectionRefusedError:
        raise NoAnswer(
            f"nobody listens at {origin}: start the router with `router run`, or say where it is with --url",
            connected=False,
            code=11205,
        ) from None
    except TimeoutError:
        raise NoAnswer(
            f"{origin} did not answer within {TWILIO_WAITS:.0f} s, and Twilio waits no longer", code=11205
        ) from None
    except (OSError, http.client.HTTPException, ValueError) as error:  # ValueError: letters that no URL has
        reason, code = _what_failed(error)
        unreached = isinstance(error, socket.gaierror | ssl.SSLError | UnicodeError)
        raise NoAnswer(f"{origin} cannot be asked: {reason}", connected=not unreached, code=code) from error
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


def _target(url: str) -> str:
    rest = url.partition("#")[0].partition("://")[2]
    slash = min((place for place in (rest.find("/"), rest.find("?")) if place >= 0), default=len(rest))
    return rest[slash:] if rest[slash:].startswith("/") else f"/{rest[slash:]}"


def _with_query(url: str, query: str) -> str:
    return f"{url}{'&' if '?' in url else '?'}{query}" if query else url
