"""Reading CLUSTER SLOTS answers of different kinds of nodes."""

from typing import Any

import pytest

from router.store.cluster_slots import ranges

ID = b"0" * 40


@pytest.mark.parametrize(
    ("node", "address"),
    [
        pytest.param([b"10.0.0.1", 7000, ID], ("10.0.0.1", 7000), id="an address"),
        pytest.param([b"2001:db8::1", 7000, ID], ("2001:db8::1", 7000), id="an IPv6 address"),
        pytest.param([b"a.example", 7000, ID, [b"ip", b"10.0.0.1"]], ("a.example", 7000), id="an announced host name"),
        pytest.param([None, 7000, ID, []], ("asked.example", 7000), id="an endpoint that is unknown to the node"),
        pytest.param([b"", 7000, ID, []], ("asked.example", 7000), id="a node that has met no other yet"),
        pytest.param([b"?", 7000, ID, [b"ip", b"10.0.0.1"]], ("10.0.0.1", 7000), id="no host name is announced"),
        pytest.param([b"?", 7000, ID], ("asked.example", 7000), id="nothing is known"),
    ],
)
def test_a_nodes_host_is_read_from_cluster_slots(node: list[Any], address: tuple[str, int]) -> None:
    """A node's host is its endpoint, else its announced IP, else the host that was asked."""
    replica = [b"10.0.0.9", 7001, ID]
    assert list(ranges([[0, 99, node, replica], [100, 16383, replica]], "asked.example")) == [
        (0, 99, [address, ("10.0.0.9", 7001)]),
        (100, 16383, [("10.0.0.9", 7001)]),
    ]
