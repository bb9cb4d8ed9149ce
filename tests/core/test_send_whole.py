"""An answer is sent in one call, or in as many as the system needs."""

import socket
from contextlib import closing
from threading import Thread

from router.process.worker import send_whole


def test_what_the_system_does_not_take_at_once_is_sent_too() -> None:
    """The client reads a long answer in pieces, and gets it whole."""
    ours, theirs = socket.socketpair()
    with closing(ours), closing(theirs):
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        ours.settimeout(10)  # so that `send` takes what there is room for, as gevent's
        answer = bytes(range(256)) * 4096
        received: list[bytes] = []
        reader = Thread(target=lambda: received.extend(iter(lambda: theirs.recv(4096), b"")))
        reader.start()
        send_whole(ours, answer)
        ours.shutdown(socket.SHUT_WR)
        reader.join(10)
        assert b"".join(received) == answer
