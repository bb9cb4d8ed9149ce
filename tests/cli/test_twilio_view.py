"""What Twilio makes of a webhook's answer, as `router simulate` tells it: it sends, logs, asks again, falls back."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.commands import Cli
from tests.e2e.webhook import form, is_signed, without_router
from tests.integrations.target import Behaviour, Target, answer, drip, hang, in_turn, send


@pytest.fixture(scope="module")
def webhook() -> Iterator[Target]:
    """Somebody's webhook."""
    with Target() as server:
        yield server


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """Run a command where no router is."""
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
            id="nothing in chunks",
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
            id="a circle",
        ),
    ],
)
def test_twilios_view_is_shown(cli: Cli, webhook: Target, behaviour: Behaviour, code: int | None, said: str) -> None:
    """What Twilio would send, or the error in its debugger and whether it calls the fallback; the same in JSON."""
    webhook.script["/view"] = behaviour
    shown = cli("simulate", "sms", "--url", webhook.url("/view"))
    told = json.loads(cli("simulate", "sms", "--url", webhook.url("/view"), "--json").output)["twilio"]
    fatal = code is not None and code not in {12200, 21617}
    assert said in shown.output
    assert (told["error_code"], told["calls_fallback"]) == (code, fatal)
    assert (shown.exit_code, f"ErrorCode={code}" in shown.output) == (int(fatal), fatal)


def test_a_redirect_is_followed_as_twilio_does(cli: Cli, webhook: Target) -> None:
    """After 307 the form goes along, after 302 it is lost; each request is signed for its own URL."""
    for status in (307, 302):
        webhook.script["/from"] = send(f"HTTP/1.1 {status} X\r\nLocation: /to\r\nContent-Length: 0\r\n\r\n".encode())
        result = cli("simulate", "sms", "--url", webhook.url("/from"))
        assert "200 after" in result.output
        assert "ms and 1 redirect\n" in result.output
        request = webhook.requests[-1]
        assert (request.method, request.target) == (("POST", "/to") if status == 307 else ("GET", "/to"))
        assert is_signed(webhook, request, "a" * 32)


@pytest.mark.parametrize(
    ("fragment", "first", "attempts"),
    [
        pytest.param("", answer(503), 1, id="a failure, usually"),
        pytest.param("#rc=2&rp=ct,5xx", answer(503), 3, id="a failure, where that is wanted"),
        pytest.param("#rc=2&rp=5xx", answer(404), 1, id="another failure"),
        pytest.param("#rc=5&rp=all", answer(404), 6, id="all failures"),
        pytest.param("#rc=1&rp=rt&rt=100", hang, 2, id="no answer"),
        pytest.param("#rc=5&rp=rt&rt=100&tt=100", hang, 1, id="no answer, and no time for another attempt"),
        pytest.param(
            "#rc=1&rp=rt&rt=200", drip(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"), 2, id="an answer that never ends"
        ),
    ],
)
def test_connection_overrides_are_kept(
    cli: Cli, webhook: Target, fragment: str, first: Behaviour, attempts: int
) -> None:
    """How often Twilio asks again is in the URL's fragment, which it neither signs nor sends."""
    path = "/overrides" + re.sub(r"\W", "-", fragment)
    webhook.script[path] = first
    cli("simulate", "sms", "--url", webhook.url(path + fragment))
    came = [each for each in webhook.requests if each.target == path]
    assert len(came) == attempts
    assert all(is_signed(webhook, each, "a" * 32) for each in came)


def test_an_attempt_that_succeeds_is_the_last(cli: Cli, webhook: Target) -> None:
    """What the second attempt is answered with counts."""
    webhook.script["/flaky"] = in_turn(answer(503), answer())
    result = cli("simulate", "sms", "--url", webhook.url("/flaky#rc=5&rp=5xx"))
    assert result.exit_code == 0
    assert ", 2 attempts\n" in result.output


def test_the_fallback_is_called_as_twilio_does(cli: Cli, webhook: Target) -> None:
    """After a failure the same message goes to the fallback URL, with the error and where it was, signed for it."""
    webhook.script["/down"] = answer(503)
    webhook.script["/second"] = answer(body=b"<Response><Message>Hi</Message></Response>")
    urls = ["--url", webhook.url("/down"), "--fallback", webhook.url("/second")]
    shown = cli("simulate", "sms", *urls)
    assert shown.exit_code == 0, shown.output
    assert re.search(r"logs error 11200 .*\n.*\n +calls the fallback|Fallback +http", shown.output)
    assert "sends the customer\n            Hi\n" in shown.output
    first, second = webhook.requests[-2:]
    assert form(second) == form(first) | {"ErrorCode": "11200", "ErrorUrl": webhook.url("/down")}
    assert is_signed(webhook, second, "a" * 32)
    told = json.loads(cli("simulate", "sms", "--url", "http://127.0.0.1:1/", *urls[2:], "--json").output)
    assert (told["failed"], told["status"]) == ({"status": None, "error_code": 11205}, 200)
    many = cli("simulate", "sms", *urls, "--count", "3")
    assert "11200 (HTTP retrieval failure) x 3, and the fallback URL was called" in many.output
    webhook.script["/second"] = answer(404)
    assert cli("simulate", "sms", *urls).exit_code == 1
