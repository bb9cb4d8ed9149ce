"""Which addresses are this machine's own: what listens there may trust whoever is on the same machine."""

import socket
from typing import Final

# Addresses that no machine has: for documentation, RFC 5737 and RFC 3849.
_NOBODYS: Final = {socket.AF_INET: "192.0.2.1", socket.AF_INET6: "2001:db8::1"}
_DISCARD: Final = 9


def is_own(address: str) -> bool:
    """Say whether one of this machine's interfaces has the address, now: they come and go.

    The kernel is asked, some 20 µs: a socket can be bound to own addresses only. Where it can be bound to any
    (`ip_nonlocal_bind`, as on machines that take over another's address), the source tells that it would choose for a
    connection to there, without sending anything: an own address is reached from itself, unless it is a second one
    of its subnet.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    if not _can_bind(family, address):
        return False
    return not _can_bind(family, _NOBODYS[family]) or _source(family, address) == address


def _can_bind(family: int, address: str) -> bool:
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as asked:
            asked.bind((address, 0))
    except OSError:
        return False
    return True


def _source(family: int, address: str) -> str:
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as asked:
            asked.connect((address, _DISCARD))
            return str(asked.getsockname()[0])
    except OSError:
        return ""
