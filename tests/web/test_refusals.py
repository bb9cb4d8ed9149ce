"""What the webhook refuses, in which order it checks, and that it stores nothing of it."""

import hashlib
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import urlencode

import pytest

from router.message.raw import Raw
from tests.core.samples import AC, CONVERSATIONS_EVENT
from tests.e2e.service import ACCOUNT, BASE, TOKEN
from tests.e2e.world import FORM, Reply, World, sign
from tests.web.accounts import SAMPLES_TOKEN, SHARED, SHARED_SECRET, STRANGER, SUBACCOUNT, signature


@dataclass(frozen=True, slots=True)
class Request:
    """A request that is refused: `fields` are a message of its own when none are given."""

    method: str
    target: str
    body: bytes
    headers: Mapping[str, str]


def valid(world: World, path: str = "/webhooks/sms", **fields: str) -> Request:
    """Make a request that would be accepted."""
    form = world.fields(world.address(), **fields)
    return Request("POST", path, urlencode(form).encode(), {"X-Twilio-Signature": sign(path, form)})


def signed(path: str, fields: Sequence[tuple[str, str]], *, key: str = TOKEN) -> Request:
    """Sign fields that are not a message, or that repeat a name."""
    headers = {"X-Twilio-Signature": signature(BASE + path, fields, key=key)}
    return Request("POST", path, urlencode(fields).encode(), headers)


def hashed(body: bytes, of: bytes, content_type: str, name: str = "bodySHA256") -> Request:
    """Make a request with a body that is not a form, and the hash of `of` in its URL."""
    path = f"/webhooks/sms?{name}={hashlib.sha256(of).hexdigest()}"
    return Request("POST", path, body, {"X-Twilio-Signature": sign(path), "Content-Type": content_type})


def refused(world: World, request: Request) -> Reply:
    """Send a request that must be refused, and check that the store has no new key."""
    keys = world.keys()
    reply = world.send(request.method, request.target, request.body, request.headers)
    assert world.keys() <= keys
    return reply


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "PUT", "PATCH", "DELETE", "TRACE"])
def test_another_method_is_405(world: World, method: str) -> None:
    """A method other than POST and GET is 405, even with a valid signature."""
    reply = refused(world, replace(valid(world), method=method))
    assert reply.status == 405


@pytest.mark.parametrize(
    ("make", "why"),
    [
        pytest.param(lambda world: valid(world, Body="x" * 128 * 1024), b"bytes", id="length-says-so"),
        pytest.param(
            lambda world: signed("/webhooks/sms", [*world.fields("+1").items(), *((f"f{n}", "") for n in range(500))]),
            b"fields",
            id="fields",
        ),
        pytest.param(
            lambda _: Request("POST", "/webhooks/sms", b"x" * (128 * 1024 + 1), {"Content-Type": "text/plain"}),
            b"bytes",
            id="before-its-type-is-looked-at",
        ),
    ],
)
def test_what_is_too_large_is_413(world: World, make: Callable[[World], Request], why: bytes) -> None:
    """A body over 128 KiB or 500 fields is 413, also without a valid type or signature."""
    reply = refused(world, make(world))
    assert reply.status == 413
    assert why in reply.body


def test_a_body_of_128_kib_is_accepted(world: World) -> None:
    """A body of exactly 128 KiB is accepted."""
    fields = world.fields(world.address(), Body="")
    fields["Body"] = "x" * (128 * 1024 - len(urlencode(fields)))
    assert world.post(fields).status == 200


def test_500_fields_are_accepted(world: World) -> None:
    """A form of exactly 500 fields is accepted."""
    fields = world.fields(world.address())
    fields |= {f"Field{n}": "" for n in range(500 - len(fields))}
    assert world.post(fields).status == 200


CHUNKED: Final = {"Transfer-Encoding": "chunked", "X-Twilio-Signature": "wrong"}


@pytest.mark.parametrize(("size", "status"), [(1000, 403), (128 * 1024, 403), (128 * 1024 + 1, 413)])
def test_a_body_in_chunks_is_measured_too(world: World, size: int, status: int) -> None:
    """A chunked body over 128 KiB is 413."""
    chunk = b"%x\r\n%s\r\n0\r\n\r\n" % (size, b"x" * size)
    assert status_of(world, chunk, CHUNKED) == status


@pytest.mark.parametrize(
    ("start", "status"),
    [(b"%x\r\n%s" % (2**30, b"x" * (128 * 1024 + 1)), 413), (b"1\r\nx\r\n" * 1025, 400)],
    ids=["bytes", "chunks"],
)
def test_a_chunked_body_is_read_no_further_than_its_limits(world: World, start: bytes, status: int) -> None:
    """A chunked body is refused as soon as 128 KiB and one byte, or 1,025 chunks, of it have arrived."""
    assert status_of(world, start, CHUNKED) == status


