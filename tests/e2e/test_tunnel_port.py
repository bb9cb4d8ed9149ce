"""The router's port for tunnels: it serves webhooks, and no other path, however a request is written."""

import socket
from collections.abc import Iterator
from urllib.parse import urlencode

import pytest
from twilio.request_validator import RequestValidator

from router.cli.connect.probe import answers, is_guarded
from tests.e2e.local_setup import running_service
from tests.e2e.service import TOKEN, Service, parameters

BASE = "http://abc.ngrok.example"
HOST = b"Host: abc.ngrok.example\r\n"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A router that runs."""
    with running_service(tmp_path_factory.mktemp("service")) as service:
        yield service


def ask(service: Service, request: bytes, *, port: int = 0) -> bytes:
    """Send bytes to the port for tunnels, and return the answer up to the end of the connection."""
    with socket.create_connection(("127.0.0.1", port or service.tunnel_port), timeout=20) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        with connection.makefile("rb") as answer:
            return answer.read()


def test_a_signed_webhook_is_accepted(service: Service) -> None:
    """A signed request is accepted with its exact path and query; `is_guarded` knows the port that serves webhooks."""
    fields, base = parameters(1, "+15550000002"), f"http://127.0.0.1:{service.port}"
    body = urlencode(fields).encode()
    signature = RequestValidator(TOKEN).compute_signature(f"{base}/webhooks/sms?a=%41+b", fields)
    head = f"POST /webhooks/sms?a=%41+b HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Twilio-Signature: {signature}\r\n"
    head += (
        f"Content-Type: application/x-www-form-urlencoded\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    assert ask(service, head.encode() + body).startswith(b"HTTP/1.1 200")
    assert (answers(base), is_guarded(base)) == (True, False)
    closed = f"http://127.0.0.1:{service.tunnel_port}"
    assert (answers(closed), is_guarded(closed)) == (False, True)


@pytest.mark.parametrize(
    "path",
    [
        b"/", b"/console/", b"/v1/FlexFlows", b"/healthz", b"/readyz", b"/metrics", b"/webhooks", b"/webhooks/",
        b"/webhooks/../console/", b"/webhooks/%2e%2e/healthz", b"//webhooks/sms", b"/webhooks//../healthz",
        b"/Webhooks/sms", b"/webhooks/sms/../../healthz", b"http://127.0.0.1/healthz",
        b"http://127.0.0.1/webhooks/../healthz", b"/healthz?/webhooks/", b"/healthz#/webhooks/", b"/./healthz",
    ],
)  # fmt: skip
def test_no_other_path_is_served(service: Service, path: bytes) -> None:
    """The port for tunnels answers 400 or 404 for every other path, however it is written."""
    answer = ask(service, b"GET " + path + b" HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n")
    assert answer.split()[1] in {b"400", b"404"}
    assert b"\r\n\r\nok\n" not in answer


@pytest.mark.parametrize("header", [b"SCRIPT_NAME: /webhooks", b"X-Forwarded-Port: 8000", b"X-Script-Name: /webhooks"])
def test_no_header_opens_another_path(service: Service, header: bytes) -> None:
    """Headers that proxies use to rewrite a path or host open no other path."""
    answer = ask(service, b"GET /healthz HTTP/1.1\r\n" + HOST + header + b"\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 404")


def test_the_host_header_does_not_choose_the_port(service: Service) -> None:
    """Whether only webhooks are served depends on the port of the connection, not on the Host header."""
    host = f"Host: 127.0.0.1:{service.port}\r\n".encode()
    answer = ask(service, b"GET /healthz HTTP/1.1\r\n" + host + b"Connection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 404")
    host = f"Host: 127.0.0.1:{service.tunnel_port}\r\n".encode()
    answer = ask(service, b"GET /healthz HTTP/1.1\r\n" + host + b"Connection: close\r\n\r\n", port=service.port)
    assert answer.startswith(b"HTTP/1.1 200")


def test_every_request_of_a_connection_is_checked(service: Service) -> None:
    """A second request on a connection, or one smuggled behind another, opens no other path."""
    webhook = b"POST /webhooks/sms HTTP/1.1\r\n" + HOST + b"Content-Length: 0\r\n\r\n"
    health = b"GET /healthz HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n"
    answer = ask(service, webhook + health)
    assert (answer.count(b"HTTP/1.1 415"), answer.count(b"HTTP/1.1 404")) == (1, 1)
    for hiding in (
        b"Content-Length: 4\r\nContent-Length: 5\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 9\r\n",
    ):
        answer = ask(service, b"POST /webhooks/sms HTTP/1.1\r\n" + HOST + hiding + b"\r\n0\r\n\r\n" + health)
        assert b"\r\n\r\nok\n" not in answer
        assert b" 200 " not in answer
