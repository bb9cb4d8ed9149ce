"""Opens all outbound connections, and only to permitted addresses (protection against SSRF).

The name is resolved once, each address is checked, and the connection is made to the checked address: a different
answer to a later look-up (DNS rebinding) has no effect. TLS and the `Host` header use the name. A message that is
blocked here was not processed by any target, so the result is `REFUSED`: the message waits during its ValidityPeriod,
and is delivered once the operator allows the network, or corrects the name or the flow.
"""

import socket
import ssl
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

from router.integrations.base import AttemptError, Failure
from router.integrations.location import Location, locate
from router.integrations.own_address import is_own
from router.integrations.resolver import AddressInfo, Resolver
from router.network import Network, may_connect
from router.settings import Settings
from router.url import PORTS

# Twilio's own limit for a webhook (connection override `ct`), for one address.
# https://www.twilio.com/docs/usage/webhooks/webhooks-connection-overrides
CONNECT_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Dialer:
    """Makes connections.

    Attributes:
        allowed: permitted networks besides the public Internet.
        own: the router's own hosts and ports, and those that a signature does not distinguish; blocked, against loops.
        resolver: resolves names.
        tls: the context for verifying certificates.
        is_own: returns whether an address belongs to this machine.

    """

    allowed: Collection[Network]
    own: Collection[tuple[str, int]]
    resolver: Resolver
    tls: ssl.SSLContext
    is_own: Callable[[str], bool] = is_own

    def dial(self, location: Location, *, account_sid: str = "", trusted: bool = False) -> socket.socket:
        """Connect to a target of the account, with TLS if its scheme is https.

        A `trusted` location is one that the operator has configured; its addresses are not checked.

        Raises:
            AttemptError: `REFUSED`: not resolved, not allowed, not connected, or TLS failed.

        """
        host, port = location.host, location.port
        if not trusted and (host, port) in self.own:
            raise _refused(location, "is the router itself")
        addresses = self._resolve(host, port, "" if trusted else account_sid)
        if not trusted:
            addresses = [info for info in addresses if may_connect(str(info[4][0]), self.allowed, self.is_own)]
            if not addresses:
                where = "is in a private network or on the router's own machine"
                raise _refused(location, f"{where}, and ROUTER_ALLOWED_NETWORKS does not name it")
        connection = _connect(location, addresses)
        if location.scheme == "http":
            return connection
        # The handshake is a separate step: if a deadline interrupts it within wrap_socket, the socket stays open.
        try:
            secure = self.tls.wrap_socket(connection, server_hostname=host, do_handshake_on_connect=False)
            connection = secure
            secure.do_handshake()
        except BaseException as error:
            connection.close()
            if isinstance(error, ssl.SSLCertVerificationError):
                raise _refused(location, f"has no valid certificate ({error.verify_message})") from error
            if isinstance(error, OSError | ValueError):
                raise _refused(location, f"did not complete TLS ({_why(error)})") from error
            raise
        return secure

    def _resolve(self, host: str, port: int, account_sid: str) -> list[AddressInfo]:
        try:
            version = ip_address(host.partition("%")[0]).version
        except ValueError:
            return self.resolver.resolve(host, port, account_sid=account_sid)
        if version == 4:  # noqa: PLR2004
            return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", (host, port))]
        return [(socket.AF_INET6, socket.SOCK_STREAM, 0, "", (host, port, 0, 0))]


def make_dialer(settings: Settings, tls: ssl.SSLContext | None = None) -> Dialer:
    """Build the dialer from the settings; `tls` is for targets with a certificate that the system does not trust."""
    own = set()
    for url in (*settings.public_urls, f"http://{settings.bind}"):
        with suppress(ValueError):  # a bind address without a host, such as `:8000`
            location = locate(url)
            # Signatures over the URL without its port are accepted, too, as in Twilio's libraries (`signed_urls`): a
            # target at that URL could replay requests to this router.
            own |= {(location.host, location.port), (location.host, PORTS[location.scheme])}
    return Dialer(
        allowed=settings.allowed_networks,
        own=frozenset(own),
        resolver=Resolver(),
        tls=tls or ssl.create_default_context(),
    )


def _connect(location: Location, addresses: Iterable[AddressInfo]) -> socket.socket:
    why = ""
    for family, kind, protocol, _, address in addresses:
        connection = socket.socket(family, kind, protocol)
        try:
            connection.settimeout(CONNECT_SECONDS)
            connection.connect(address)
            # A request is one write, so Nagle's algorithm would only delay it.
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            connection.close()
            why = _why(error)
        except BaseException:
            connection.close()
            raise
        else:
            return connection
    raise _refused(location, f"cannot be connected to ({why})")


def _why(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {CONNECT_SECONDS:g} s"
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__


def _refused(location: Location, what: str) -> AttemptError:
    return AttemptError(Failure.REFUSED, f"{location.origin} {what}", unreachable=True)
