"""Ports for the servers that tests start."""

import os
import random
import socket
from collections.abc import Iterator
from contextlib import closing
from itertools import cycle

# Below the ports of outgoing connections (32768 and up), of which the tests have thousands: one of those could take a
# port after it was chosen and before a server listens on it.
_FIRST, _LAST = 10_000, 32_000
# Each pytest process has ports of its own, for the same reason.
_PROCESSES = 8


def _own() -> Iterator[int]:
    """Repeat every second port of this pytest process without end, in a random order."""
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % _PROCESSES
    ports = list(range(_FIRST + 2 * number, _LAST, 2 * _PROCESSES))
    random.SystemRandom().shuffle(ports)
    return cycle(ports)


_PORTS = _own()


def free_port() -> int:
    """Return a port that is free, as is the next one, which `router run` uses for tunnels."""
    while True:
        port = next(_PORTS)
        try:
            for each in (port, port + 1):
                with closing(socket.create_server(("127.0.0.1", each))):
                    pass
        except OSError:
            continue
        return port
