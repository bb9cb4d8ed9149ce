"""How `router simulate` shows what Twilio does with an answer: what it sends, logs and calls next."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from router.cli.http import NoAnswer, exchange
from tests.e2e.commands import Cli
from tests.e2e.webhook import is_signed, without_router
from tests.integrations.target import Behaviour, Target, answer, drip, send


@pytest.fixture(scope="module")
def webhook() -> Iterator[Target]:
    """A webhook that is not the router's."""
    with Target() as server:
        yield server


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """Run a command without a router."""
    return without_router(tmp_path)


@pytest.mark.parametrize(
    ("behaviour", "code", "said"),
    [
        pytest.param(answer(body=b"<Response/>"), None, "sends the customer nothing", id="empty TwiML"),
        pytest.param(
            answer(body=b"<Response><Message>Hi<Media>https://a.example/x</Media></Message></Response>"),
            None,
            "sends the customer\n            Hi\n            with https://a.example/x",
            id="a message",
        ),
        pytest.param(
            answer(body=b"Hi", content_type="text/plain"), None, "sends the customer\n            Hi", id="plain text"
        ),
        pytest.param(send(b"HTTP/1.1 204 No Content\r\n\r\n"), None, "sends the customer nothing", id="204"),
        pytest.param(
            answer(body=b"{}", content_type="application/json"),
            12300,
            "application/json instead of text/xml",
            id="JSON",
        ),
        pytest.param(
            send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK"), 12300, "no Content-Type", id="no content type"
        ),
        pytest.param(answer(body=b"OK", content_type="text/html"), 12100, "it is not XML", id="HTML"),
        pytest.param(answer(body=b""), 12100, "an empty body", id="nothing"),
        pytest.param(
            send(b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
            11770,
            "sent in chunks",
            id="empty and chunked",
        ),
        pytest.param(answer(body=b"<html/>"), 12102, "its root is <html>", id="another root"),
        pytest.param(
            answer(body=b"<Response><Say>Hi</Say></Response>"), 12200, "messages have no <Say>", id="a verb of calls"
        ),
        pytest.param(answer(body=b"<Response>" + b" " * 65536 + b"</Response>"), 11750, "over 64 KiB", id="too much"),
        pytest.param(
            answer(body=b"<Response><Message>" + b"x" * 1601 + b"</Message></Response>"),
            21617,
            "1601 characters",
            id="too long",
        ),
        pytest.param(answer(500), 11200, "answered 500", id="500"),
        pytest.param(
            send(b"HTTP/1.1 302 Found\r\nLocation: http://[x\r\nContent-Length: 0\r\n\r\n"),
            11216,
            "without a URL to go to",
            id="a redirect to no URL",
        ),
        pytest.param(answer(302), 11216, "without a URL to go to", id="a redirect to nowhere"),
        pytest.param(
            send(b"HTTP/1.1 302 Found\r\nLocation: ?again\r\nContent-Length: 0\r\n\r\n"),
            11215,
            "more than 10",
            id="a redirect loop",
        ),
    ],
)
def test_simulate_shows_what_twilio_does_with_an_answer(
    cli: Cli, webhook: Target, behaviour: Behaviour, code: int | None, said: str
) -> None:
    """`simulate` shows what Twilio would send, or its error and whether it calls the fallback; --json has the same."""
    webhook.script["/view"] = behaviour
    shown = cli("simulate", "sms", "--url", webhook.url("/view"))
    twilio = json.loads(cli("simulate", "sms", "--url", webhook.url("/view"), "--json").output)["twilio"]
    fatal = code is not None and code not in {12200, 21617}
    assert said in shown.output
    assert (twilio["error_code"], twilio["calls_fallback"]) == (code, fatal)
    assert (shown.exit_code, f"ErrorCode={code}" in shown.output) == (int(fatal), fatal)


def test_a_redirect_is_followed_as_twilio_does(cli: Cli, webhook: Target) -> None:
    """After 307 the form is sent again, after 302 it is not; each request is signed for its own URL."""
    for status in (307, 302):
        webhook.script["/from"] = send(f"HTTP/1.1 {status} X\r\nLocation: /to\r\nContent-Length: 0\r\n\r\n".encode())
        result = cli("simulate", "sms", "--url", webhook.url("/from"))
        assert "200 after" in result.output
        assert "ms and 1 redirect\n" in result.output
        request = webhook.requests[-1]
        assert (request.method, request.target) == (("POST", "/to") if status == 307 else ("GET", "/to"))
        assert is_signed(webhook, request, "a" * 32)


def test_connection_overrides_are_neither_signed_nor_sent(cli: Cli, webhook: Target) -> None:
    """Connection overrides in --url are not signed or sent, and Twilio's retries are not simulated."""
    webhook.script["/overrides"] = answer(503)
    cli("simulate", "sms", "--url", webhook.url("/overrides#rc=2&rp=ct,5xx"))
    [request] = [each for each in webhook.requests if each.target == "/overrides"]
    assert is_signed(webhook, request, "a" * 32)


def test_an_answer_that_drips_is_given_up(webhook: Target) -> None:
    """An answer that comes too slowly is given up when its time limit has passed, with Twilio's error 11205."""
    webhook.script["/drip"] = drip(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n")
    with pytest.raises(NoAnswer, match=r"did not answer within 0\.2 s") as raised:
        exchange("GET", webhook.url("/drip"), read=0.2)
    assert (raised.value.connected, raised.value.code) == (True, 11205)
