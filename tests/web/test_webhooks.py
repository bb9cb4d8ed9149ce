"""What the webhook accepts, and what it stores and logs."""

import hashlib
import json
from urllib.parse import quote, urlencode

import pytest

from router.message.raw import Raw
from tests.core.samples import AC, SAMPLES, STATUS_CALLBACK, Sample
from tests.e2e.service import ACCOUNT, BASE, TOKEN
from tests.e2e.world import EMPTY, FORM, World, sign
from tests.integrations.target import Target, answer
from tests.waiting import wait_until
from tests.web.accounts import (
    RETIRED_TOKEN,
    SAMPLES_TOKEN,
    SHARED,
    SHARED_SECRET,
    SUBACCOUNT,
    SUBACCOUNT_TOKEN,
    signature,
)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.label)
@pytest.mark.parametrize("path", ["/webhooks/<channel>", "/webhooks/message", "/webhooks/<channel>?a=%41+b&c"])
def test_every_message_is_accepted_and_stored_byte_for_byte(world: World, sample: Sample, path: str) -> None:
    """Each channel's message is accepted at its own path and at /webhooks/message, and stored byte for byte."""
    path = path.replace("<channel>", sample.channel)
    fields = sample.but(MessageSid=(sid := world.sid(sample.fields[0][1][:2])))
    body = urlencode(fields).encode()
    headers = {
        "X-Twilio-Signature": signature(BASE + path, fields, key=SAMPLES_TOKEN),
        "Cookie": "one=1; two=2",
        "I-Twilio-Idempotency-Token": "the token",
    }

    reply = world.send("POST", path, body, headers)

    assert (reply.status, reply.body) == (200, EMPTY)
    raw = Raw.unpack(world.call("HGET", world.record(sid, AC), "raw"))
    assert raw == Raw("POST", FORM, body, "one=1; two=2", "the token")


@pytest.mark.parametrize("letters", [700, 4096])
def test_a_long_message_may_come_by_get(world: World, letters: int) -> None:
    """A GET with 700 or 4,096 Cyrillic letters in its query is accepted and stored whole."""
    fields = world.fields(world.address(), Body="Ж" * letters)
    query = urlencode(fields)
    target = f"/webhooks/sms?{query}"

    reply = world.send("GET", target, b"", {"X-Twilio-Signature": sign(target)})

    assert (reply.status, reply.body) == (200, EMPTY)
    raw = Raw.unpack(world.call("HGET", world.record(fields["MessageSid"]), "raw"))
    assert (raw.method, raw.body) == ("GET", query.encode())
    assert world.delivery(fields["MessageSid"])["body"] == "Ж" * letters


@pytest.mark.parametrize(
    "text",
    ["what is bodySHA256?", "bodySHA256=" + "0" * 64, "a&bodySHA256=" + "0" * 64],
    ids=["word", "pair", "second"],
)
def test_a_get_whose_text_mentions_body_sha256_is_accepted(world: World, text: str) -> None:
    """A GET whose message text contains `bodySHA256` is accepted."""
    target = f"/webhooks/sms?{urlencode(world.fields(world.address(), Body=text))}"
    assert world.send("GET", target, b"", {"X-Twilio-Signature": sign(target)}).status == 200


def test_a_form_with_its_own_body_hash_is_accepted(world: World) -> None:
    """A form at a URL with the form's own bodySHA256 is accepted."""
    body = urlencode(fields := world.fields(world.address())).encode()
    path = f"/webhooks/sms?bodySHA256={hashlib.sha256(body).hexdigest()}"
    assert world.send("POST", path, body, {"X-Twilio-Signature": sign(path, fields)}).status == 200


def test_the_acknowledgement_is_exactly_this(world: World) -> None:
    """The acknowledgement is 200 with empty TwiML, type and length, and no other header of ours."""
    reply = world.text(world.address())
    headers = {name: value for name, value in reply.headers.items() if name not in ("Date", "Server", "Connection")}
    assert reply.status == 200
    assert headers == {"Content-Type": "text/xml", "Content-Length": str(len(EMPTY))}
    assert reply.body == EMPTY


def test_a_status_callback_is_counted_and_not_kept(world: World) -> None:
    """A status callback is answered 200, counted, and not stored."""
    before, keys = world.metric("router_webhooks_total", answer="status_callback"), world.call("DBSIZE")
    headers = {"X-Twilio-Signature": signature(f"{BASE}/webhooks/sms", STATUS_CALLBACK, key=SAMPLES_TOKEN)}
    reply = world.send("POST", "/webhooks/sms", urlencode(STATUS_CALLBACK).encode(), headers)
    assert (reply.status, reply.body) == (200, EMPTY)
    assert world.metric("router_webhooks_total", answer="status_callback") == before + 1
    assert world.call("DBSIZE") == keys


def test_a_message_without_a_flow_is_unrouted_with_its_reason(world: World) -> None:
    """A message to an address without a flow is answered 200 and kept as unrouted with the reason."""
    reply = world.text(ours := world.address())
    assert (reply.status, reply.body) == (200, EMPTY)
    delivery = world.delivery(reply.sid)
    assert delivery["status"] == "unrouted"
    assert delivery["error"] == f"no flow for {ours} (nor for *)"
    assert delivery["route"] == [f"No flow for {ours}", "No flow for every address (*)"]


