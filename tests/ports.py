"""Ports for the servers that tests start."""

import random
import socket
from contextlib import closing

# Below the ports of outgoing connections (32768 and up), of which the tests have thousands: one of those could take a
# port after it was chosen and before a server listens on it.
_FIRST, _LAST = 10_000, 32_000
_CHOICE = random.SystemRandom()  # several processes choose at once


def free_port() -> int:
    """Return a port that is free, as is the next one, which `router run` uses for tunnels."""
    while True:
        port = _CHOICE.randrange(_FIRST, _LAST, 2)
        try:
            for each in (port, port + 1):
                with closing(socket.create_server(("127.0.0.1", each))):
                    pass
        except OSError:
            continue
        return port
