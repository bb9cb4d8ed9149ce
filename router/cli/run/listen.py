"""The address that the router listens on: checks that it is free, and waits until the router answers."""

import contextlib
import errno
import os
import socket
import time
from collections.abc import Callable

from router.cli.running import address, listening
from router.errors import RouterError
from router.settings import Settings

# Seconds in which the workers of a killed gunicorn release the address: they check for their master once a second.
_VACATED = 3.0
# Seconds to wait for the first worker; then the first output is printed anyway.
_PATIENCE = 20.0
# Seconds between two attempts.
_POLL_EVERY = 0.05


def check_address(settings: Settings) -> None:
    """Raise RouterError if the router cannot listen on its addresses, before anything is started."""
    _check(*listening(settings))
    if settings.tunnel_port:
        _check("127.0.0.1", settings.tunnel_port)


def _check(host: str, port: int) -> None:
    begun = time.monotonic()
    while True:
        try:
            socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()
        except OSError as error:
            if error.errno == errno.EADDRINUSE and time.monotonic() - begun < _VACATED:
                time.sleep(_POLL_EVERY)
                continue
            reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
            where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
            raise RouterError(
                f"cannot listen on {where}: {reason}. Stop the program that uses it, or choose another port: "
                "`router run --bind HOST:PORT`, or ROUTER_BIND"
            ) from None
        return


def free_tunnel_port(settings: Settings) -> int:
    """Return a port for tunnels: the port after the router's own, or else any free port."""
    for port in (listening(settings)[1] + 1, 0):
        with contextlib.suppress(OSError, OverflowError), socket.create_server(("127.0.0.1", port)) as server:
            found: int = server.getsockname()[1]
            return found
    raise RouterError("no port is free on 127.0.0.1")


def wait_until_up(settings: Settings, alive: Callable[[], bool]) -> None:
    """Wait until the router answers or has ended, at most 20 s."""
    begun = time.monotonic()
    while alive() and time.monotonic() - begun < _PATIENCE:
        with contextlib.suppress(OSError), socket.create_connection(address(settings), timeout=1) as connection:
            connection.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
            if connection.recv(1):
                return
        time.sleep(_POLL_EVERY)
