"""Detects this machine's own addresses: services there may trust every local client, so targets must not use them."""

import socket
from typing import Final

# Addresses that no machine has, reserved for documentation: RFC 5737 and RFC 3849.
_NOBODYS: Final = {socket.AF_INET: "192.0.2.1", socket.AF_INET6: "2001:db8::1"}
_DISCARD: Final = 9


def is_own(address: str) -> bool:
    """Return whether one of this machine's interfaces has the address at present; interfaces may change.

    The kernel decides, in some 20 µs: a socket can be bound to own addresses only. If it can be bound to any address
    (`ip_nonlocal_bind`, as on machines that take over another's address), the source address is compared that the
    kernel would choose for a connection to it, without sending anything: for an own address it is the address itself,
    unless it is a secondary address of its subnet.
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
