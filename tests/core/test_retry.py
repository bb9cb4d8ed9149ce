"""What is repeated, when, and at what cost."""

import pytest

from router.delivery.retry import RETRY_AFTER_MOST, Tries, judge
from router.flow.flex_flow import FlexFlow, Integration
from router.integrations.base import AttemptError, Failure
from router.store.lanes import HANDLER_LOST_LIMIT

DELAYS = (1.0, 5.0, 15.0, 60.0, 300.0)


def flow(type_: str = "proxy", **integration: object) -> FlexFlow:
    """Make a flow with these changes of its integration."""
    return FlexFlow(
        sid="FO" + "1" * 32,
        account_sid="AC" + "1" * 32,
        friendly_name="",
        chat_service_sid="",
        channel_type="sms",
        contact_identity="+15550000001",
        integration=Integration(type_, **integration),  # type: ignore[arg-type]
    )


REFUSED = AttemptError(Failure.REFUSED, "refused")
FAILED = AttemptError(Failure.FAILED, "500", status=500)
UNKNOWN = AttemptError(Failure.UNKNOWN, "no answer")
NOT_FOUND = AttemptError(Failure.PERMANENT, "404", status=404)
BLOCKED = AttemptError(Failure.UNKNOWN, "handler a.b:c blocked for 22 s; its process was replaced", lost=True)
INTERRUPTED = AttemptError(Failure.UNKNOWN, "interrupted", blameless=True)
MOVED = AttemptError(Failure.PERMANENT, "301", status=301)


@pytest.mark.parametrize(
    ("error", "of", "outcome"),
    [
        pytest.param(REFUSED, flow(), "retry", id="a refusal waits, nothing was processed"),
        pytest.param(REFUSED, flow(retry_count=0), "retry", id="a refusal costs no RetryCount"),
        pytest.param(FAILED, flow(), "retry", id="a failure is repeated"),
        pytest.param(FAILED, flow(retry_count=0), "undelivered", id="a failure is not repeated without RetryCount"),
        pytest.param(FAILED, flow(retry_policy=("ct",)), "undelivered", id="nor without 5xx in RetryPolicy"),
        pytest.param(UNKNOWN, flow(), "undelivered", id="no answer may mean processed: proxy is not repeated"),
        pytest.param(UNKNOWN, flow("external"), "retry", id="an external webhook is: the token tells it"),
        pytest.param(UNKNOWN, flow(retry_policy=("rt",)), "retry", id="rt allows it"),
        pytest.param(NOT_FOUND, flow(), "undelivered", id="a 404 is buried at once"),
        pytest.param(NOT_FOUND, flow(retry_policy=("4xx",)), "retry", id="4xx in RetryPolicy repeats a 404"),
        pytest.param(NOT_FOUND, flow(retry_policy=("all",)), "retry", id="so does all"),
        pytest.param(MOVED, flow(retry_policy=("all",)), "undelivered", id="a redirect is never repeated"),
    ],
)
def test_what_is_repeated(error: AttemptError, of: FlexFlow, outcome: str) -> None:
    """The kind of failure, RetryCount and RetryPolicy decide, as DESIGN 7 says."""
    assert judge(error, of, Tries(0, 0, 0.0), delays=DELAYS, jitter=0.5).outcome == outcome


def test_retry_count_is_the_number_of_repeats() -> None:
    """A RetryCount of 3 makes four attempts at most."""
    failures = 0
    outcomes = []
    for _ in range(4):
        verdict = judge(FAILED, flow(retry_count=3), Tries(failures, 9, 0.0), delays=DELAYS, jitter=0.5)
        failures = verdict.failures
        outcomes.append(verdict.outcome)
    assert outcomes == ["retry", "retry", "retry", "undelivered"]


def test_what_takes_its_process_with_it_is_given_up_the_second_time() -> None:
    """However many repeats there are: the loss is counted apart, and the reason names the handler."""
    to = flow("handler", handler="it", retry_count=20)
    first = judge(BLOCKED, to, Tries(0, 0, 0.0), delays=DELAYS, jitter=0.5)
    assert (first.outcome, first.failures, first.lost) == ("retry", 1, 1)
    other = judge(FAILED, to, Tries(first.failures, 0, 0.0, first.lost), delays=DELAYS, jitter=0.5)
    assert (other.outcome, other.lost) == ("retry", 1)
    second = judge(BLOCKED, to, Tries(other.failures, 0, 0.0, other.lost), delays=DELAYS, jitter=0.5)
    assert (second.outcome, HANDLER_LOST_LIMIT) == ("undelivered", 2)
    assert second.reason == f"{BLOCKED.reason}; given up after its process was lost 2 times"


def test_what_is_blameless_costs_nothing() -> None:
    """A message that another one has interrupted is repeated as if it had been refused, unless it may not be."""
    to = flow("handler", handler="it", retry_count=0)
    verdict = judge(INTERRUPTED, to, Tries(0, 1, 0.0), delays=DELAYS, jitter=0.5)
    assert (verdict.outcome, verdict.failures, verdict.refusals, verdict.lost) == ("retry", 0, 2, 0)
    once = flow("handler", handler="it", retry_policy=("ct",))
    assert judge(INTERRUPTED, once, Tries(0, 0, 0.0), delays=DELAYS, jitter=0.5).outcome == "undelivered"


def test_delays_grow_and_the_last_one_stays() -> None:
    """Refusals wait by ROUTER_RETRY_DELAYS, however many there are."""
    delays = [judge(REFUSED, flow(), Tries(0, n, 0.0), delays=DELAYS, jitter=0.5).delay for n in range(7)]
    assert delays == pytest.approx([1, 5, 15, 60, 300, 300, 300])


def test_jitter_spreads_a_delay_by_a_fifth() -> None:
    """What failed together does not come back together."""
    least, most = (judge(FAILED, flow(), Tries(0, 0, 0.0), delays=(10.0,), jitter=j).delay for j in (0.0, 1.0))
    assert (least, most) == pytest.approx((8.0, 12.0))


def test_retry_after_puts_off_but_not_for_ever() -> None:
    """A target may ask for time, at most an hour, and never for less than the delay."""
    for asked, waited in ((30.0, 30.0), (0.0, 1.0), (10**9, RETRY_AFTER_MOST)):
        error = AttemptError(Failure.REFUSED, "429", status=429, retry_after=asked)
        assert judge(error, flow(), Tries(0, 0, 0.0), delays=DELAYS, jitter=0.5).delay == pytest.approx(waited)


def test_a_refusal_ends_with_the_validity_period() -> None:
    """A message comes due for the last time when its ValidityPeriod ends, and is undelivered then."""
    nearly = judge(REFUSED, flow(), Tries(0, 9, 14_390.0), delays=DELAYS, jitter=0.5)
    assert nearly.outcome == "retry"
    assert nearly.delay == pytest.approx(10.0)
    over = judge(REFUSED, flow(), Tries(0, 9, 14_400.0), delays=DELAYS, jitter=0.5)
    assert over.outcome == "undelivered"
    assert "ValidityPeriod" in over.reason
