"""The router's metrics, for Prometheus. The values of several workers are added up at scrape time.

A worker counts in its memory, and once a second writes its values to files that the other workers read (`write`).

Add each metric to `ALL`, from which docs/operations.md is generated. Metrics that are read from the store at scrape
time are in `router.web.figures`.
"""

import os
from functools import lru_cache
from typing import Final

from prometheus_client import Counter, Gauge, Histogram, values

from router.metric_buffer import Buffer
from router.metric_files import NAME

_buffer: Buffer | None = None
# Under gunicorn a process's files are named after its number (metric_files.py). Processes forked from it must not use
# that name.
if _name := os.environ.pop(NAME, None):
    _pid = os.getpid()
    _buffer = Buffer(
        values.MultiProcessValue(  # type: ignore[no-untyped-call]
            lambda: _name if os.getpid() == _pid else os.getpid()
        )
    )
    values.ValueClass = _buffer


def write() -> None:
    """Write the files of this process, if it has any."""
    if _buffer is not None:
        _buffer.write()


# They include the deadlines: 2.5 s for a 503, 10 s for a relayed answer, 15 s for Twilio, 22 s for an attempt.
_SECONDS: Final = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 22)

WEBHOOKS: Final = Counter(
    "router_webhooks",
    "Webhooks, by the channel of their path and by the answer: accepted, duplicate, unrouted, status_callback, expired "
    "(all of these are a 200), or another HTTP status.",
    ["channel", "answer"],
)
SIGNATURES: Final = Counter(
    "router_signatures",
    "Valid signatures, by account and by which of its keys matched, as auth_token[0].",
    ["account_sid", "key"],
)
ANSWERED: Final = Histogram("router_answer_seconds", "Time from a webhook's arrival to its answer.", buckets=_SECONDS)
ATTEMPTS: Final = Counter(
    "router_attempts",
    "Attempts at delivery, by what became of the message, and by how the attempt failed: refused, failed, unknown or "
    "permanent, or nothing. A process names 1,000 targets, and calls all others “others”.",
    ["integration_type", "target", "outcome", "failure"],
)
ATTEMPTED: Final = Histogram(
    "router_attempt_seconds", "Time that an attempt takes.", ["integration_type"], buckets=_SECONDS
)
MATCH_FAILED: Final = Counter(
    "router_match_failed",
    "Match expressions that had no value for a message, which the flow then did not take. A process names 1,000 flows.",
    ["flex_flow_sid"],
)
RECOVERED: Final = Counter(
    "router_recovered",
    "Messages that Twilio received during an outage, by what became of them: accepted, duplicate or reported.",
    ["result"],
)
SLOTS: Final = Gauge(
    "router_slots_in_use", "Attempts under way, of ROUTER_DELIVERIES in each process.", multiprocess_mode="livesum"
)
BREAKERS: Final = Gauge(
    "router_breakers_open",
    "Targets whose circuit breaker is open; a target counts once for each process. `router doctor` names them.",
    multiprocess_mode="livesum",
)
WAITING: Final = Gauge("router_views_waiting", "Webhooks that wait for a target's answer.", multiprocess_mode="livesum")
CHATS: Final = Counter(
    "router_chats",
    "Requests of web chat visitors that begin a chat (sessions) or write (messages), by the HTTP status of the answer: "
    "201 is new, 200 a repetition.",
    ["request", "answer"],
)
CHAT_STREAMS: Final = Gauge(
    "router_chat_streams",
    "Streams of web chat visitors that are open, 250 at most in each process.",
    multiprocess_mode="livesum",
)
ALL: Final = (
    WEBHOOKS, SIGNATURES, ANSWERED, ATTEMPTS, ATTEMPTED, MATCH_FAILED, RECOVERED, SLOTS, BREAKERS, WAITING,
    CHATS, CHAT_STREAMS,
)  # fmt: skip


@lru_cache(maxsize=1024)
def webhooks(channel: str, answer: str) -> Counter:
    """Return the counter of one channel and answer; cached, because `labels` takes a lock."""
    return WEBHOOKS.labels(channel, answer)


@lru_cache(maxsize=1024)
def signatures(account_sid: str, key: str) -> Counter:
    """Return the counter of one account's key."""
    return SIGNATURES.labels(account_sid, key)


# The maximum number of flows, and of targets, with a series of their own; all others share one. A process never drops
# a series.
_NAMED: Final = 1000
_flows: Final[set[str]] = set()
_targets: Final[set[str]] = set()


def match_failed(flow_sid: str) -> None:
    """Count a failed evaluation of a Match, by flow (`_NAMED`)."""
    MATCH_FAILED.labels(_named(flow_sid, _flows)).inc()


def attempted(integration_type: str, target: str, outcome: str, failure: str, seconds: float) -> None:
    """Count and time an attempt, by target (`_NAMED`)."""
    _attempts(integration_type, _named(target, _targets), outcome, failure).inc()
    _attempted(integration_type).observe(seconds)


@lru_cache(maxsize=4096)
def _attempts(integration_type: str, target: str, outcome: str, failure: str) -> Counter:
    return ATTEMPTS.labels(integration_type, target, outcome, failure)


@lru_cache(maxsize=64)
def _attempted(integration_type: str) -> Histogram:
    return ATTEMPTED.labels(integration_type)


def _named(name: str, known: set[str]) -> str:
    if name not in known and len(known) < _NAMED:
        known.add(name)
    return name if name in known else "others"
