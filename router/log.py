"""One wide line for each message received and each attempt: an allow-list of fields, no bodies, no tokens."""

import logging
import sys
from typing import Any, Final

import structlog

# Nothing else is ever written: a field that is not listed is dropped, so that a slip does not disclose anything.
FIELDS: Final = frozenset({
    "account_sid", "answer", "attempt", "channel", "error_code", "event", "failure", "flex_flow_sid", "from",
    "integration_type", "kept", "key", "kind", "language", "level", "message_sid", "outcome", "pid", "reason", "round",
    "seconds", "settled", "status", "target", "timestamp", "to",
})  # fmt: skip


def _only_listed(_: object, __: str, fields: structlog.typing.EventDict) -> structlog.typing.EventDict:
    return {name: value for name, value in fields.items() if name in FIELDS and value not in ("", None)}


def make_log(*, pid: int) -> Any:
    """Make the log of a process: JSON lines on standard error, or text for people when that is a terminal."""
    terminal = sys.stderr.isatty()
    render: Any = structlog.dev.ConsoleRenderer() if terminal else structlog.processors.JSONRenderer()
    return structlog.wrap_logger(
        structlog.WriteLogger(sys.stderr),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _only_listed,
            render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        pid=pid,
    )
