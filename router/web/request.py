"""Reads the request from the WSGI environment, byte for byte as Twilio sent it."""

from collections.abc import Mapping, Sequence
from dataclasses import field
from io import BytesIO
from typing import Any, Final
from urllib.parse import parse_qsl

import gevent

from router.errors import RouterError
from router.message.raw import MAX_FIELDS, Raw
from router.message.signature import names_body_hash
from router.settings import Settings
from router.value import value
from router.web.public import claimed_base, doubt, public_bases

# A message has at most 1,600 characters and about forty parameters: 128 KiB and 500 fields are ample.
BODY_MOST: Final = 128 * 1024
# Twilio sends body and headers together. A slow client occupies one of a thousand connections.
BODY_SECONDS: Final = 5.0
# The longest language tags in use have about 35 characters: RFC 5646, section 4.4.1.
LANG_MOST: Final = 64


class Refusal(RouterError):  # noqa: N818 - it is an answer
    """A request that is refused, with the HTTP `status` of the answer.

    `reason` goes to the log and, except for a 403, to the client.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


@value
class Received:
    """A request, not yet verified: its URL (`bases` and the raw `target`) and its content.

    `bases` is empty if the host is not trusted; then `claimed` is the base URL that the request names, or "", and
    `doubt` is the reason. `lang` is the language in the webhook's URL (`?lang=es`), as configured at Twilio.
    """

    raw: Raw
    fields: Sequence[tuple[str, str]] = field(repr=False)
    bases: tuple[str, ...]
    target: str = field(repr=False)
    signature: str = field(repr=False)
    signature_settings: str | None
    lang: str = ""
    claimed: str = ""
    doubt: str = ""


def receive(environ: Mapping[str, Any], settings: Settings) -> Received:
    """Read a webhook. Raises `Refusal` with 405, 413 or 415."""
    method = environ["REQUEST_METHOD"]
    if method not in ("POST", "GET"):
        raise Refusal(405, f"{method} is not allowed; webhooks are POST or GET")
    # The undecoded target is RAW_URI in werkzeug's test client and gunicorn, and REQUEST_URI in other servers.
    target = str(environ.get("RAW_URI") or environ.get("REQUEST_URI") or "")
    body = target.partition("?")[2].encode("latin-1", "replace") if method == "GET" else read_body(environ)
    if len(body) > BODY_MOST:
        raise Refusal(413, f"over {BODY_MOST} bytes")
    if target.count("&") >= MAX_FIELDS:  # the code below parses all of them
        raise Refusal(413, f"a query of more than {MAX_FIELDS} fields")
    raw = Raw(
        method=method,
        content_type=str(environ.get("CONTENT_TYPE", "")),
        body=body,
        cookie=str(environ.get("HTTP_COOKIE", "")),
        idempotency_token=str(environ.get("HTTP_I_TWILIO_IDEMPOTENCY_TOKEN", "")),
    )
    if not raw.is_form and not names_body_hash(target):
        raise Refusal(415, "neither a form nor a body whose bodySHA256 is in the URL")
    try:
        fields = raw.fields()
    except ValueError as error:
        raise Refusal(413, str(error)) from error
    bases = public_bases(environ, settings)
    return Received(
        raw=raw,
        fields=fields,
        bases=bases,
        target=target,
        signature=str(environ.get("HTTP_X_TWILIO_SIGNATURE", "")),
        signature_settings=environ.get("HTTP_X_TWILIO_WEBHOOKS_SIGNATURE_SETTINGS"),
        lang=_lang(target),
        claimed="" if bases else claimed_base(environ, settings),
        doubt="" if bases else doubt(environ, settings),
    )


def _lang(target: str) -> str:
    query = target.partition("?")[2]
    if "lang=" not in query:
        return ""
    return next((value[:LANG_MOST] for name, value in parse_qsl(query) if name == "lang"), "")


def read_body(environ: Mapping[str, Any], most: int = BODY_MOST) -> bytes:
    """Read a body of at most `most` bytes; raise `Refusal` for a longer one, and if it does not arrive in time."""
    length = environ.get("CONTENT_LENGTH")
    try:
        wanted = min(int(length), most + 1) if length else most + 1
    except ValueError:
        raise Refusal(413, "Content-Length is not a number") from None
    if length and int(length) > most:
        raise Refusal(413, f"over {most} bytes")
    if not length and not environ.get("wsgi.input_terminated"):
        return b""  # no length and not chunked: there is no body
    body = environ["wsgi.input"]
    read = body.read(wanted) if isinstance(body, BytesIO) else _read_in_time(body, wanted)
    if length and len(read) < int(length):
        raise Refusal(400, "the body ended early")
    return read


def _read_in_time(body: Any, wanted: int) -> bytes:
    try:
        with gevent.Timeout(BODY_SECONDS):
            read: bytes = body.read(wanted)
    except gevent.Timeout:
        raise Refusal(408, f"the body did not arrive within {BODY_SECONDS:.0f} s") from None
    except Exception as error:  # the server's errors for malformed chunks or a broken connection
        raise Refusal(400, f"the body could not be read ({type(error).__name__})") from error
    return read
