"""The gate before the router: byte for byte to /webhooks/, and nowhere else."""

import socket
from collections.abc import Iterator

import pytest

from router.cli.connect.tunnels.gate import Gate
from tests.e2e.running import free_port
from tests.integrations.target import Caller, Target

HOST = b"Host: abc.ngrok.example\r\n"


@pytest.fixture(scope="module")
def target() -> Iterator[Target]:
    """What stands in the router's place, and sees what comes."""
    with Target() as target:
        yield target


@pytest.fixture(scope="module")
def gate(target: Target) -> Iterator[Gate]:
    """A gate before it."""
    with Gate(("127.0.0.1", int(target.url("").rpartition(":")[2].strip("/")))) as gate:
        yield gate


def ask(gate: Gate, request: bytes) -> bytes:
    """Send bytes, and return all that comes back until the connection is closed."""
    with socket.create_connection(("127.0.0.1", gate.port), timeout=10) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        with connection.makefile("rb") as answer:
            return answer.read()


def test_a_webhook_passes_byte_for_byte(gate: Gate, target: Target) -> None:
    """Target, body, the host that was called and what the tunnel says of the caller arrive as they came."""
    target.requests.clear()
    body = "Body=ñ".encode()
    head = b"POST /webhooks/sms?a=%41+b&c=\xc3\xb1 HTTP/1.1\r\n" + HOST
    head += b"X-Forwarded-Proto: https\r\nX-Twilio-Signature: abc=\r\nCookie: a=1; b=2\r\nContent-Length: "
    answer = ask(gate, head + str(len(body)).encode() + b"\r\n\r\n" + body)
    assert answer.startswith(b"HTTP/1.1 200")
    (seen,) = target.requests
    assert (seen.method, seen.target, seen.body) == ("POST", "/webhooks/sms?a=%41+b&c=Ã±", body)
    headers = {name.lower(): value for name, value in seen.headers}
    assert headers["host"] == "abc.ngrok.example"
    assert (headers["x-forwarded-proto"], headers["x-twilio-signature"]) == ("https", "abc=")
    assert headers["cookie"] == "a=1; b=2"


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"OPTIONS"])
def test_any_method_passes(gate: Gate, target: Target, method: bytes) -> None:
    """Which methods a webhook has is the router's to say."""
    target.requests.clear()
    assert ask(gate, method + b" /webhooks/whatsapp HTTP/1.1\r\n" + HOST + b"\r\n").startswith(b"HTTP/1.1 200")
    assert [request.method.encode() for request in target.requests] == [method]


@pytest.mark.parametrize(
    "path",
    [
        b"/", b"/console/", b"/v1/FlexFlows", b"/healthz", b"/webhooks", b"/webhooks/", b"/webhooks/../console/",
        b"/webhooks/%2e%2e/console/", b"//webhooks/sms", b"/webhooks//sms", b"/webhooks/sms/", b"/Webhooks/sms",
        b"/webhooks/sms/../../console", b"/webhooks/sms;a=b", b"http://127.0.0.1/webhooks/sms", b"/webhooks/sms%0d%0a",
        b"*",
    ],
)  # fmt: skip
def test_nothing_else_passes(gate: Gate, target: Target, path: bytes) -> None:
    """Whatever is not written as a webhook's path is 404, and never reaches the router."""
    target.requests.clear()
    assert ask(gate, b"GET " + path + b" HTTP/1.1\r\n" + HOST + b"\r\n").startswith(b"HTTP/1.1 404")
    assert not target.requests


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (b"Transfer-Encoding: chunked\r\n", b"411"),
        (b"Content-Length: 4\r\nContent-Length: 5\r\n", b"400"),
        (b"Content-Length: -1\r\n", b"400"),
        (b"Content-Length: 99999999\r\n", b"413"),
        (b"Content-Length: " + b"9" * 5000 + b"\r\n", b"400"),
        (b"Content-Length: 999\r\n", b"400"),
        (b"X-Folded: a\r\n b\r\n", b"400"),
        (b" begins with a space\r\n", b"400"),
        (b"is no header\r\nContent-Length: 9\r\n", b"400"),
        (b"Transfer-Encoding : chunked\r\nContent-Length: 9\r\n", b"400"),
    ],
)
def test_a_request_that_may_hide_another_one_is_refused(
    gate: Gate, target: Target, headers: bytes, status: bytes
) -> None:
    """The connection is closed after it, so that nothing behind it is read as a request."""
    target.requests.clear()
    hidden = b"0\r\n\r\nGET /console/ HTTP/1.1\r\n" + HOST + b"\r\n"
    answer = ask(gate, b"POST /webhooks/sms HTTP/1.1\r\n" + HOST + headers + b"\r\n" + hidden)
    assert answer.startswith(b"HTTP/1.1 " + status)
    assert answer.count(b"HTTP/1.1 ") == 1
    assert not target.requests


def test_the_next_request_of_a_connection_is_judged_too(gate: Gate, target: Target) -> None:
    """A connection that began with a webhook is no way to the rest."""
    target.requests.clear()
    answer = ask(
        gate,
        b"POST /webhooks/sms HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\n\r\na"
        b"GET /console/ HTTP/1.1\r\n" + HOST + b"\r\n",
    )
    assert (answer.count(b"HTTP/1.1 200"), answer.count(b"HTTP/1.1 404")) == (1, 1)
    assert [request.target for request in target.requests] == ["/webhooks/sms"]


def test_the_answer_comes_back_as_it_is(gate: Gate, target: Target) -> None:
    """Status, type, cookies and body are the router's."""

    def answer(caller: Caller) -> bool:
        head = b"HTTP/1.1 403 Forbidden\r\nContent-Type: text/xml\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n"
        return bool(caller.send(head + b"Content-Length: 9\r\n\r\nForbidden")) and False

    target.script["/webhooks/rcs"] = answer
    came = ask(gate, b"POST /webhooks/rcs HTTP/1.1\r\n" + HOST + b"Content-Length: 0\r\n\r\n")
    assert came.startswith(b"HTTP/1.1 403 Forbidden\r\n")
    for line in (b"Content-Type: text/xml\r\n", b"Set-Cookie: a=1\r\n", b"Set-Cookie: b=2\r\n", b"\r\n\r\nForbidden"):
        assert line in came


def test_a_router_that_is_away_is_502() -> None:
    """Twilio hears of it at once, and calls the fallback."""
    with Gate(("127.0.0.1", free_port())) as gate:
        assert ask(gate, b"POST /webhooks/sms HTTP/1.1\r\n" + HOST + b"\r\n").startswith(b"HTTP/1.1 502")
