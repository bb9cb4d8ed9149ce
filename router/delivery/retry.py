"""The retry policy: the outcome of an attempt decides whether and when it is repeated. The delays are a setting."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from router.flow.flex_flow import FlexFlow
from router.integrations.base import AttemptError, Failure
from router.store.lanes import HANDLER_LOST_LIMIT

# Each delay is multiplied by a random factor in this range (jitter), so that retries are spread in time.
JITTER: Final = (0.8, 1.2)
# The longest Retry-After that is respected, in seconds; the message's ValidityPeriod applies in any case.
RETRY_AFTER_MOST: Final = 3600.0


@dataclass(frozen=True, slots=True)
class Tries:
    """The attempts before the current one: `failures` count towards RetryCount, `refusals` do not.

    `lost` is how often the process that was delivering the message was lost.
    """

    failures: int
    refusals: int
    age: float
    lost: int = 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """The decision after an attempt: `retry` after `delay` seconds, or `undelivered`; new counts, and the reason."""

    outcome: Literal["retry", "undelivered"]
    failures: int
    refusals: int
    reason: str
    delay: float = 0.0
    lost: int = 0


def judge(error: AttemptError, flow: FlexFlow, tries: Tries, *, delays: Sequence[float], jitter: float) -> Verdict:
    """Decide whether to retry after `error`; `jitter` is a random number in [0, 1).

    A refusal is retried for as long as the message is valid, since nothing was processed. A failure and an unknown
    outcome are retried `Integration.RetryCount` times, and only if `Integration.RetryPolicy` contains their keyword. A
    blameless error does not count towards RetryCount, but is not retried either if the policy excludes it.
    """
    word = _word(error)
    policy = flow.integration.retry_policy
    lost = tries.lost + error.lost
    if error.failure is Failure.REFUSED or (error.blameless and _allowed(word, policy)):
        delay = _delay(delays, tries.refusals, jitter)
        if error.retry_after is not None:
            delay = max(delay, min(error.retry_after, RETRY_AFTER_MOST))
        left = flow.validity_period - tries.age
        if left <= 0:
            return _undelivered(tries, error.reason, "; it is past its ValidityPeriod", refused=1)
        return Verdict("retry", tries.failures, tries.refusals + 1, error.reason, min(delay, left), lost)
    failures = tries.failures + 1
    why = ""
    if not _allowed(word, policy):
        why = "; no answer, it may have been processed" if error.failure is Failure.UNKNOWN else "; not repeated"
    elif error.lost and lost >= HANDLER_LOST_LIMIT:
        why = f"; given up after its process was lost {lost} times"
    elif failures > flow.integration.retry_count:
        why = f"; given up after {failures} attempts that cost a retry"
    if why:
        return _undelivered(tries, error.reason, why, failed=1)
    delay = _delay(delays, failures - 1, jitter)
    if error.retry_after is not None:
        delay = max(delay, min(error.retry_after, RETRY_AFTER_MOST))
    return Verdict("retry", failures, tries.refusals, error.reason, delay, lost)


def _undelivered(tries: Tries, reason: str, why: str, *, failed: int = 0, refused: int = 0) -> Verdict:
    return Verdict("undelivered", tries.failures + failed, tries.refusals + refused, reason + why)


def _word(error: AttemptError) -> str:
    """Return Twilio's keyword for the error (https://www.twilio.com/docs/usage/webhooks/webhooks-connection-overrides)."""
    if error.failure is Failure.UNKNOWN:
        return "rt"
    if error.failure is Failure.FAILED:
        return "5xx"
    return "4xx" if error.status is not None and 400 <= error.status < 500 else ""  # noqa: PLR2004 - the 4xx class


def _allowed(word: str, policy: Sequence[str]) -> bool:
    return bool(word) and (word in policy or "all" in policy)


def _delay(delays: Sequence[float], tried: int, jitter: float) -> float:
    low, high = JITTER
    return delays[min(tried, len(delays) - 1)] * (low + (high - low) * jitter)
