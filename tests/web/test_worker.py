"""Requests over a socket: the worker's fast path and gunicorn's own give the same answers."""

import re
import socket
from collections.abc import Iterator
from contextlib import closing
from urllib.parse import urlencode

import pytest

from tests.e2e.world import World, sign
from tests.waiting import wait_until

_PATH = "/webhooks/sms"


def _request(world: World, *headers: str, version: str = "1.1", **fields: str) -> bytes:
    """Write a signed webhook for an address that no flow has."""
    given = world.fields(world.address(), **fields)
    body = urlencode(given)
    lines = [
        f"POST {_PATH} HTTP/{version}",
        "Host: router.example.com",
        "Content-Type: application/x-www-form-urlencoded",
        f"Content-Length: {len(body)}",
        f"X-Twilio-Signature: {sign(_PATH, given)}",
        *headers,
    ]
    return "\r\n".join((*lines, "", body)).encode()


@pytest.fixture
def connection(world: World) -> Iterator[socket.socket]:
    """A connection to the router."""
    with closing(socket.create_connection(("127.0.0.1", world.services[0].port), timeout=10)) as opened:
        yield opened


def _answer(connection: socket.socket) -> bytes:
    """Read one answer, without its date."""
    text = b""
    while b"\r\n\r\n" not in text:
        more = connection.recv(4096)
        assert more, text
        text += more
    length = re.search(rb"Content-Length: ([0-9]+)", text)
    assert length
    while len(text.partition(b"\r\n\r\n")[2]) < int(length[1]):
        text += connection.recv(4096)
    return re.sub(rb"Date: [^\r]+", b"Date:", text)


def test_the_fast_path_and_gunicorn_answer_with_the_same_bytes(world: World, connection: socket.socket) -> None:
    """On one connection the fast path and gunicorn's own path give the same bytes."""
    connection.sendall(_request(world))
    shorter = _answer(connection)
    connection.sendall(_request(world, "X_Odd: 1"))
    assert _answer(connection) == shorter
    connection.sendall(_request(world))
    assert _answer(connection) == shorter
    assert shorter.startswith(b"HTTP/1.1 200 OK\r\nServer: gunicorn\r\nDate:\r\nConnection: keep-alive\r\n")


@pytest.mark.parametrize(
    ("header", "version", "closes"),
    [
        ("Accept: */*", "1.1", False),
        ("Connection: close", "1.1", True),
        ("Connection: close", "1.0", True),  # nginx's default
        ("Accept: */*", "1.0", True),
        ("Connection: keep-alive", "1.0", False),
    ],
)
@pytest.mark.parametrize("odd", [(), ("X_Odd: 1",)], ids=["shorter", "gunicorn"])
def test_a_connection_ends_when_the_client_says_so(  # noqa: PLR0913, PLR0917 - a table
    world: World, connection: socket.socket, header: str, version: str, closes: bool, odd: tuple[str, ...]
) -> None:
    """A connection is closed or kept as its Connection header or HTTP version says."""
    connection.sendall(_request(world, header, *odd, version=version))
    assert (b"\r\nConnection: close\r\n" in _answer(connection)) is closes
    if closes:
        assert connection.recv(1) == b""
    else:
        connection.sendall(_request(world))
        assert _answer(connection).startswith(b"HTTP/1.1 200")


def test_two_pipelined_requests_get_two_answers_in_order(world: World, connection: socket.socket) -> None:
    """Two pipelined requests get two answers in their order."""
    connection.sendall(_request(world) + _request(world, Body="").replace(b"MessageSid=", b"MessageSid=x"))
    text = b""
    while not text.endswith(b"Forbidden"):
        more = connection.recv(4096)
        assert more, text
        text += more
    assert re.findall(rb"HTTP/1.1 ([0-9]+) ", text) == [b"200", b"403"]


@pytest.mark.parametrize("cut", [3, 60, -5])
def test_a_request_may_come_in_pieces(world: World, connection: socket.socket, cut: int) -> None:
    """A request that comes in two pieces, cut in its first line, head or body, is answered once it is whole."""
    request = _request(world)
    before = world.metric("router_webhooks_total", channel="sms", answer="unrouted")
    connection.sendall(request[:cut])
    connection.settimeout(0.3)
    with pytest.raises(TimeoutError):  # no answer before the request is whole
        connection.recv(1)
    connection.settimeout(10)
    connection.sendall(request[cut:])
    assert _answer(connection).startswith(b"HTTP/1.1 200")
    assert world.metric("router_webhooks_total", channel="sms", answer="unrouted") == before + 1


def test_an_idle_connection_is_closed(world: World, connection: socket.socket) -> None:
    """A connection without a request is closed, before a first request and after one."""
    with closing(socket.create_connection(("127.0.0.1", world.services[0].port), timeout=10)) as silent:
        connection.sendall(_request(world))
        _answer(connection)
        assert connection.recv(1) == b""
        assert silent.recv(1) == b""


def test_a_client_that_resets_its_connection_does_no_harm(world: World, connection: socket.socket) -> None:
    """After a client reset its connection in the middle of a request, the next request is served."""
    connection.sendall(_request(world)[:-5])
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    connection.close()
    sent = world.text(world.address())
    assert sent.status == 200
    wait_until(lambda: world.delivery(sent.sid)["status"] == "unrouted", what="it is kept")


def test_a_client_that_sends_too_much_gets_the_413(connection: socket.socket) -> None:
    """A client that still sends its too large body gets the 413, and no connection reset."""
    length = 1024 * 1024
    connection.sendall(
        b"POST /webhooks/sms HTTP/1.1\r\nHost: router\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % length
    )
    assert _answer(connection).startswith(b"HTTP/1.1 413 ")
    connection.sendall(b"x" * length)
    assert connection.recv(1) == b""
