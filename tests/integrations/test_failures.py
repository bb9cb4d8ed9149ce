"""The ways in which a target fails, and what the attempt reports."""

from dataclasses import dataclass, replace

import pytest
from twilio.request_validator import RequestValidator

from router.integrations import Failure, Integrations
from router.integrations.base import AttemptError
from router.integrations.http import retry_after
from router.message.raw import Raw
from router.message.twiml import Excerpt
from router.settings import Settings
from tests.integrations.sending import (
    FIELDS,
    NEXT_TOKEN,
    RAW,
    STUDIO_SID,
    TOKEN,
    attempt,
    flow,
)
from tests.integrations.target import Behaviour, Target, answer, close, flood, in_turn, reset, send
from tests.waiting import wait_until

STUDIO = f"/v1/Accounts/{FIELDS[0][1]}/Flows/{STUDIO_SID}"


@dataclass(frozen=True, slots=True)
class Case:
    """A target's behaviour, and the reported failure, or the status and body of the answer."""

    behaviour: Behaviour
    failure: Failure | None = None
    status: int | None = 200
    body: bytes = b""


_OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\n"
_GIGABYTE = 1 << 30
_FULL = b"x" * 65536

CASES = {
    "301 is not followed": Case(answer(301, location="/elsewhere"), Failure.PERMANENT, 301),
    "307 is not followed": Case(answer(307, location="/elsewhere"), Failure.PERMANENT, 307),
    "400": Case(answer(400), Failure.PERMANENT, 400),
    "403": Case(answer(403), Failure.PERMANENT, 403),
    "404": Case(answer(404), Failure.PERMANENT, 404),
    "410": Case(answer(410), Failure.PERMANENT, 410),
    "408": Case(answer(408), Failure.FAILED, 408),
    "425": Case(answer(425), Failure.FAILED, 425),
    "429": Case(answer(429), Failure.REFUSED, 429),
    "500": Case(answer(500), Failure.FAILED, 500),
    "502": Case(answer(502), Failure.FAILED, 502),
    "503": Case(answer(503), Failure.REFUSED, 503),
    "504": Case(answer(504), Failure.FAILED, 504),
    "599": Case(answer(599), Failure.FAILED, 599),
    "an invalid status": Case(answer(777), Failure.UNKNOWN, None),
    "no answer": Case(close, Failure.UNKNOWN, None),
    "a reset": Case(reset, Failure.UNKNOWN, None),
    "garbage": Case(send(b"\x16\x03\x01\x02\x00garbage\r\n\r\n"), Failure.UNKNOWN, None),
    "another protocol": Case(send(b"SSH-2.0-OpenSSH_9.2\r\n"), Failure.UNKNOWN, None),
    "half a head": Case(send(_OK + b"Content-Le"), Failure.UNKNOWN, None),
    "a head without end": Case(flood(_OK + b"X: ", _GIGABYTE), Failure.UNKNOWN, None),
    "only an interim answer": Case(send(b"HTTP/1.1 100 Continue\r\n\r\n"), Failure.UNKNOWN, None),
    "an unrequested upgrade": Case(
        send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"), Failure.UNKNOWN, None
    ),
    "an interim answer first": Case(
        send(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + _OK + b"Content-Length: 2\r\n\r\nok"), body=b"ok"
    ),
    "204": Case(send(b"HTTP/1.1 204 No Content\r\n\r\n"), status=204),
    "a body in chunks": Case(
        send(_OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n3;x=y\r\n!!!\r\n0\r\nX-T: 1\r\n\r\n"), body=b"ok!!!"
    ),
    "a body that the end of the connection ends": Case(send(_OK + b"\r\nto the end"), body=b"to the end"),
    "an answer of HTTP/1.0": Case(send(b"HTTP/1.0 200 OK\r\n\r\nold"), body=b"old"),
    "two answers": Case(send((_OK + b"Content-Length: 2\r\n\r\nok") * 2), body=b"ok"),
    "an answer and garbage": Case(send(_OK + b"Content-Length: 2\r\n\r\nok\x00\x01"), body=b"ok"),
    "a body of 64 KiB": Case(answer(body=_FULL), body=_FULL),
    # The following heads say 2xx: the message is delivered, and only the body is lost.
    "a body over 64 KiB": Case(answer(body=_FULL + b"x")),
    "a gigabyte": Case(flood(_OK + b"Content-Length: 1073741824\r\n\r\n", _GIGABYTE)),
    "a gigabyte without a length": Case(flood(_OK + b"\r\n", _GIGABYTE)),
    "a body cut short": Case(send(_OK + b"Content-Length: 5\r\n\r\nab")),
    "a body with broken chunks": Case(send(_OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nab")),
    "a body compressed unasked": Case(answer(body=b"\x1f\x8b", content_encoding="gzip")),
    # A 5xx counts although its body is incomplete.
    "a failure cut short": Case(send(b"HTTP/1.1 500 Oh\r\nContent-Length: 5\r\n\r\nab"), Failure.FAILED, 500),
}


def _error(senders: Integrations, made: Settings, **external: str) -> AttemptError:
    with pytest.raises(AttemptError) as caught:
        senders.send(attempt(made, flow("external", **external)))
    return caught.value


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_each_behaviour_is_reported_as_in_the_table(
    case: Case, senders: Integrations, made: Settings, target: Target
) -> None:
    """Each behaviour of the target is reported as CASES says, and the next attempt succeeds."""
    target.script["/hook"] = case.behaviour
    to = flow("external", url=target.url("/hook", host="target.test"))
    if case.failure is None:
        got = senders.send(attempt(made, to))
        assert (got.status, got.body) == (case.status, case.body)
    else:
        error = _error(senders, made, url=to.integration.url)
        assert (error.failure, error.status) == (case.failure, case.status)
        assert not error.unreachable, "after connecting, a failure counts only for the account's target"
    assert len(target.requests) == 1
    assert senders.send(attempt(made, flow("external", url=target.url("/fine")))).body == b"<Response/>"


def test_a_redirect_says_why(senders: Integrations, made: Settings, target: Target) -> None:
    """A redirect is not followed: the reason says what to do, and only the excerpt has the Location."""
    target.script["/"] = answer(302, b"Moved", "text/plain", location="/elsewhere?token=secret")
    with pytest.raises(AttemptError) as caught:
        senders.send(attempt(made, flow("external", url=target.url())))
    assert caught.value.logged == (
        f"http://127.0.0.1:{target.port} answered 302, a redirect. Redirects are not followed: a message is signed for "
        "one URL, that of its flow. Give the flow the URL that this one leads to"
    )
    assert caught.value.excerpt == Excerpt("text/plain", "Location: /elsewhere?token=secret\n\nMoved")


def test_the_excerpt_of_a_failed_answer_is_not_in_the_reason(
    senders: Integrations, made: Settings, target: Target
) -> None:
    """The first 500 characters of a failed answer are kept as its excerpt, and are not in the reason."""
    target.script["/"] = answer(404, b"<p>No such customer</p>" * 50, "text/html")
    with pytest.raises(AttemptError) as caught:
        senders.send(attempt(made, flow("external", url=target.url())))
    assert caught.value.excerpt == Excerpt("text/html", ("<p>No such customer</p>" * 50)[:500])
    assert "customer" not in caught.value.reason


FLAWS = {
    "too long": (flood(b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\n\r\n" + _FULL, _GIGABYTE), "it is over 64 KiB"),
    "cut short": (
        send(b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: 9\r\n\r\n<Resp"),
        "it did not come whole",
    ),
    "compressed": (
        send(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n\x1f\x8b"),
        "it is compressed, which was not asked for",
    ),
}


@pytest.mark.parametrize(("behaviour", "flaw"), FLAWS.values(), ids=FLAWS.keys())
def test_an_unusable_body_is_left_out_with_the_reason(
    senders: Integrations, made: Settings, target: Target, behaviour: Behaviour, flaw: str
) -> None:
    """With an unusable body the message is delivered, and the answer says why the body is missing."""
    target.script["/"] = behaviour
    got = senders.send(attempt(made, flow("external", url=target.url())))
    assert (got.status, got.body, got.flaw) == (200, b"", flaw)


def test_a_port_without_a_server_is_a_refusal(senders: Integrations, made: Settings) -> None:
    """A port on which no server listens is a refusal, and the host counts as unreachable."""
    with Target() as gone:
        url = gone.url()
    error = _error(senders, made, url=url)
    assert error.failure is Failure.REFUSED
    assert error.unreachable, "counts for the host, for every account"
    assert "Connection refused" in error.reason


RETRY_AFTER = {
    "seconds": ("120", 120.0),
    "blanks around": (" 7 ", 7.0),
    "a date to come": ("Sat, 21 Nov 2026 12:00:30 GMT", 30.0),
    "a date gone by": ("Sat, 21 Nov 2026 11:00:00 GMT", 0.0),
    "a negative number": ("-5", None),
    "a word": ("soon", None),
    "digits that are not ASCII": ("٣", None),
    "a date no calendar has": ("Sat, 99 Nov 2026 12:00:30 GMT", None),
}


@pytest.mark.parametrize(("value", "seconds"), RETRY_AFTER.values(), ids=RETRY_AFTER.keys())
def test_retry_after(value: str, seconds: float | None) -> None:
    """Retry-After is read as seconds or as a date, and is otherwise ignored."""
    noon = 1795262400.0
    assert retry_after(value, noon) == seconds


def test_retry_after_is_reported(senders: Integrations, made: Settings, target: Target) -> None:
    """A target's Retry-After is reported with the failure."""
    target.script["/hook"] = answer(503, retry_after="3")
    assert _error(senders, made, url=target.url("/hook")).retry_after == 3.0
    target.script["/hook"] = answer(500)
    assert _error(senders, made, url=target.url("/hook")).retry_after is None


def test_after_a_403_of_twilio_the_next_auth_token_is_tried(
    senders: Integrations, made: Settings, target: Target
) -> None:
    """After a 403 from a host of Twilio the message is sent once more, signed with the next auth token."""
    target.script[STUDIO] = in_turn(answer(403), answer(200))
    assert senders.send(attempt(made, flow("studio", flow_sid=STUDIO_SID))).status == 200
    signatures = [received.header("X-Twilio-Signature") for received in target.requests]
    params = dict(FIELDS)
    valid = [
        RequestValidator(token).validate(target.url(STUDIO), params, signature)
        for token, signature in zip((TOKEN, NEXT_TOKEN), signatures, strict=True)
    ]
    assert valid == [True, True]
    assert target.requests[0].body == target.requests[1].body


def test_a_second_403_is_permanent(senders: Integrations, made: Settings, target: Target) -> None:
    """A second 403 is a permanent failure; a host that is not Twilio's is called only once."""
    target.script[STUDIO] = answer(403)
    with pytest.raises(AttemptError) as caught:
        senders.send(attempt(made, flow("studio", flow_sid=STUDIO_SID)))
    assert (caught.value.failure, caught.value.status, len(target.requests)) == (Failure.PERMANENT, 403, 2)
    target.script["/hook"] = answer(403)
    _error(senders, made, url=target.url("/hook", host="target.test"))
    assert len(target.requests) == 3


def test_after_a_403_the_second_signing_key_is_tried(senders: Integrations, made: Settings, target: Target) -> None:
    """After a 403 the flow's second signing key is tried, if it has one."""
    target.script["/hook"] = in_turn(answer(403), answer(200), answer(403))
    url = target.url("/hook", host="target.test")
    assert senders.send(attempt(made, flow("external", url=url, signing_key="old,new"))).status == 200
    signatures = [received.header("X-Twilio-Signature") for received in target.requests]
    params = dict(FIELDS)
    assert [
        RequestValidator(key).validate(url, params, signature)
        for key, signature in zip(("old", "new"), signatures, strict=True)
    ] == [True, True]
    with pytest.raises(AttemptError) as caught:
        senders.send(attempt(made, flow("external", url=url, signing_key="old")))
    assert (caught.value.failure, len(target.requests)) == (Failure.PERMANENT, 3)


def test_after_an_incomplete_403_no_other_token_is_tried(senders: Integrations, made: Settings, target: Target) -> None:
    """After a 403 with an incomplete body the next auth token is not tried, as no time may be left."""
    target.script[STUDIO] = send(b"HTTP/1.1 403 No\r\nContent-Length: 5\r\n\r\nab")
    with pytest.raises(AttemptError) as caught:
        senders.send(attempt(made, flow("studio", flow_sid=STUDIO_SID)))
    assert (caught.value.failure, caught.value.status, len(target.requests)) == (Failure.PERMANENT, 403, 1)


def test_a_flow_or_account_that_lacks_something_fails_permanently(
    senders: Integrations, made: Settings, target: Target
) -> None:
    """What a flow or account lacks is a permanent failure that names it, and nothing is sent."""
    trial = attempt(made, flow("external", url=target.url()))
    bare = trial.account.model_copy(update={"auth_tokens": (), "proxy_service_sid": None})
    trials = {
        "has no auth token to sign with": replace(trial, account=bare),
        "Integration.ProxyServiceSid": replace(trial, account=bare, flow=flow("proxy")),
        "no auth token for Twilio's REST API": replace(trial, account=bare, flow=flow("task")),
        "the URL of the flow": replace(trial, flow=flow("external", url="ftp://target.test/")),
        "line break": replace(trial, raw=Raw("POST", RAW.content_type, RAW.body, "a=b\r\nX-Evil: 1")),
    }
    for reason, this in trials.items():
        with pytest.raises(AttemptError, match=reason) as caught:
            senders.send(this)
        assert caught.value.failure is Failure.PERMANENT
    assert target.requests == []


def test_an_idle_connection_closed_by_the_target_is_not_used(
    senders: Integrations, made: Settings, target: Target
) -> None:
    """A connection that the target closed while it was idle is replaced before use."""
    to = flow("external", url=target.url())
    senders.send(attempt(made, to))
    target.hang_up()
    (idle,) = senders.http._pool._idle[(f"http://127.0.0.1:{target.port}", False)]
    wait_until(lambda: idle._poll.poll(0), what="the end of the connection arrives")
    senders.send(attempt(made, to))
    assert [received.connection for received in target.requests] == [1, 2]


def test_a_connection_that_accepts_no_byte_is_replaced(senders: Integrations, made: Settings, target: Target) -> None:
    """A reused connection that accepts not one byte is replaced, and the message is sent once."""
    to = flow("external", url=target.url())
    senders.send(attempt(made, to))
    (idle,) = senders.http._pool._idle[(f"http://127.0.0.1:{target.port}", False)]
    idle._socket.shutdown(1)  # writes fail from now on
    wait_until(lambda: idle._poll.poll(0), what="the target closes too")
    idle._poll.unregister(idle._socket)  # as if its close had not arrived yet
    senders.send(attempt(made, to))
    assert [received.connection for received in target.requests] == [1, 2]


def test_an_answer_before_the_end_of_the_request_counts(senders: Integrations, made: Settings, target: Target) -> None:
    """An answer that comes before the whole request was read counts."""
    target.script["/hook"] = answer(413)
    body = RAW.body + b"&Extra=" + b"x" * 120_000
    with pytest.raises(AttemptError) as caught:
        senders.send(attempt(made, flow("external", url=target.url("/hook")), Raw("POST", RAW.content_type, body)))
    assert caught.value.status == 413
    assert target.requests[0].body == body
