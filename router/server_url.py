"""Splits and builds store URLs with several hosts: `scheme://user:password@host:port,host:port/…?option=value`.

No error shows a part of a password.
"""

from collections.abc import Sequence
from urllib.parse import quote, urlencode, urlsplit

Address = tuple[str, int]


def split(url: str) -> tuple[str, str, list[str], str, str]:
    """Return scheme, credentials, hosts, path and query of a URL; raise ValueError if the password is not encoded."""
    scheme, _, rest = url.partition("://")
    rest, _, query = rest.partition("?")
    credentials, _, rest = rest.rpartition("@")
    hosts, _, path = rest.partition("/")
    if any(mark in credentials for mark in "/#@[]"):
        raise ValueError("has a password that is not percent-encoded")
    return scheme, credentials, hosts.split(","), path, query


def address(text: str, *, port: int, what: str) -> Address:
    """Return host and port of `host`, `host:port` or `[IPv6]:port`; `port` is the default, `what` is for the error."""
    try:
        parts = urlsplit(f"//{text}")
        host, number = parts.hostname, parts.port or port
    except ValueError:  # its text may contain a part of a password
        raise ValueError("has an invalid port, or a password that is not percent-encoded") from None
    if not host:
        raise ValueError(f"has a {what} without a host")
    return host, number


def userinfo(user: str, password: str) -> str:
    """Return the credentials for a URL, "" for none."""
    return f"{quote(user, safe='')}:{quote(password, safe='')}" if user or password else ""


def server_url(
    scheme: str, credentials: str, server: Address, database: str, options: Sequence[tuple[str, str]]
) -> str:
    """Return the URL of one server, as redis-py reads it."""
    at = f"{credentials}@" if credentials else ""
    authority = name(server)
    query = f"?{urlencode(options)}" if options else ""
    return f"{scheme}://{at}{authority}/{database}{query}"


def name(server: Address) -> str:
    """Return a server as `host:port`, with brackets around an IPv6 address."""
    host, port = server
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