@pytest.mark.parametrize(
    ("account", "key", "algorithm", "settings", "label"),
    [
        (ACCOUNT, TOKEN, "HMAC_SHA1", "", "auth_token[0]"),
        (AC, SAMPLES_TOKEN, "HMAC_SHA1", "", "auth_token[0]"),
        (AC, RETIRED_TOKEN, "HMAC_SHA1", "", "auth_token[1]"),
        (AC, SHARED_SECRET, "HMAC_SHA256", f"key={SHARED},algorithm=HMAC_SHA256", SHARED),
        (AC, SHARED_SECRET, "HMAC_SHA256", f"algorithm=HMAC_SHA256, key={SHARED}", SHARED),
        (SUBACCOUNT, SUBACCOUNT_TOKEN, "HMAC_SHA1", "", "auth_token[0]"),
    ],
    ids=["token", "first-token", "retired-token", "shared-key", "shared-key-reordered", "subaccount"],
)
def test_every_key_of_the_account_signs_and_is_counted(  # noqa: PLR0913, PLR0917 - one row of the table
    world: World, account: str, key: str, algorithm: str, settings: str, label: str
) -> None:
    """Each auth token and shared key of an account verifies, and which one matched is counted."""
    before = world.metric("router_signatures_total", account_sid=account, key=label)
    fields = world.fields(world.address(), AccountSid=account)
    headers = {"X-Twilio-Signature": sign("/webhooks/sms", fields, key=key, algorithm=algorithm)}
    if settings:
        headers["X-Twilio-Webhooks-Signature-Settings"] = settings
    assert world.send("POST", "/webhooks/sms", urlencode(fields).encode(), headers).status == 200
    assert world.metric("router_signatures_total", account_sid=account, key=label) == before + 1
    assert world.kept(fields["MessageSid"], account)


# -- what is written down ---------------------------------------------------------------------------------------------


def test_the_log_has_no_personal_data_and_no_secrets(world: World) -> None:
    """The log has no body, token, signature, cookie, profile name or whole address, whatever the answer was."""
    secrets = ["Schlüsselübergabe", "Agnieszka", "4915112345678", "whatsapp:+4915112345678", "cookie-secret"]
    with Target() as target:
        flow = world.flow(
            target.url("/hook?api=url-secret").replace("http://", "http://user:password-secret@"),
            channel_type="whatsapp",
            contact_identity="whatsapp:+14155238886",
        )
        fields = world.fields(
            flow,
            "whatsapp:+4915112345678",
            Body="Schlüsselübergabe um 9",
            ProfileName="Agnieszka",
            WaId="4915112345678",
        )
        path = "/webhooks/whatsapp"
        taken = world.post(fields, path, Cookie="cookie-secret")
        assert taken.status == 200
        world.ends(taken.sid)
        assert target.requests[0].header("Authorization") == "Basic dXNlcjpwYXNzd29yZC1zZWNyZXQ="
        query = urlencode(fields)
        refusals = [
            world.send("POST", path, query.encode(), {"X-Twilio-Signature": "signature-secret"}),
            world.send("GET", f"{path}?{query}", b"", {}),
            world.send("GET", f"/{path}?{query}", b"", {}),
            world.send("GET", f"http://x/webhooks/whatsapp?Body={quote('Schlüsselübergabe')}", b"", {}),
            world.send("GET", f"/webhooks/{quote('Schlüsselübergabe')}?{query}", b"", {}),
            world.post(fields, "/webhooks/sms"),
            world.post(fields | {"To": "messenger:1"}, path),
            world.post(fields | {"From": "", "To": "4915112345678"}, path),
            world.post(fields | {"MessageSid": ""}, path),
            world.post(fields | {"AccountSid": "4915112345678"}, path),
        ]
        assert {reply.status for reply in refusals} == {400, 403, 404}
    log = world.services[0].log.read_text()
    secrets += ["signature-secret", "password-secret", "dXNlcjpw", "url-secret", SAMPLES_TOKEN, SHARED_SECRET]
    secrets += ["+14155238886", quote("Schlüsselübergabe"), quote("+4915112345678")]
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    decoded = log + json.dumps(lines, ensure_ascii=False)
    assert [secret for secret in secrets if secret in decoded] == []


def test_each_webhook_and_attempt_is_one_log_line(world: World) -> None:
    """Each webhook and each attempt is one log line with its outcome and SIDs."""
    with Target() as target:
        flow = world.flow(target.url("/hook"), response="accept")
        sid = world.text(flow, "+15551234567").sid
        world.ends(sid)
    (webhook,) = world.log("webhook", message_sid=sid)
    (attempt,) = wait_until(lambda: world.log("attempt", message_sid=sid), what="the attempt is logged")
    assert webhook["from"] == "+15•••67"
    assert (webhook["answer"], webhook["outcome"], webhook["key"]) == (200, "accepted", "auth_token[0]")
    assert (attempt["outcome"], attempt["attempt"], attempt["status"]) == ("delivered", 1, 200)
    assert attempt["flex_flow_sid"] == webhook["flex_flow_sid"] == flow.sid


def test_a_message_that_is_given_up_is_logged_as_an_error(world: World) -> None:
    """The attempt that makes a message undelivered is logged as an error, its webhook as info."""
    with Target({"/hook": answer(404)}) as target:
        flow = world.flow(target.url("/hook"), response="accept")
        sid = world.text(flow, "+15551234568").sid
        world.ends(sid)
    (webhook,) = world.log("webhook", message_sid=sid)
    (attempt,) = wait_until(lambda: world.log("attempt", message_sid=sid), what="the attempt is logged")
    assert (webhook["level"], attempt["level"], attempt["outcome"]) == ("info", "error", "undelivered")
