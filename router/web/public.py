"""The public base URL to which a request was sent: Twilio's signature covers it, and links are built from it.

The Host header is controlled by the sender. A target receives requests that are signed with the account's own key for
the target's URL: if every Host were trusted, the target could replay them to this router with its own Host, and each
would be accepted as a message from Twilio. So without a configured public URL, only hosts that no target can have are
trusted.
"""

import re
from collections.abc import Callable, Mapping
from ipaddress import IPv6Address, ip_address
from typing import Any, Final

from router.settings import Settings
from router.tunnel_address import TunnelWatch

_TUNNEL: Final = "router.web.tunnel_address"
# A name or an address with an optional port; without characters that a URL parser could take for credentials or a path.
_HOST: Final = re.compile(r"(?P<name>[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?", re.IGNORECASE)
_SHOWN: Final = 100  # characters shown of an untrusted host
# The paths that are public through a tunnel.
_OPEN: Final = "/webhooks/"
_CHAT: Final = "/chat"
CLOSED: Final = b"Only /webhooks/ is served at this port.\n"
Wsgi = Callable[[dict[str, Any], Any], Any]


def with_tunnel(application: Wsgi, watch: TunnelWatch, port: int | None) -> Wsgi:
    """Put the base URL of the open tunnel into the environment of each request, and restrict the tunnel's port.

    The server sets the port of the connection (SERVER_PORT); no header can change it. Every request of a connection to
    the tunnel's port is checked, not only the first one.

    Args:
        application: the WSGI application.
        watch: reads the tunnel's base URL.
        port: the port that tunnels connect to, where only webhooks are served, and web chat with `router tunnel
            --chat`; None if there is no such port.
    """
    guarded = str(port) if port else ""

    def serve(environ: dict[str, Any], start_response: Any) -> Any:
        if environ["SERVER_PORT"] == guarded and not _is_open(environ["PATH_INFO"], watch):
            start_response("404 Not Found", [("Content-Type", "text/plain"), ("Content-Length", str(len(CLOSED)))])
            return [CLOSED]
        environ[_TUNNEL] = watch.url()
        return application(environ, start_response)

    return serve


def _is_open(path: str, watch: TunnelWatch) -> bool:
    return path.startswith(_OPEN) or ((path == _CHAT or path.startswith(f"{_CHAT}/")) and watch.chat())


def public_bases(environ: Mapping[str, Any], settings: Settings) -> tuple[str, ...]:
    """Return the base URLs that the request may have been sent to, the most likely first; empty for an untrusted host.

    These are the configured ones and the tunnel's, those of the request's own host first; without configured ones, the
    request's own base (see `own_base`): https://help.twilio.com/articles/50535649249307.
    """
    host, tunnel = str(environ.get("HTTP_HOST", "")), str(environ.get(_TUNNEL, ""))
    if tunnel and not settings.public_urls and _host(tunnel) == host:
        return (tunnel,)  # the tunnel terminates TLS, so the request's own scheme is http
    own = "" if settings.public_urls else own_base(environ, settings)
    bases = settings.public_urls or ((own,) if own else ())
    if tunnel:
        bases = (*bases, tunnel)
    if len(bases) < 2:  # noqa: PLR2004 - nothing to sort
        return bases
    return tuple(sorted(bases, key=lambda base: _host(base) != host))


def own_base(environ: Mapping[str, Any], settings: Settings) -> str:
    """Return the base URL that the request itself names; "" if it is not trusted.

    A loopback name is trusted, and a single host in the X-Forwarded-Host of a trusted proxy.
    """
    host, proxied = _stated_host(environ, settings)
    trusted = _HOST.fullmatch(host) and (proxied or _is_loopback(host))
    scheme = _scheme(environ, settings)
    return f"{scheme}://{host}" if trusted and scheme in ("http", "https") else ""


