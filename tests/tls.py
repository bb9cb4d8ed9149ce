"""TLS in front of a server without it."""

import contextlib
import select
import socket
import ssl
import threading
from collections.abc import Iterator

from tests.integrations.target import CERTIFICATE


@contextlib.contextmanager
def tls_before(port: int) -> Iterator[int]:
    """Serve TLS in front of a loopback port, as a proxy does, because the tests' Valkey has no TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    raw, _ = listening.accept()
                    threading.Thread(target=relay, args=(raw,), daemon=True).start()

        def relay(raw: socket.socket) -> None:
            with (
                contextlib.suppress(OSError),
                context.wrap_socket(raw, server_side=True) as outer,
                socket.create_connection(("127.0.0.1", port)) as inner,
            ):
                while True:
                    # Data that TLS has already read is no longer in the socket.
                    ready = [outer] if outer.pending() else select.select([outer, inner], [], [])[0]
                    for each, other in ((outer, inner), (inner, outer)):
                        if each in ready:
                            if not (said := each.recv(65536)):
                                return
                            other.sendall(said)

        threading.Thread(target=serve, daemon=True).start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)
