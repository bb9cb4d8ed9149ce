"""The address that the router is to listen at: whether it is free, and when the router answers there."""

import contextlib
import errno
import os
import socket
import time
from collections.abc import Callable

from router.cli.running import address, listening
from router.errors import RouterError
from router.settings import Settings

# How long an address may still be held by the gunicorn of a killed run, whose workers look up once a second.
_VACATED = 3.0
# How long the first lines wait for the first worker; they are printed all the same after that.
_PATIENCE = 20.0
# Between two looks.
_LOOK = 0.05


def check_address(settings: Settings) -> None:
    """Say that an address cannot be listened at before anything is started for nothing."""
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
                time.sleep(_LOOK)
                continue
            reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
            where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
            raise RouterError(f"cannot listen at {where}: {reason}") from None
        return


def free_tunnel_port(settings: Settings) -> int:
    """Return the port that a tunnel is to lead to: the one after the router's own, or else any that is free."""
    for port in (listening(settings)[1] + 1, 0):
        with contextlib.suppress(OSError, OverflowError), socket.create_server(("127.0.0.1", port)) as server:
            found: int = server.getsockname()[1]
            return found
    raise RouterError("no port is free on 127.0.0.1")


def wait_until_up(settings: Settings, alive: Callable[[], bool]) -> None:
    """Wait until the router answers, or is dead, or has taken long enough."""
    begun = time.monotonic()
    while alive() and time.monotonic() - begun < _PATIENCE:
        with contextlib.suppress(OSError), socket.create_connection(address(settings), timeout=1) as connection:
            connection.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
            if connection.recv(1):
                return
        time.sleep(_LOOK)
