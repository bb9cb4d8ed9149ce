"""A target's URL, parsed once: the address to connect to, the request line, and the URL to sign."""

import base64
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote, unquote_to_bytes, urlsplit

from router.url import PORTS, origin

# The URL is left as it was written, because the signature covers it byte for byte: only characters that are not
# allowed in a request line (blanks, control characters, non-ASCII text) are escaped.
_AS_WRITTEN = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"


@dataclass(frozen=True, slots=True)
class Location:
    """The destination of a request.

    Attributes:
        url: the URL as requested and signed: without fragment and credentials, which Twilio does not sign either
            (https://www.twilio.com/docs/usage/security#validating-requests); the port stays as it was written.
        scheme: `http` or `https`.
        host: name or address to connect to, in lower case, IDNA-encoded, an IPv6 address without its brackets.
        port: the port to connect to.
        netloc: the `Host` header.
        path: path and query, as in the request line.
        authorization: the `Authorization` header for the credentials in the URL, or empty.
        origin: the target's name: `scheme://host`, and the port unless it is the scheme's default.

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
    """Parse a target's URL.

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
