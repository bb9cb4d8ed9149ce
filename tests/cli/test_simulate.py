"""`router simulate` against webhooks of other servers: every shape, key and count, and errors."""

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from router.cli.send.inbound import ADDRESSES, CUSTOMERS
from router.cli.send.shape import SHAPES
from router.cli.send.signing import TAMPERS
from router.message.inbound import Message
from tests.e2e.commands import Cli
from tests.e2e.webhook import AC, SHARED, form, is_signed, without_router
from tests.integrations.target import Target, hang


@pytest.fixture(scope="module")
def webhook() -> Iterator[Target]:
    """A webhook that is not the router's."""
    with Target() as server:
        yield server


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """Run a command without a router."""
    return without_router(tmp_path)


# --- what is sent ---


@pytest.mark.parametrize(
    ("channel", "shape"), [(channel, each.name) for each in SHAPES.values() for channel in each.channels]
)
def test_every_shape_is_a_message_that_twilio_signs(cli: Cli, webhook: Target, channel: str, shape: str) -> None:
    """Each shape on each of its channels is signed as by Twilio's library and parses as a message."""
    url = webhook.url(f"/{channel}/{shape}?a=1")
    result = cli("simulate", channel, "--shape", shape, "--url", url)
    assert result.exit_code == 0, result.output
    [request] = [each for each in webhook.requests if each.target == f"/{channel}/{shape}?a=1"]
    assert is_signed(webhook, request, "a" * 32)
    assert request.header("I-Twilio-Idempotency-Token")
    given = form(request)
    message = Message.parse(given.items())
    assert (message.channel, message.to, message.account_sid) == (channel, ADDRESSES[channel], AC)
    assert message.from_ == (SHAPES[shape].from_ or CUSTOMERS[channel])
    written = SHAPES[shape].written(
        to=message.to, url=url, sid=given.get("OriginalRepliedMessageSid", ""), **{"from": ""}
    )
    assert written.items() <= given.items()
    assert message.num_media == bool(SHAPES[shape].media)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        pytest.param("button", {"MessageType": "button", "WaId": "14155550100", "Body": "Yes"}, id="button"),
        pytest.param("list", {"MessageType": "interactive", "ButtonPayload": "slot-2"}, id="list"),
        pytest.param("location", {"MessageType": "location", "Body": "", "Latitude": "19.4326"}, id="location"),
        pytest.param("media", {"MessageType": "image", "MediaContentType0": "image/jpeg", "Body": ""}, id="media"),
        pytest.param(
            "bsuid",
            {"From": "whatsapp:US.13491208655302741918", "ExternalUserId": "whatsapp:US.13491208655302741918"},
            id="bsuid",
        ),
        pytest.param("reply", {"OriginalRepliedMessageSender": ADDRESSES["whatsapp"]}, id="reply"),
        pytest.param("referral", {"ReferralNumMedia": "1", "ReferralSourceType": "ad"}, id="referral"),
    ],
)
def test_each_whatsapp_shape_has_twilios_fields(
    cli: Cli, webhook: Target, shape: str, expected: dict[str, str]
) -> None:
    """Each WhatsApp shape has Twilio's fields for it; an id that hides the number comes without WaId."""
    cli("simulate", "whatsapp", "--shape", shape, "--url", webhook.url(f"/kind/{shape}"))
    given = form(webhook.requests[-1])
    assert expected.items() <= given.items()
    assert ("WaId" in given) == (shape != "bsuid")


def test_shapes_and_parameters_are_put_together(cli: Cli, webhook: Target) -> None:
    """Several shapes make one message, and explicit options override a shape's values."""
    arguments = [
        "--shape",
        "reply",
        "--shape",
        "service",
        "--shape",
        "button",
        "--param",
        "ButtonPayload=no",
        "--body",
        "",
    ]
    result = cli("simulate", "whatsapp", *arguments, "--url", webhook.url("/together"))
    given = form(webhook.requests[-1])
    assert given["OriginalRepliedMessageSid"].startswith("SM")
    assert (given["MessagingServiceSid"][:2], given["ButtonPayload"], given["Body"]) == ("MG", "no", "")
    for line in ("ButtonPayload no\n", "MessagingServiceSid MG", "with auth_token[0], HMAC-SHA1\n"):
        assert line in result.output


