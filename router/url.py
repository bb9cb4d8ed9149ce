"""Checks and splits http and https URLs."""

from functools import lru_cache
from typing import Final
from urllib.parse import urlsplit

PORTS: Final = {"http": 80, "https": 443}


def is_http_url(text: str) -> bool:
    """Return whether a text is an absolute http or https URL: with a host, a valid port, and no white space."""
    try:
        parts = urlsplit(text)
        usable = parts.scheme in PORTS and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    return bool(usable) and not any(character.isspace() for character in text)


@lru_cache(maxsize=4096)
def origin(url: str) -> str:
    """Return the origin of an http or https URL, without the scheme's default port: `https://example.com:8443`.

    https://www.rfc-editor.org/rfc/rfc6454#section-4
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    if not host.isascii():
        host = host.encode("idna").decode("ascii")
    literal = f"[{host}]" if ":" in host else host
    port = "" if parts.port in (None, PORTS[parts.scheme]) else f":{parts.port}"
    return f"{parts.scheme}://{literal}{port}"
