"""The report of an attempt, for its log line and metrics."""

from typing import Any

from router import metrics
from router.message.twiml import TRACEBACK, Excerpt
from router.store.lanes import Lease
from router.value import value


@value
class AttemptReport:
    """One attempt, for logs and metrics: durations in seconds, `settled` as `Lanes.settle` returned it.

    `reason` contains no text of a customer or a target; `excerpt` does.
    """

    lease: Lease
    target: str
    integration_type: str
    outcome: str
    failure: str
    status: int | None
    reason: str
    seconds: float
    settled: str
    excerpt: Excerpt | None = None


def write_report(report: AttemptReport, log: Any) -> None:
    """Count an attempt, and write its line into the log.

    An `excerpt` may quote the message, so only the delivery's record contains it. A traceback has no such text.
    """
    metrics.attempted(report.integration_type, report.target, report.outcome, report.failure, report.seconds)
    # An undelivered message needs a person; one that is retried, or unrouted, may need one.
    levels = {"undelivered": log.error, "unrouted": log.warning, "retry": log.warning}
    excerpt = report.excerpt
    levels.get(report.outcome, log.info)(
        "attempt",
        account_sid=report.lease.account_sid,
        message_sid=report.lease.message_sid,
        flex_flow_sid=report.lease.flow_sid,
        integration_type=report.integration_type,
        target=report.target,
        attempt=report.lease.attempts,
        round=report.lease.round,
        outcome=report.outcome,
        failure=report.failure,
        status=report.status,
        settled=report.settled,
        reason=report.reason,
        frames=excerpt.text if excerpt and excerpt.type == TRACEBACK else "",
        content_type=excerpt.type if excerpt and excerpt.type != TRACEBACK else "",
        seconds=round(report.seconds, 4),
    )