def claimed_base(environ: Mapping[str, Any], settings: Settings) -> str:
    """Return the base URL that the request names, trusted or not, for diagnosis."""
    host, _ = _stated_host(environ, settings)
    return f"{_scheme(environ, settings)}://{host}" if _HOST.fullmatch(host) else ""


def page_base(environ: Mapping[str, Any], settings: Settings) -> str:
    """Return the base URL at which a browser sees our pages; "" for another host.

    Besides the public bases and loopback, the host of ROUTER_BIND and all IP addresses are accepted: a page of another
    site can point its own name to this router (DNS rebinding), but the browser then sends that name as the host.
    """
    host = str(environ.get("HTTP_HOST", ""))
    for base in (*settings.public_urls, str(environ.get(_TUNNEL, ""))):
        if base and _host(base).lower() == host.lower():
            return base
    if own := own_base(environ, settings):
        return own
    match = _HOST.fullmatch(host)
    if match and (host.lower() == settings.bind.lower() or _is_ip(match["name"])):
        return f"{_scheme(environ, settings)}://{host}"
    return ""


def doubt(environ: Mapping[str, Any], settings: Settings) -> str:
    """Return why the request has no public base, and what to do."""
    host, _ = _stated_host(environ, settings)
    if not host:
        return "no Host"
    proxy = "" if not _is_proxied(environ, settings) else ", or let the proxy overwrite X-Forwarded-Host with its own"
    return (
        f"the host {host[:_SHOWN]!r} is not trusted: set ROUTER_PUBLIC_URL to the base URL that is set at Twilio{proxy}"
    )


def client_address(environ: Mapping[str, Any], settings: Settings) -> str:
    """Return the client's address: that from a trusted proxy, else the connection's; "" on a unix socket.

    It is used only to count, not to grant access, so it does not depend on a configured public URL.
    """
    if _is_proxied(environ, settings):
        return _last(environ, "HTTP_X_FORWARDED_FOR") or str(environ.get("REMOTE_ADDR", ""))
    return str(environ.get("REMOTE_ADDR", ""))


def _host(base: str) -> str:
    return base.partition("://")[2].partition("/")[0]


def _stated_host(environ: Mapping[str, Any], settings: Settings) -> tuple[str, bool]:
    """Return the host of the request, and whether it is from a trusted proxy.

    A proxy that appends to its client's X-Forwarded-Host produces a list, which is not accepted as a host.
    """
    forwarded = str(environ.get("HTTP_X_FORWARDED_HOST", "")).strip() if _is_proxied(environ, settings) else ""
    return (forwarded, True) if forwarded else (str(environ.get("HTTP_HOST", "")), False)


def _scheme(environ: Mapping[str, Any], settings: Settings) -> str:
    own = str(environ.get("wsgi.url_scheme", "http"))
    return (_last(environ, "HTTP_X_FORWARDED_PROTO") or own) if _is_proxied(environ, settings) else own


def _is_loopback(host: str) -> bool:
    """Return whether a host is a loopback address or name (RFC 6761, section 6.3)."""
    match = _HOST.fullmatch(host)
    name = match["name"].lower() if match else ""
    if name == "localhost" or name.endswith(".localhost"):
        return True
    return _is_ip(name) and ip_address(name.strip("[]")).is_loopback


def _is_ip(name: str) -> bool:
    try:
        ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


def _last(environ: Mapping[str, Any], name: str) -> str:
    """Return the value of the nearest proxy: each proxy appends to the header that it received."""
    return str(environ.get(name, "")).rpartition(",")[2].strip()


def _is_proxied(environ: Mapping[str, Any], settings: Settings) -> bool:
    """Return whether the connection is a trusted proxy's."""
    if not settings.trusted_proxies:
        return False
    try:
        address = ip_address(str(environ.get("REMOTE_ADDR", "")))
    except ValueError:  # a unix socket has no address
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped  # an IPv4 client of a socket that listens on both
    return any(address in network for network in settings.trusted_proxies)
