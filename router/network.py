"""Decides which network addresses the router may connect to."""

from collections.abc import Callable, Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# IPv6 global unicast addresses are assigned from 2000::/3 only (RFC 4291, section 2.4); all others are treated as
# private. For the standard library some of these are global (fec0::/10, 64:ff9b:1::/48).
_UNICAST: Final = IPv6Network("2000::/3")
_NAT64: Final = IPv6Network("64:ff9b::/96")  # RFC 6052
_COMPATIBLE: Final = IPv6Network("::/96")  # RFC 4291, section 2.5.5.1; deprecated, but some systems still route it
# Global for some versions of the standard library, but never a public server: protocol assignments (RFC 6890), 6to4
# relays (RFC 7526), documentation (RFC 9637).
_NOT_SERVERS: Final = (ip_network("192.0.0.0/24"), ip_network("192.88.99.0/24"), ip_network("3fff::/20"))


def unwrapped(address: Address) -> Address:
    """Return the IPv4 address embedded in an IPv6 address (mapped, compatible, 6to4, NAT64), else the address."""
    if isinstance(address, IPv4Address):
        return address
    inner = address.ipv4_mapped or address.sixtofour
    if inner is None and (address in _NAT64 or (address in _COMPATIBLE and int(address) > 1)):
        inner = IPv4Address(int(address) & 0xFFFFFFFF)
    return inner or address


def may_connect(text: str, allowed: Iterable[Network], is_own: Callable[[str], bool]) -> bool:
    """Return whether the address is public and not this machine's, or in one of the `allowed` networks.

    `text` is an address as `getaddrinfo` returns it, perhaps with a zone (`fe80::1%eth0`). It is permitted if it or its
    embedded IPv4 address is in `allowed`. Otherwise the embedded one must be public, and neither may belong to this
    machine (`is_own`).
    """
    outer = ip_address(text.partition("%")[0])
    address = unwrapped(outer)
    if any(address in network or outer in network for network in allowed):
        return True
    if isinstance(address, IPv6Address) and address not in _UNICAST:
        return False
    return (
        address.is_global
        and not (address.is_multicast or address.is_reserved)
        and not any(address in network for network in _NOT_SERVERS)
        and not any(is_own(str(each)) for each in {address, outer})
    )
