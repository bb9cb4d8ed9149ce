"""The settlement that follows from an attempt's outcome."""

from dataclasses import replace

from router.delivery.reading import NOTHING, Reading
from router.delivery.settling import delivered, failed, logged, unsent
from router.integrations.base import AttemptError, Failure
from router.message.twiml import Answer, Excerpt, read
from router.store.lanes import Lease
from tests.core.flows import flow

_FLOW = flow(ContactIdentity="+15550000009")
_LEASE = Lease(
    token="t",
    expires=30.0,
    account_sid="AC" + "1" * 32,
    message_sid="SM" + "1" * 32,
    lane="lane",
    raw=b"",
    flow_sid=_FLOW.sid,
    flow=_FLOW,
    age=1.0,
    attempts=2,
    failures=1,
    refusals=0,
    round=0,
    answered=False,
)
_ANSWER = Answer(200, "text/xml", b"<Response/>", "https://target.example/")


def test_a_success_keeps_its_twiml_or_an_excerpt() -> None:
    """A success keeps its TwiML, else an excerpt, and `answered` only if the webhook is to answer."""
    reading = Reading(read(b"<Response/>"))
    given = delivered(_LEASE, _ANSWER, reading, 0.25, promised=True)
    assert given.outcome == "delivered"
    assert given.fields == {"answer": b"<Response/>", "answered": "webhook"}
    assert given.history == "2 delivered 200 0.250"
    assert delivered(_LEASE, _ANSWER, reading, 0.25, promised=False).fields == {"answer": b"<Response/>"}
    assert delivered(_LEASE, _ANSWER, NOTHING, 0.25, promised=False).fields == {}
    wrong = Reading(None, "not TwiML: why", Excerpt("text/html", "Oops"))
    settlement = delivered(_LEASE, _ANSWER, wrong, 0.25, promised=False)
    assert settlement.fields == {"said": b"text/html\nOops"}
    assert settlement.history.endswith("not TwiML: why")


def test_a_failure_is_counted_and_the_targets_text_is_not_logged() -> None:
    """A failure is counted and kept with what the target said; the log gets the reason without that text."""
    error = AttemptError(Failure.FAILED, "it said: Ana's secret", status=500, logged="it failed")
    settlement = failed(_LEASE, _FLOW, error, 0.5, delays=(1.0, 5.0), jitter=0.5)
    assert settlement.outcome == "retry"
    assert settlement.fields is not None
    assert settlement.fields["failures"] == 2
    assert "Ana's secret" in str(settlement.fields["error"])
    assert settlement.history.startswith("2 failed 500 0.500 ")
    assert "Ana" not in logged(settlement, error)


def test_a_message_without_enabled_flow_or_past_its_validity_is_not_sent() -> None:
    """A message whose flow is gone or disabled, or whose ValidityPeriod is over, is not sent."""
    assert unsent(_LEASE) is None
    for lease, outcome in (
        (replace(_LEASE, flow=None), "unrouted"),
        (replace(_LEASE, flow=replace(_FLOW, enabled=False)), "unrouted"),
        (replace(_LEASE, age=float(_FLOW.validity_period)), "undelivered"),
    ):
        settlement = unsent(lease)
        assert settlement is not None
        assert settlement.outcome == outcome
