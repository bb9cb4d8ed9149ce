"""A target's URL, taken apart once: what is dialled, what is requested, what is signed."""

import base64
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote, unquote_to_bytes, urlsplit

from router.url import PORTS, origin

# Everything a URL may hold is left as it was written, because the signature covers it byte for byte: only what
# cannot travel in a request line (blanks, control characters, text that is not ASCII) is escaped.
_AS_WRITTEN = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"


@dataclass(frozen=True, slots=True)
class Location:
    """Where a request goes.

    Attributes:
        url: the URL as requested and signed: without fragment and credentials, which Twilio does not sign either
            (https://www.twilio.com/docs/usage/security#validating-requests); the port stays as it was written.
        scheme: `http` or `https`.
        host: name or address to dial, in lower case, IDNA-encoded, an IPv6 address without its brackets.
        port: the port to dial.
        netloc: the `Host` header.
        path: path and query, as in the request line.
        authorization: the `Authorization` header that credentials in the URL ask for, or empty.
        origin: the target's name: `scheme://host`, and the port unless it is the scheme's own.

    """

    url: str
    scheme: str
    host: str
    port: int
    netloc: str
    path: str
    authorization: str
    origin: str


@lru_cache(maxsize=4096)
def locate(url: str) -> Location:
    """Take a target's URL apart.

    Raises:
        ValueError: not an absolute `http` or `https` URL.

    """
    parts = urlsplit(url)
    if parts.scheme not in PORTS or not parts.hostname:
        raise ValueError("not an http or https URL with a host")
    credentials, _, netloc = parts.netloc.rpartition("@")
    host = parts.hostname
    if not host.isascii():
        encoded = host.encode("idna").decode("ascii")
        netloc = encoded + (f":{parts.port}" if parts.port else "")
        host = encoded
    path = quote(parts.path or "/", safe=_AS_WRITTEN) + (
        f"?{quote(parts.query, safe=_AS_WRITTEN)}" if parts.query else ""
    )
    port = parts.port or PORTS[parts.scheme]
    return Location(
        url=f"{parts.scheme}://{netloc}{path}",
        scheme=parts.scheme,
        host=host,
        port=port,
        netloc=netloc,
        path=path,
        authorization="Basic " + base64.b64encode(unquote_to_bytes(credentials)).decode() if credentials else "",
        origin=origin(url),
    )
