"""What each integration that forwards over HTTP sends to its target; one suite for all."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote

import pytest
from twilio.request_validator import RequestValidator
from werkzeug.datastructures import MultiDict

from router.flow.flex_flow import FlexFlow
from router.flow.integration_type import INTEGRATION_TYPES
from router.integrations import Integrations
from router.message.raw import FORM, Raw
from router.settings import Settings
from tests.integrations.sending import (
    ACCOUNT_SID,
    FIELDS,
    FLOW_SID,
    MESSAGE_SID,
    PROXY_SID,
    RAW,
    STUDIO_SID,
    TOKEN,
    attempt,
    flow,
)
from tests.integrations.target import Request, Target, answer


@dataclass(frozen=True, slots=True)
class Case:
    """An integration that forwards: its flow, and the path called at the target."""

    flow: Callable[[Target], FlexFlow]
    path: str
    secret: str = TOKEN
    agent: str = "TwilioProxy/1.1"


CASES = {
    "proxy": Case(
        lambda _: flow("proxy", proxy_service_sid=PROXY_SID),
        f"/v1/Accounts/{ACCOUNT_SID}/Proxy/{PROXY_SID}/Webhooks/Message",
    ),
    "studio": Case(lambda _: flow("studio", flow_sid=STUDIO_SID), f"/v1/Accounts/{ACCOUNT_SID}/Flows/{STUDIO_SID}"),
    "external at Twilio's host": Case(lambda target: flow("external", url=target.url("/hook")), "/hook"),
    "external": Case(
        lambda target: flow("external", url=target.url("/hook", host="target.test")), "/hook", agent="twilio-router"
    ),
    "external with a query": Case(
        lambda target: flow("external", url=target.url("/a%2fb//c;d?x=1&y=%20+ñ", host="target.test")),
        "/a%2fb//c;d?x=1&y=%20+%C3%B1",
        agent="twilio-router",
    ),
    "external with a fragment and credentials": Case(
        lambda target: flow("external", url=target.url("/hook#rc=2", host="user:p%40ss@target.test")),
        "/hook",
        agent="twilio-router",
    ),
    "external with a signing key": Case(
        lambda target: flow("external", url=target.url("/hook", host="target.test"), signing_key="its own"),
        "/hook",
        secret="its own",
        agent="twilio-router",
    ),
}

_HEAD = [(name, value) for name, value in FIELDS if name != "Body"]
_BEFORE = "&".join(f"{name}={quote(value)}" for name, value in _HEAD)
FORMS = {
    "as urlencode writes it": RAW.body,
    "with escapes written otherwise": f"{_BEFORE}&Body=a%2Db%2fC%20d+e*f~".encode(),
    "with blank values": f"{_BEFORE}&Body=&Empty=".encode(),
    "with emoji and line breaks": f"{_BEFORE}&Body=".encode() + quote("👋🏽 uno\r\ndos").encode(),
    "with unknown fields": f"{_BEFORE}&Body=x&Zeta=1&alpha=%5B%22b%22%5D".encode(),
    "with a field given twice": f"{_BEFORE}&Body=x&Extra=b&Extra=a&Extra=b".encode(),
}


@pytest.fixture(params=CASES.values(), ids=list(CASES))
def case(request: pytest.FixtureRequest) -> Case:
    """Each integration in turn."""
    made: Case = request.param
    return made


def _params(body: bytes) -> MultiDict[str, str]:
    return MultiDict(parse_qsl(body.decode(), keep_blank_values=True))  # as Flask passes them to the validator


def _url(received: Request, target: Target) -> str:
    assert received.header("Host") in {f"127.0.0.1:{target.port}", f"target.test:{target.port}"}
    return f"http://{received.header('Host')}{received.target}"


@pytest.mark.parametrize("body", FORMS.values(), ids=FORMS.keys())
def test_the_target_gets_the_same_bytes_with_its_own_signature(
    case: Case, body: bytes, senders: Integrations, made: Settings, target: Target
) -> None:
    """The target gets the identical body, with a signature for its own URL that Twilio's validator accepts."""
    senders.send(attempt(made, case.flow(target), Raw("POST", FORM, body)))
    (received,) = target.requests
    assert (received.method, received.target, received.body) == ("POST", case.path, body)
    validator = RequestValidator(case.secret)
    assert validator.validate(_url(received, target), _params(body), received.header("X-Twilio-Signature"))


