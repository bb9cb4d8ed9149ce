"""Ports for the servers that tests start."""

import random
import socket
from contextlib import closing

# Below those that Linux gives to outgoing connections (32768 and up), of which the tests have thousands: one of them
# could have a port between the moment that it is chosen and the moment that a server listens there.
_FIRST, _LAST = 10_000, 32_000
_CHOICE = random.SystemRandom()  # several processes choose at the same time


def free_port() -> int:
    """Return a port that no server listens on, nor on the next one, which `router run` gives to tunnels."""
    while True:
        port = _CHOICE.randrange(_FIRST, _LAST, 2)
        try:
            for each in (port, port + 1):
                with closing(socket.create_server(("127.0.0.1", each))):
                    pass
        except OSError:
            continue
        return port
