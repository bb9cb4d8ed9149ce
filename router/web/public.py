"""The public address that a request came in on: what Twilio signed, and what links are made of."""

from collections.abc import Callable, Mapping
from ipaddress import ip_address
from typing import Any, Final

from router.settings import Settings
from router.web.tunnel_address import TunnelWatch

_TUNNEL: Final = "router.web.tunnel_address"
Wsgi = Callable[[dict[str, Any], Any], Any]


def with_tunnel(application: Wsgi, watch: TunnelWatch) -> Wsgi:
    """Put the base of the tunnel that is open now into the environment of each request."""

    def serve(environ: dict[str, Any], start_response: Any) -> Any:
        environ[_TUNNEL] = watch.url()
        return application(environ, start_response)

    return serve


def public_bases(environ: Mapping[str, Any], settings: Settings) -> tuple[str, ...]:
    """Return the bases that the request may have been sent to, the likeliest first.

    The configured ones and the tunnel's, those of the request's own host first. Without a configured one, the request's
    host, and what a trusted proxy says of it: https://help.twilio.com/articles/50535649249307.
    """
    host, tunnel = str(environ.get("HTTP_HOST", "")), str(environ.get(_TUNNEL, ""))
    bases = settings.public_urls or _of_request(environ, host, settings)
    if tunnel and not settings.public_urls and _host(tunnel) == host:
        return (tunnel,)  # a tunnel ends TLS, so that the request itself says http
    if tunnel:
        bases = (*bases, tunnel)
    if len(bases) < 2:  # noqa: PLR2004 - nothing to sort
        return bases
    return tuple(sorted(bases, key=lambda base: _host(base) != host))


def _host(base: str) -> str:
    return base.partition("://")[2].partition("/")[0]


def _of_request(environ: Mapping[str, Any], host: str, settings: Settings) -> tuple[str, ...]:
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