def test_the_target_gets_exactly_these_headers(
    case: Case, senders: Integrations, made: Settings, target: Target
) -> None:
    """The target gets exactly these headers, without the webhook's host, signature or proxy headers."""
    content_type = "application/x-www-form-urlencoded; charset=UTF-8"
    raw = Raw("POST", content_type, RAW.body, cookie="a=b; c=d", idempotency_token="a-token")
    senders.send(attempt(made, case.flow(target), raw, number=3))
    (received,) = target.requests
    agent = received.header("User-Agent")
    assert agent is not None
    assert agent.partition("/")[0] == case.agent.partition("/")[0]
    expected = {
        "Host": received.header("Host"),
        "User-Agent": agent,
        "Accept": "*/*",
        "Content-Type": content_type,
        "Content-Length": str(len(RAW.body)),
        "X-Twilio-Signature": received.header("X-Twilio-Signature"),
        "I-Twilio-Idempotency-Token": "a-token",
        "X-Router-Flex-Flow-Sid": FLOW_SID,
        "X-Router-Attempt": "3",
        "Cookie": "a=b; c=d",
    }
    if case.agent == "twilio-router":
        expected["X-Router-Signature"] = received.header("X-Router-Signature")
    if "user:" in case.flow(target).integration.url:
        expected["Authorization"] = "Basic dXNlcjpwQHNz"
    assert dict(received.headers) == expected


def test_the_idempotency_token_is_the_same_in_each_attempt(
    case: Case, senders: Integrations, made: Settings, target: Target
) -> None:
    """Without Twilio's token the MessageSid is the idempotency token, the same in each attempt and replay."""
    raw = Raw("POST", FORM, RAW.body)
    for number, replay in ((1, False), (2, False), (1, True)):
        senders.send(attempt(made, case.flow(target), raw, number=number, replay=replay, language="es-MX"))
    assert {received.header("I-Twilio-Idempotency-Token") for received in target.requests} == {MESSAGE_SID}
    assert [received.header("X-Router-Replay") for received in target.requests] == [None, None, "true"]
    assert {received.header("X-Router-Language") for received in target.requests} == {"es-MX"}


def test_a_get_is_forwarded_as_a_signed_form(case: Case, senders: Integrations, made: Settings, target: Target) -> None:
    """A message that came by GET is sent as a signed POST with its query as the form."""
    senders.send(attempt(made, case.flow(target), Raw("GET", "", RAW.body)))
    (received,) = target.requests
    assert (received.method, received.body, received.header("Content-Type")) == ("POST", RAW.body, FORM)
    signature = received.header("X-Twilio-Signature")
    assert RequestValidator(case.secret).validate(_url(received, target), _params(RAW.body), signature)


def test_a_body_that_is_no_form_is_sent_with_its_hash(
    case: Case, senders: Integrations, made: Settings, target: Target
) -> None:
    """A body that is not a form is sent with its hash in the URL, and only the URL is signed, as Twilio does."""
    body = b'{"Body": "Hola"}'
    senders.send(attempt(made, case.flow(target), Raw("POST", "application/json", body)))
    (received,) = target.requests
    digest = hashlib.sha256(body).hexdigest()
    assert received.body == body
    assert received.target == f"{case.path}{'&' if '?' in case.path else '?'}bodySHA256={digest}"
    signature = received.header("X-Twilio-Signature")
    assert RequestValidator(case.secret).validate(_url(received, target), body.decode(), signature)


def test_the_targets_answer_is_returned_unchanged(
    case: Case, senders: Integrations, made: Settings, target: Target
) -> None:
    """The target's answer is returned unchanged, with its cookies and its URL."""
    body = b"<Response><Message>Hola</Message></Response>"
    target.script[case.path.partition("?")[0]] = answer(201, body, "application/xml", set_cookie="a=b; Path=/")
    got = senders.send(attempt(made, case.flow(target)))
    assert (got.status, got.content_type, got.body) == (201, "application/xml", body)
    assert got.set_cookie == ("a=b; Path=/",)
    assert got.url == _url(target.requests[0], target)


def test_one_connection_is_reused(case: Case, senders: Integrations, made: Settings, target: Target) -> None:
    """Consecutive messages to a target use one connection."""
    for _ in range(3):
        senders.send(attempt(made, case.flow(target)))
    assert [received.connection for received in target.requests] == [1, 1, 1]


def test_proxy_variables_are_ignored(
    case: Case, senders: Integrations, made: Settings, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Proxy variables of the environment are ignored."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert senders.send(attempt(made, case.flow(target))).status == 200


@pytest.mark.parametrize("kind", INTEGRATION_TYPES)
def test_a_type_redirects_if_its_sender_has_a_url(senders: Integrations, made: Settings, kind: str) -> None:
    """An integration type is marked as able to redirect exactly if its sender has a URL."""
    given = flow(kind, flow_sid=STUDIO_SID, url="https://target.test/hook", proxy_service_sid=PROXY_SID)
    assert bool(senders.url(made.accounts[0], given)) == INTEGRATION_TYPES[kind].redirects
