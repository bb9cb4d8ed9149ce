"""Failed logins, counted per client address and in total, over all processes.

Those of the REST resources and those of the console are counted separately, so that a flood of one does not lock the
other.
"""

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
_ATTEMPTS: Final = "attempts:{0}:"
# The rate limits for attempts to sign in, per minute: passwords are chosen by people, and are weaker than auth tokens.
SIGN_IN_MOST: Final = 10
SIGN_IN_MOST_OF_ALL: Final = 300


class Failures:
    """Counts failures in windows of one minute."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def count(self, client_address: str) -> int:
        """Count one more failure of a client; return the seconds it should wait, 0 below both limits."""
        return self._count(_PREFIX, client_address, MOST, MOST_OF_ALL)

    def attempt(self, client_address: str) -> int:
        """Count an attempt to sign in before its password is compared; return the seconds to wait, 0 if it may go on.

        Counted first, so that many attempts at the same time are not all within the limit.
        """
        return self._count(_ATTEMPTS, client_address, SIGN_IN_MOST, SIGN_IN_MOST_OF_ALL)

    def succeeded(self, client_address: str) -> None:
        """Take back an attempt whose password was right."""
        keys = (_ATTEMPTS + _network(client_address), _ATTEMPTS + "all")
        self._client.calls([command for key in keys for command in (("DECR", key), ("EXPIRE", key, _SECONDS, "NX"))])

    def _count(self, prefix: str, client_address: str, most: int, most_of_all: int) -> int:
        commands: list[tuple[str | int, ...]] = []
        for key in (prefix + _network(client_address), prefix + "all"):
            commands += [("INCR", key), ("EXPIRE", key, _SECONDS, "NX"), ("TTL", key)]
        own, _, own_left, total, _, total_left = self._client.calls(commands)
        return max(0, own_left if own > most else 0, total_left if total > most_of_all else 0)


def _network(address: str) -> str:
    """Return the part of an address that a client cannot easily change; "local" for a unix socket."""
    try:
        ip = ip_address(address.partition("%")[0])
    except ValueError:
        return "local"
    if isinstance(ip, IPv6Address):
        ip = ip.ipv4_mapped or IPv6Address(int(ip) >> _SUBNET << _SUBNET)
    return str(ip)
