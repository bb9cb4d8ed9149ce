"""Which failed attempts are retried, when, and at what cost."""

import pytest

from router.delivery.retry import RETRY_AFTER_MOST, Tries, judge
from router.flow.flex_flow import FlexFlow, Integration
from router.integrations.base import AttemptError, Failure
from router.store.lanes import HANDLER_LOST_LIMIT

DELAYS = (1.0, 5.0, 15.0, 60.0, 300.0)


def flow(type_: str = "proxy", **integration: object) -> FlexFlow:
    """Make a flow with these values of its integration."""
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
        pytest.param(REFUSED, flow(), "retry", id="a refusal is retried"),
        pytest.param(REFUSED, flow(retry_count=0), "retry", id="a refusal costs no RetryCount"),
        pytest.param(FAILED, flow(), "retry", id="a 500 is retried"),
        pytest.param(FAILED, flow(retry_count=0), "undelivered", id="a 500 is not retried without RetryCount"),
        pytest.param(
            FAILED, flow(retry_policy=("ct",)), "undelivered", id="a 500 is not retried without 5xx in RetryPolicy"
        ),
        pytest.param(UNKNOWN, flow(), "undelivered", id="no answer is not retried for proxy"),
        pytest.param(UNKNOWN, flow("external"), "retry", id="no answer is retried for external"),
        pytest.param(UNKNOWN, flow(retry_policy=("rt",)), "retry", id="no answer is retried with rt in RetryPolicy"),
        pytest.param(NOT_FOUND, flow(), "undelivered", id="a 404 is not retried"),
        pytest.param(NOT_FOUND, flow(retry_policy=("4xx",)), "retry", id="a 404 is retried with 4xx in RetryPolicy"),
        pytest.param(NOT_FOUND, flow(retry_policy=("all",)), "retry", id="a 404 is retried with all in RetryPolicy"),
        pytest.param(MOVED, flow(retry_policy=("all",)), "undelivered", id="a redirect is never retried"),
    ],
)
def test_which_failures_are_retried(error: AttemptError, of: FlexFlow, outcome: str) -> None:
    """Kind of failure, RetryCount and RetryPolicy decide whether a message is retried."""
    assert judge(error, of, Tries(0, 0, 0.0), delays=DELAYS, jitter=0.5).outcome == outcome


def test_retry_count_is_the_number_of_repeats() -> None:
    """With a RetryCount of 3 a message has at most four failed attempts."""
    failures = 0
    outcomes = []
    for _ in range(4):
        verdict = judge(FAILED, flow(retry_count=3), Tries(failures, 9, 0.0), delays=DELAYS, jitter=0.5)
        failures = verdict.failures
        outcomes.append(verdict.outcome)
    assert outcomes == ["retry", "retry", "retry", "undelivered"]


def test_a_message_is_given_up_after_two_lost_handler_processes() -> None:
    """A message whose handler's process was lost twice is undelivered, whatever RetryCount allows."""
    to = flow("handler", handler="it", retry_count=20)
    first = judge(BLOCKED, to, Tries(0, 0, 0.0), delays=DELAYS, jitter=0.5)
    assert (first.outcome, first.failures, first.lost) == ("retry", 1, 1)
    other = judge(FAILED, to, Tries(first.failures, 0, 0.0, first.lost), delays=DELAYS, jitter=0.5)
    assert (other.outcome, other.lost) == ("retry", 1)
    second = judge(BLOCKED, to, Tries(other.failures, 0, 0.0, other.lost), delays=DELAYS, jitter=0.5)
    assert (second.outcome, HANDLER_LOST_LIMIT) == ("undelivered", 2)
    assert second.reason == f"{BLOCKED.reason}; given up after its process was lost 2 times"


def test_an_interrupted_attempt_costs_no_retry() -> None:
    """An attempt that another message interrupted is retried without cost, unless RetryPolicy lacks `rt`."""
    to = flow("handler", handler="it", retry_count=0)
    verdict = judge(INTERRUPTED, to, Tries(0, 1, 0.0), delays=DELAYS, jitter=0.5)
    assert (verdict.outcome, verdict.failures, verdict.refusals, verdict.lost) == ("retry", 0, 2, 0)
    once = flow("handler", handler="it", retry_policy=("ct",))
    assert judge(INTERRUPTED, once, Tries(0, 0, 0.0), delays=DELAYS, jitter=0.5).outcome == "undelivered"


def test_delays_grow_and_the_last_one_repeats() -> None:
    """Refusals wait by ROUTER_RETRY_DELAYS, and the last delay repeats."""
    delays = [judge(REFUSED, flow(), Tries(0, n, 0.0), delays=DELAYS, jitter=0.5).delay for n in range(7)]
    assert delays == pytest.approx([1, 5, 15, 60, 300, 300, 300])


def test_jitter_spreads_a_delay_by_a_fifth() -> None:
    """Jitter changes a delay by up to 20 % in each direction."""
    least, most = (judge(FAILED, flow(), Tries(0, 0, 0.0), delays=(10.0,), jitter=j).delay for j in (0.0, 1.0))
    assert (least, most) == pytest.approx((8.0, 12.0))


def test_retry_after_is_followed_up_to_an_hour() -> None:
    """A target's Retry-After is followed if it is longer than the delay, up to an hour."""
    for asked, waited in ((30.0, 30.0), (0.0, 1.0), (10**9, RETRY_AFTER_MOST)):
        error = AttemptError(Failure.REFUSED, "429", status=429, retry_after=asked)
        assert judge(error, flow(), Tries(0, 0, 0.0), delays=DELAYS, jitter=0.5).delay == pytest.approx(waited)


def test_a_refusal_ends_with_the_validity_period() -> None:
    """The last retry is due when the ValidityPeriod ends; after that the message is undelivered."""
    nearly = judge(REFUSED, flow(), Tries(0, 9, 14_390.0), delays=DELAYS, jitter=0.5)
    assert nearly.outcome == "retry"
    assert nearly.delay == pytest.approx(10.0)
    over = judge(REFUSED, flow(), Tries(0, 9, 14_400.0), delays=DELAYS, jitter=0.5)
    assert over.outcome == "undelivered"
    assert "ValidityPeriod" in over.reason
