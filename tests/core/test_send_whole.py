"""`send_whole` sends an answer in one system call, or in as many as needed."""

import socket
from contextlib import closing
from threading import Thread

from router.process.worker import send_whole


def test_an_answer_larger_than_the_socket_buffer_is_sent_whole() -> None:
    """A client that reads slowly gets the whole of an answer that is larger than the socket's buffer."""
    ours, theirs = socket.socketpair()
    with closing(ours), closing(theirs):
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        ours.settimeout(10)  # so that `send` accepts only what fits, as gevent's does
        answer = bytes(range(256)) * 4096
        received: list[bytes] = []
        reader = Thread(target=lambda: received.extend(iter(lambda: theirs.recv(4096), b"")))
        reader.start()
        send_whole(ours, answer)
        ours.shutdown(socket.SHUT_WR)
        reader.join(10)
        assert b"".join(received) == answer
