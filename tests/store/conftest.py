"""The store of these tests is in cluster mode: it refuses a script that uses keys of two slots."""

from collections.abc import Iterator

import pytest

from tests.ports import free_port
from tests.valkey import ValkeyServer
from tests.waiting import wait_until


@pytest.fixture(scope="session")
def _session_valkey() -> Iterator[ValkeyServer]:
    """One server for each pytest worker, which has all slots; a test takes `valkey`, which is empty."""
    ports = {"port": str(free_port()), "cluster_port": str(free_port())}
    server = ValkeyServer(**ports, bind="127.0.0.1", cluster_enabled="yes")
    assert server.command("CLUSTER ADDSLOTSRANGE 0 16383") == "+OK"
    wait_until(lambda: server.command("SET probe 1") == "+OK", what="the cluster serves")
    yield server
    server.close()
