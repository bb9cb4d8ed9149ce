"""One wide line for each message received and each attempt: an allow-list of fields, no bodies, no tokens.

The log is used by runtime.py, web/webhooks.py and delivery/report.py; other modules get a function of runtime.py. A new
event, or field, is a row of the tables below.

Values are masked by message/masking.py before they are passed to this module: `from` and `to` in web/webhooks.py, the
reason for a refused message in message/inbound.py, and the exceptions of handlers in integrations/handler.py.
"""

import json
import logging
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache
from select import PIPE_BUF
from typing import Any, Final, TextIO

from router.printable import printable

# The events, each with its levels and its meaning. docs/operations.md is generated from it.
EVENTS: Final[Mapping[str, tuple[str, str]]] = {
    "webhook": ("info, warning (4xx), error (503)", "A request to a webhook was answered: one line for each."),
    "chat": (
        "info, warning (4xx), error (5xx)",
        "A request for a new web chat, or with a visitor's message, was answered: one line for each.",
    ),
    "attempt": (
        "info, warning (retry, unrouted), error (undelivered)",
        "A message was sent to its target, or given up: one line for each attempt.",
    ),
    "late_answer": ("info", "A target answered when Twilio no longer waited; `reason` says what became of the answer."),
    "store": ("warning", "What the store does not guarantee has changed; `reason` says whether messages are accepted."),
    "process": (
        "warning",
        "A router's process was killed. The router fetches the messages that it may have missed.",
    ),
    "recovery": ("warning", "Messages that an account may have missed were fetched from Twilio, or could not be."),
    "account": ("warning", "The stored data of an account that no router serves any more were erased."),
    "fault": ("error", "An error that does not concern a single message; `reason` says where."),
}

# The fields, each with its meaning. Others are dropped, so that a programming mistake does not disclose anything.
# docs/operations.md is generated from it.
FIELDS: Final[Mapping[str, str]] = {
    "timestamp": "When the line was made, in UTC.",
    "level": "`info`: as usual. `warning`: may need a person. `error`: needs a person.",
    "pid": "The process.",
    "event": "See above.",
    "channel": "The channel in the path of the webhook.",
    "outcome": "Of a webhook: `accepted`, `unrouted`, `duplicate`, `expired` (a recorded request, sent again), "
    "`status_callback`, or `refused`. Of a web chat: `begun`, `resumed`, `accepted`, `duplicate`, or `refused`. Of an "
    "attempt: `delivered`, `retry`, `release` (not sent by this process now), `undelivered`, or `unrouted`.",
    "answer": "The HTTP status that Twilio got.",
    "seconds": "How many seconds it took to answer the webhook, or to send the message.",
    "key": "Which key of the account signed the webhook, as `auth_token[0]`.",
    "account_sid": "The account.",
    "message_sid": "The message.",
    "conversation_sid": "The conversation of a web chat.",
    "from": "The customer's address, masked.",
    "to": "The address that the customer wrote to, masked.",
    "error_code": "Twilio's ErrorCode, if the webhook has one.",
    "flex_flow_sid": "The flow that took the message.",
    "language": "The language that the flow was selected for, if any flow of the address has a condition.",
    "kept": "Whether the conversation kept its flow, instead of the one that the message alone would have.",
    "integration_type": "The type of the flow's integration.",
    "target": "The target: scheme and host of its URL, or its type and name.",
    "attempt": "The number of the attempt.",
    "round": "How often the message was replayed before.",
    "failure": "How the attempt failed: `refused` (nothing was processed), `failed` (the target said so), `unknown` "
    "(no answer came), or `permanent`.",
    "status": "The HTTP status of the target's answer.",
    "settled": "What the store did with the outcome: `done`, `next` (and the conversation's next message is sent), "
    "`late` (after another process had taken the message over), `stale` (no longer of use), or `lost` (the store did "
    "not answer).",
    "reason": "Why, in words; without text of customers.",
    "frames": "Where a handler raised an exception; without its text.",
    "content_type": "The type of an error answer of the target; its beginning is in the message's record only.",
    "accepted": "How many messages a recovery accepted.",
    "left": "How many messages a recovery left to `router recover`, by reason.",
    "failures": "How often a recovery has failed in a row.",
}