@pytest.mark.parametrize("method", ["POST", "GET"])
@pytest.mark.parametrize(
    ("key", "secret", "algorithm"),
    [
        pytest.param("0", "a" * 32, "", id="the first token"),
        pytest.param("auth_token[1]", "b" * 32, "", id="the second token"),
        *(
            pytest.param(SHARED[algorithm], letter * 32, algorithm, id=f"a shared key, {algorithm}")
            for letter, algorithm in (("c", "HMAC_SHA256"), ("d", "HMAC_SHA1"))
        ),
    ],
)
def test_any_configured_key_signs(  # noqa: PLR0913, PLR0917 - a case and where it is tried
    cli: Cli, webhook: Target, key: str, secret: str, algorithm: str, method: str
) -> None:
    """--key signs with any auth token or shared key, whose header names the key and the algorithm."""
    cli("simulate", "sms", "--url", webhook.url("/keys"), "--key", key, "--method", method, "--body", "¿Dónde? 100% &")
    request = webhook.requests[-1]
    named = request.header("X-Twilio-Webhooks-Signature-Settings")
    assert named == (f"key={key},algorithm={algorithm}" if algorithm else None)
    assert is_signed(webhook, request, secret, algorithm or "HMAC_SHA1")


@pytest.mark.parametrize("how", [each for each in TAMPERS if each not in {"account", "scheme"}])
def test_a_tampered_request_fails_twilios_validator(cli: Cli, webhook: Target, how: str) -> None:
    """A request with --tamper fails Twilio's validator, and a webhook that accepts it gives exit status 1."""
    assert cli("simulate", "sms", "--url", webhook.url("/broken"), "--tamper", how).exit_code == 1
    assert not is_signed(webhook, webhook.requests[-1], "a" * 32)


def test_a_rate_is_kept_and_so_is_a_customers_order(cli: Cli, webhook: Target) -> None:
    """40 messages at --rate 200 take at least 0.2 s, and each customer's arrive in order."""
    began = time.monotonic()
    arguments = ["--count", "40", "--contacts", "4", "--rate", "200", "--body", "n"]
    result = cli("simulate", "sms", "--url", webhook.url("/rate"), *arguments)
    assert time.monotonic() - began >= 39 / 200
    assert "40 sms messages of 4 customers to +15005550006, in 0." in result.output
    assert re.search(r"half within \d+ ms, 95 % within \d+ ms, 99 % within \d+ ms, the slowest", result.output)
    came = [form(each) for each in webhook.requests if each.target == "/rate"]
    assert len(came) == 40
    for customer in {each["From"] for each in came}:
        numbers = [int(each["Body"][2:]) for each in came if each["From"] == customer]
        assert len(numbers) == 10
        assert numbers == sorted(numbers)


# --- what is wrong ---


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        pytest.param(
            ["sms", "--shape", "reply"],
            "reply does not exist on sms, only on whatsapp",
            id="no such shape of the channel",
        ),
        pytest.param(["sms", "--shape", "poem"], "'poem' is not one of 'text',", id="no such shape"),
        pytest.param(
            ["sms", "--key", "2"], "it has: 0 (auth_token[0]), 1 (auth_token[1]), webhooks_", id="no such key"
        ),
        pytest.param(["sms", "--tamper", "gently"], "'gently' is not one of 'body', 'url',", id="no such tamper"),
        pytest.param(
            ["sms", "--url", "localhost/x"], "'localhost/x' is not an absolute http or https URL", id="no URL"
        ),
        pytest.param(["sms", "--url", "http://a/é"], "has characters that must be percent-encoded", id="no ASCII"),
        pytest.param(["sms", "--rate", "0"], "0.0 is not in the range", id="no rate"),
    ],
)
def test_an_invalid_argument_is_exit_status_2(cli: Cli, webhook: Target, arguments: list[str], sentence: str) -> None:
    """An invalid argument is exit status 2 with a sentence that names the valid ones, and nothing is sent."""
    before, url = len(webhook.requests), [] if "--url" in arguments else ["--url", webhook.url("/invalid")]
    result = cli("simulate", *arguments, *url)
    assert len(webhook.requests) == before
    assert result.exit_code == 2
    assert sentence in " ".join(result.stderr.split())


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        pytest.param(
            "http://127.0.0.1:1/",
            "nothing listens at http://127.0.0.1:1. Twilio would log error 11205 (",
            id="no server",
        ),
        pytest.param(
            "http://nowhere.invalid/", "this host name does not exist. Twilio would log error 11210 (", id="no host"
        ),
    ],
)
def test_without_a_server_there_is_one_sentence_for_any_number_of_messages(cli: Cli, url: str, sentence: str) -> None:
    """If the first of many messages cannot be sent, `simulate` prints one sentence and ends with exit status 1."""
    result = cli("simulate", "sms", "--count", "1000", "--contacts", "50", "--rate", "1000", "--url", url)
    assert result.exit_code == 1
    assert sentence in result.stderr
    assert result.stderr.count("\n") == 1


def test_simulate_stops_waiting_for_a_webhook_that_never_answers(cli: Cli, webhook: Target) -> None:
    """`simulate` waits for an answer as long as Twilio does, and then reports error 11205."""
    webhook.script["/hang"] = hang
    result = cli("simulate", "sms", "--url", webhook.url("/hang#rt=100"))
    assert result.exit_code == 1
    assert "Twilio waits no longer. Twilio would log error 11205 (HTTP connection failure) and" in result.stderr
