"""Failed logins, counted per client address and in total, over all processes."""

from ipaddress import IPv6Address, ip_address
from typing import Final

from router.store.client import Client

# The rate limits for wrong credentials, per minute: for one client address, and for all clients together.
MOST: Final = 20
MOST_OF_ALL: Final = 1000
_SECONDS: Final = 60
_SUBNET: Final = 64  # bits: a client with one IPv6 address usually has the whole subnet
# One fixed slot for all counters: a failed login has no account.
_PREFIX: Final = "failures:{0}:"


class Failures:
    """Counts failures in windows of one minute."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def count(self, client_address: str) -> int:
        """Count one more failure of a client; return the seconds it should wait, 0 below both limits."""
        commands: list[tuple[str | int, ...]] = []
        for key in (_PREFIX + _network(client_address), _PREFIX + "all"):
            commands += [("INCR", key), ("EXPIRE", key, _SECONDS, "NX"), ("TTL", key)]
        own, _, own_left, everybodys, _, left = self._client.calls(commands)
        waits = [own_left if own > MOST else 0, left if everybodys > MOST_OF_ALL else 0]
        return max(0, *waits)


def _network(address: str) -> str:
    """Return the part of an address that a client cannot easily change; "local" for a unix socket."""
    try:
        ip = ip_address(address.partition("%")[0])
    except ValueError:
        return "local"
    if isinstance(ip, IPv6Address):
        ip = ip.ipv4_mapped or IPv6Address(int(ip) >> _SUBNET << _SUBNET)
    return str(ip)
