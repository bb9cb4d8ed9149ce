"""Detects this machine's own addresses: services there may trust every local client, so targets must not use them."""

import socket
from typing import Final

# Addresses that no machine has, reserved for documentation: RFC 5737 and RFC 3849.
_UNUSED: Final = {socket.AF_INET: "192.0.2.1", socket.AF_INET6: "2001:db8::1"}
_DISCARD: Final = 9


def is_own(address: str) -> bool:
    """Return whether one of this machine's interfaces has the address now; interfaces may change.

    The kernel decides, in about 20 µs: a socket can be bound to own addresses only. If the kernel allows any address
    (`ip_nonlocal_bind`, for example on machines that take over the address of another one), the source address that it
    would choose for a connection is compared, without sending anything: for an own address this is the address itself,
    unless it is a secondary address of its subnet.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    if not _can_bind(family, address):
        return False
    return not _can_bind(family, _UNUSED[family]) or _source(family, address) == address


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
