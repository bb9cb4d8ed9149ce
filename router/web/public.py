"""The public address that a request came in on: what Twilio signed, and what links are made of."""

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any

from router.settings import Settings


def public_bases(environ: Mapping[str, Any], settings: Settings) -> tuple[str, ...]:
    """Return the bases that the request may have been sent to, the likeliest first.

    The configured ones, those of the request's own host first. Without any, the request's host, and what a trusted
    proxy says of it: https://help.twilio.com/articles/50535649249307.
    """
    host = str(environ.get("HTTP_HOST", ""))
    if settings.public_urls:
        if len(settings.public_urls) == 1:
            return settings.public_urls
        return tuple(sorted(settings.public_urls, key=lambda base: base.partition("://")[2].partition("/")[0] != host))
    scheme = str(environ.get("wsgi.url_scheme", "http"))
    if settings.trusted_proxies and _trusted(str(environ.get("REMOTE_ADDR", "")), settings):
        scheme = _last(environ, "HTTP_X_FORWARDED_PROTO") or scheme
        host = _last(environ, "HTTP_X_FORWARDED_HOST") or host
    return (f"{scheme}://{host}",) if host and scheme in ("http", "https") else ()


def _last(environ: Mapping[str, Any], name: str) -> str:
    """Return what the nearest proxy said: it adds to the end of what it was told."""
    return str(environ.get(name, "")).rpartition(",")[2].strip()


def _trusted(address: str, settings: Settings) -> bool:
    try:
        return any(ip_address(address) in network for network in settings.trusted_proxies)
    except ValueError:  # a unix socket has no address
        return False


def client_address(environ: Mapping[str, Any], settings: Settings) -> str:
    """Return the address of who asks: what a trusted proxy says, else the connection's; "" on a unix socket.

    It is for counting, never for trust, so it is believed whether or not a public base is set.
    """
    address = str(environ.get("REMOTE_ADDR", ""))
    if settings.trusted_proxies and _trusted(address, settings):
        return _last(environ, "HTTP_X_FORWARDED_FOR") or address
    return address
