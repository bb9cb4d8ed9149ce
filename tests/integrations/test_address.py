"""Which addresses the router may connect to."""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router import network as judged
from router.integrations.own_address import is_own
from router.network import Network, unwrapped

PUBLIC = ("8.8.8.8", "1.1.1.1", "172.32.0.1", "2606:4700:4700::1111", "2620:0:2d0:200::7", "::ffff:8.8.8.8")
PRIVATE = (
    "0.0.0.0",  # noqa: S104 - judged, not bound
    "10.1.2.3",
    "100.64.0.1",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.169.254",
    "172.16.0.1",
    "192.0.0.8",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::10.0.0.1",
    "64:ff9b:1::8.8.8.8",
    "100::1",
    "2001::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:a9fe:a9fe::1",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd12:3456::1",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
)


def may_connect(address: str, allowed: Iterable[Network], own: str = "") -> bool:
    """Judge an address on a machine whose own address is `own`."""
    return judged.may_connect(address, allowed, lambda each: each == own)


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_allowed(address: str) -> None:
    """A public address may be connected to."""
    assert may_connect(address, ())


@pytest.mark.parametrize("address", PRIVATE)
def test_private_addresses_need_an_allowed_network(address: str) -> None:
    """Any other address is refused unless it is in an allowed network."""
    assert not may_connect(address, ())
    assert may_connect(address, (ip_network("0.0.0.0/0"), ip_network("::/0")))


def test_an_allowed_network_allows_only_its_own_addresses() -> None:
    """An allowed network allows its own addresses, in any notation, and no others."""
    allowed = (ip_network("10.1.0.0/16"), ip_network("fd00::/64"))
    assert all(may_connect(address, allowed) for address in ("10.1.2.3", "::ffff:10.1.2.3", "fd00::1"))
    assert not any(may_connect(address, allowed) for address in ("10.2.0.1", "::ffff:10.2.0.1", "fd00:0:0:1::1"))


@given(st.ip_addresses(v=4).filter(lambda address: int(address) > 1))
def test_an_ipv4_address_in_ipv6_is_judged_as_ipv4(inner: IPv4Address) -> None:
    """An IPv4 address is judged the same in each of its four IPv6 notations."""
    number = int(inner)
    forms = (
        (0xFFFF << 32) | number,  # mapped
        number,  # compatible
        (0x2002 << 112) | (number << 80) | 1,  # 6to4
        (0x64FF9B << 96) | number,  # NAT64
    )
    for form in map(IPv6Address, forms):
        assert unwrapped(form) == inner
        assert may_connect(str(form), ()) == may_connect(str(inner), ())


@pytest.mark.parametrize("address", ["8.8.8.8", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2002:808:808::1"])
def test_an_own_public_address_is_private(address: str) -> None:
    """A public address of this machine is refused in every notation unless its network is allowed."""
    assert may_connect(address, (), own="8.8.4.4")
    assert not may_connect(address, (), own="8.8.8.8")
    assert may_connect(address, (ip_network("8.8.8.8/32"),), own="8.8.8.8")


def test_loopback_addresses_are_own_and_others_are_not() -> None:
    """Loopback addresses are this machine's own; public and documentation addresses are not."""
    assert all(is_own(address) for address in ("127.0.0.1", "127.1.2.3"))
    assert not any(is_own(address) for address in ("8.8.8.8", "192.0.2.1", "2606:4700:4700::1111", "2001:db8::1"))