_encode = json.JSONEncoder(default=repr, separators=(",", ":")).encode
# The encoder of texts, with the same result as `_encode`; encoding texts is half the cost of a line.
_text: Final = json.encoder.encode_basestring_ascii
_WRITERS: Final[Mapping[type, Callable[[Any], str]]] = {str: _text, int: int.__repr__, float: float.__repr__}


class Lines:
    """JSON lines in a file.

    Lines of the level `info`, two for each delivered message, are buffered until the end of the event loop's round and
    written together, so a process that is killed may lose those of its last round. Any other line is written
    immediately, after the buffered ones.

    Args:
        file: the output, for example standard error.
        pid: this process's id.
        later: calls a function at the end of the round; None to write each line immediately.
    """

    def __init__(self, file: TextIO, pid: int, later: Callable[[Callable[[], None]], object] | None = None) -> None:
        self._file = file
        self._pid = pid
        self._later = later
        self._waiting: list[str] = []

    def info(self, event: str, **fields: Any) -> None:
        """Write a line at the end of the round."""
        self._waiting.append(self._json("info", event, fields))
        if self._later is None:
            self._write()
        elif len(self._waiting) == 1:
            self._later(self._write)

    def warning(self, event: str, **fields: Any) -> None:
        """Write a line about an event that may need a person."""
        self._at_once("warning", event, fields)

    def error(self, event: str, **fields: Any) -> None:
        """Write a line about an event that needs a person."""
        self._at_once("error", event, fields)

    def flush(self) -> None:
        """Write the buffered lines, and from now on each line immediately, because the event loop ends."""
        self._later = None
        self._write()

    def _at_once(self, level: str, event: str, fields: dict[str, Any]) -> None:
        self._waiting.append(self._json(level, event, fields))
        self._write()

    def _json(self, level: str, event: str, fields: Mapping[str, Any]) -> str:
        """Return a line as JSON, with the same fields as `_line`."""
        parts = [f'{{"timestamp":"{_now()}","level":"{level}","pid":{self._pid}']
        for name, value in fields.items():
            if value is not None and value != "" and name in FIELDS:
                parts.append(f'"{name}":{_WRITERS.get(type(value), _encode)(value)}')
        parts.append(f'"event":{_text(event)}}}\n')
        return ",".join(parts)

    def _write(self) -> None:
        """Write the buffered lines, in pieces that a pipe takes atomically, so that lines of processes do not mix."""
        waiting, self._waiting = self._waiting, []
        with suppress(OSError):  # a full disk, or a closed pipe, must not make messages fail
            part = ""
            for line in waiting:
                if len(part) + len(line) > PIPE_BUF:
                    self._file.write(part)
                    part = ""
                part += line
            self._file.write(part)
            self._file.flush()


class _Terminal:
    """Lines for people."""

    def __init__(self, pid: int) -> None:
        import structlog  # with rich it has 100 modules, needed for a terminal only

        log = structlog.wrap_logger(
            structlog.WriteLogger(sys.stderr),
            processors=[lambda _, level, fields: _shown(_line(level, fields)), structlog.dev.ConsoleRenderer()],
            wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        ).bind(pid=pid)
        self.info, self.warning, self.error = log.info, log.warning, log.error

    def flush(self) -> None:
        """Do nothing: each line is written immediately."""


def make_log(*, pid: int, later: Callable[[Callable[[], None]], object] | None = None) -> Any:
    """Make the log of a process: JSON lines on standard error, or text for people if that is a terminal.

    Args:
        pid: the process's id.
        later: as for `Lines`.
    """
    return _Terminal(pid) if sys.stderr.isatty() else Lines(sys.stderr, pid, later)


def _line(level: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return a line with the listed fields that are not empty."""
    listed = {name: value for name, value in fields.items() if value is not None and value != "" and name in FIELDS}
    return {"timestamp": _now(), "level": level} | listed


def _now() -> str:
    now = time.time_ns() // 1000
    return f"{_second(now // 1_000_000)}.{now % 1_000_000:06}Z"


@lru_cache(maxsize=1)
def _second(since_1970: int) -> str:
    return datetime.fromtimestamp(since_1970, UTC).isoformat()[:-6]


def _shown(line: dict[str, Any]) -> dict[str, Any]:
    """Remove control characters from texts, which may be from outside; in JSON they are escaped."""
    return {name: printable(value) if isinstance(value, str) else value for name, value in line.items()}
