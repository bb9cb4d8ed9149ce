"""URLs of the web, checked and taken apart the same way everywhere."""

from functools import lru_cache
from typing import Final
from urllib.parse import urlsplit

PORTS: Final = {"http": 80, "https": 443}


def is_http_url(text: str) -> bool:
    """Return whether a text is an absolute http or https URL: with a host, a port that exists, and no white space."""
    try:
        parts = urlsplit(text)
        usable = parts.scheme in PORTS and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    return bool(usable) and not any(character.isspace() for character in text)


@lru_cache(maxsize=4096)
def origin(url: str) -> str:
    """Return the origin of an http or https URL, without the scheme's own port: `https://example.com:8443`.

    https://www.rfc-editor.org/rfc/rfc6454#section-4
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    if not host.isascii():
        host = host.encode("idna").decode("ascii")
    literal = f"[{host}]" if ":" in host else host
    port = "" if parts.port in (None, PORTS[parts.scheme]) else f":{parts.port}"
    return f"{parts.scheme}://{literal}{port}"