@pytest.mark.parametrize(("size", "status"), [(1, 400), (128, 403)])
def test_a_body_comes_in_a_thousand_chunks_at_most(world: World, size: int, status: int) -> None:
    """A body of 128,000 chunks of one byte is 400; one of 1,000 chunks is read."""
    chunks = b"%x\r\n%s\r\n" % (size, b"x" * size) * (128 * 1000 // size) + b"0\r\n\r\n"
    assert status_of(world, chunks, CHUNKED) == status


@pytest.mark.parametrize(
    ("number", "size", "status"),
    [(40, 100, 403), (7, 8000, 403), (70, 10, 431), (10, 8000, 431), (1, 9000, 431)],
    ids=["usual", "large", "many", "together too large", "one too large"],
)
def test_headers_have_a_bound(world: World, number: int, size: int, status: int) -> None:
    """More than 64 headers, one over 8 KiB or 64 KiB in all are 431."""
    headers = {f"X-Header-{n}": "x" * size for n in range(number)} | {"Content-Length": "0"}
    assert status_of(world, b"", headers) == status


def status_of(world: World, body: bytes, headers: Mapping[str, str]) -> int:
    """Send a body as it is, without its length; return the status."""
    head = "POST /webhooks/sms HTTP/1.1\r\nHost: router.example.com\r\nConnection: close\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in ({"Content-Type": FORM} | dict(headers)).items())
    with socket.create_connection(("127.0.0.1", world.services[0].port), timeout=10) as connection:
        connection.sendall(head.encode() + b"\r\n" + body)
        status = connection.makefile("rb").readline()
    return int(status.split()[1])


def test_a_chunked_message_is_accepted(world: World) -> None:
    """A signed message in chunks is accepted and stored whole."""
    fields = world.fields(world.address())
    body = urlencode(fields).encode()
    chunks = b"%x\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n" % (10, body[:10], len(body) - 10, body[10:])
    headers = {"Transfer-Encoding": "chunked", "X-Twilio-Signature": sign("/webhooks/sms", fields)}
    assert status_of(world, chunks, headers) == 200
    assert Raw.unpack(world.call("HGET", world.record(fields["MessageSid"]), "raw")).body == body


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", "multipart/form-data; boundary=x", ""])
def test_what_is_not_a_form_is_415(world: World, content_type: str) -> None:
    """A body that is not a form, without its hash in the URL, is 415, with a valid signature and without one."""
    request = valid(world)
    for headers in (request.headers, {}):
        reply = refused(world, replace(request, headers={**headers, "Content-Type": content_type}))
        assert reply.status == 415


FORBIDDEN: Final[Mapping[str, Callable[[World], Request]]] = {
    "no-signature": lambda world: replace(valid(world), headers={}),
    "empty-signature": lambda world: replace(valid(world), headers={"X-Twilio-Signature": ""}),
    "wrong-signature": lambda world: replace(valid(world), headers={"X-Twilio-Signature": sign("/webhooks/sms")}),
    "not-base64": lambda world: replace(valid(world), headers={"X-Twilio-Signature": "\u00e9" * 28}),
    "changed-body": lambda world: replace(valid(world), body=urlencode(world.fields(world.address())).encode()),
    "added-field": lambda world: replace(valid(world), body=valid(world).body + b"&More=1"),
    "another-path": lambda world: replace(valid(world), target="/webhooks/message"),
    "another-query": lambda world: replace(valid(world), target="/webhooks/sms?a=1"),
    "unknown-account": lambda world: valid(world, AccountSid=STRANGER),
    "no-account": lambda world: valid(world, AccountSid=""),
    "anothers-token": lambda world: valid(world, AccountSid=SUBACCOUNT),
    "absolute-target": lambda world: replace(valid(world), target=f"{BASE}/webhooks/sms"),
    "strangers-target": lambda world: replace(valid(world), target="http://evil.example/webhooks/sms"),
    "two-slashes": lambda world: replace(valid(world), target="//webhooks/sms"),
    "hash-of-another-json": lambda _: hashed(b'{"a":1}', b'{"a":2}', "application/json"),
    "hash-under-an-escaped-name": lambda _: hashed(b'{"a":1}', b'{"a":2}', "application/json", "body%53HA256"),
    "hash-of-another-form": lambda world: _form_with_hash(world, b"another"),
    "hash-of-the-form-twice": lambda world: _form_with_hash(world, b"another", twice=True),
    "get-with-the-posts-signature": lambda world: replace(valid(world), method="GET"),
    "get-without-signature": lambda world: Request(
        "GET", f"/webhooks/sms?{urlencode(world.fields(world.address()))}", b"", {}
    ),
    "shared-key-unknown": lambda world: _with_settings(world, "key=webhooks_sharedkey_two,algorithm=HMAC_SHA256"),
    "shared-key-downgraded": lambda world: _with_settings(
        world, f"key={SHARED},algorithm=HMAC_SHA1", key=SHARED_SECRET, algorithm="HMAC_SHA1"
    ),
    "shared-key-signed-weaker": lambda world: _with_settings(world, f"key={SHARED}", algorithm="HMAC_SHA1"),
    "token-in-a-shared-keys-place": lambda world: _with_settings(
        world, f"key={SHARED},algorithm=HMAC_SHA256", key=SAMPLES_TOKEN
    ),
    "shared-key-without-its-header": lambda world: _with_settings(world, ""),
}


def _form_with_hash(world: World, of: bytes, *, twice: bool = False) -> Request:
    fields = world.fields(world.address())
    body = urlencode(fields).encode()
    path = f"/webhooks/sms?bodySHA256={hashlib.sha256(of).hexdigest()}"
    if twice:
        path += f"&bodySHA256={hashlib.sha256(body).hexdigest()}"
    return Request("POST", path, body, {"X-Twilio-Signature": sign(path, fields)})


def _with_settings(world: World, settings: str, *, key: str = SHARED_SECRET, algorithm: str = "HMAC_SHA256") -> Request:
    fields = world.fields(world.address(), AccountSid=AC)
    headers = {"X-Twilio-Signature": sign("/webhooks/sms", fields, key=key, algorithm=algorithm)}
    if settings:
        headers["X-Twilio-Webhooks-Signature-Settings"] = settings
    return Request("POST", "/webhooks/sms", urlencode(fields).encode(), headers)


@pytest.mark.parametrize("label", FORBIDDEN)
def test_what_twilio_did_not_sign_is_403(world: World, label: str) -> None:
    """Each request with an invalid signature gets the same 403, and nothing is stored."""
    reply = refused(world, FORBIDDEN[label](world))
    reported = {name: value for name, value in reply.headers.items() if name != "Date"}
    assert (reply.status, reply.body) == (403, b"Forbidden")
    assert reported == {
        "Server": "gunicorn",
        "Connection": "keep-alive",
        "Content-Type": "text/plain; charset=utf-8",
        "Content-Length": "9",
    }


_MESSAGE: Final = (("AccountSid", ACCOUNT), ("From", "+15550000002"), ("To", "+15550000003"), ("Body", "Hi"))


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        pytest.param(signed("/webhooks/sms", _MESSAGE), "MessageSid", id="no-message-sid"),
        pytest.param(signed("/webhooks/sms", [*_MESSAGE, ("MessageSid", "SM1")]), "MessageSid", id="no-sid"),
        pytest.param(signed("/webhooks/sms", [_MESSAGE[0]]), "MessageSid", id="account-only"),
        *[
            pytest.param(
                signed("/webhooks/sms", [*_MESSAGE, ("MessageSid", "SM" + "d" * 32), (name, value)]),
                f"{name} is given twice",
                id=f"{name}-twice",
            )
            for name, value in (*_MESSAGE, ("MessageSid", "SM" + "e" * 32), ("To", "+15550000004"))
        ],
        pytest.param(
            signed("/webhooks/sms", [*_MESSAGE[:2], ("To", ""), ("MessageSid", "SM" + "d" * 32)]),
            "To",
            id="to-none",
        ),
        pytest.param(
            signed("/webhooks/message", CONVERSATIONS_EVENT, key=SAMPLES_TOKEN), "Conversations", id="conversations"
        ),
        pytest.param(
            signed("/webhooks/whatsapp", [*_MESSAGE, ("MessageSid", "SM" + "d" * 32)]), "sms", id="another-channel"
        ),
        pytest.param(
            signed(
                "/webhooks/message",
                [_MESSAGE[0], ("MessageSid", "SM" + "d" * 32), ("From", "whatsapp:+1555"), ("To", "messenger:1")],
            ),
            "different channels",
            id="between-channels",
        ),
        pytest.param(hashed(b"{}", b"{}", "application/json"), "AccountSid", id="json"),
    ],
)
def test_a_signed_request_that_is_no_message_is_400(world: World, request_: Request, why: str) -> None:
    """A signed request that is not an inbound message is 400 with the reason, and is not stored."""
    reply = refused(world, request_)
    assert reply.status == 400
    assert why in reply.body.decode()


@pytest.mark.parametrize("path", ["/webhooks/telegram", "/webhooks/SMS", "/webhooks/", "/webhooks", "/webhooks/sms/"])
def test_an_unknown_channel_is_404(world: World, path: str) -> None:
    """A path of an unknown channel is 404."""
    assert refused(world, valid(world, path)).status == 404
