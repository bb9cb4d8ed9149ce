"""One wide line for each message received and each attempt: an allow-list of fields, no bodies, no tokens.

What a line holds is masked where it is made, by message/masking.py: `from` and `to` in web/webhooks.py, the reason of
a message that is refused in message/inbound.py, and the exceptions of handlers in integrations/handler.py.
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

# Nothing else is ever written: a field that is not listed is dropped, so that a slip does not disclose anything.
FIELDS: Final = frozenset({
    "accepted", "account_sid", "answer", "attempt", "channel", "content_type", "conversation_sid", "error_code",
    "event", "failure", "failures", "flex_flow_sid", "frames", "from", "integration_type", "kept", "key", "language",
    "left", "level", "message_sid", "outcome", "pid", "reason", "round", "seconds", "settled", "status", "target",
    "timestamp", "to",
})  # fmt: skip

_encode = json.JSONEncoder(default=repr, separators=(",", ":")).encode
# How most values of a line are written, as `_encode` writes them; it costs as much as all else of a line.
_text: Final = json.encoder.encode_basestring_ascii
_WRITERS: Final[Mapping[type, Callable[[Any], str]]] = {str: _text, int: int.__repr__, float: float.__repr__}


class Lines:
    """JSON lines in a file.

    Lines of the level `info`, two for each message that is delivered, wait for the end of the event loop's round and
    are written together, so a process that is killed may lose those of its last round. Any other line is written at
    once, after those that wait.

    Args:
        file: what is written to, as standard error.
        pid: of this process.
        later: calls a function at the end of the round; None if each line is written at once.
    """

    def __init__(self, file: TextIO, pid: int, later: Callable[[Callable[[], None]], object] | None = None) -> None:
        self._file = file
        self._pid = pid
        self._later = later
        self._waiting: list[str] = []

    def info(self, event: str, **fields: Any) -> None:
        """Write a line soon."""
        self._waiting.append(self._json("info", event, fields))
        if self._later is None:
            self._write()
        elif len(self._waiting) == 1:
            self._later(self._write)

    def warning(self, event: str, **fields: Any) -> None:
        """Write a line about what may need a person."""
        self._at_once("warning", event, fields)

    def error(self, event: str, **fields: Any) -> None:
        """Write a line about what needs a person."""
        self._at_once("error", event, fields)

    def flush(self) -> None:
        """Write what waits, and from now on each line at once: the event loop ends."""
        self._later = None
        self._write()

    def _at_once(self, level: str, event: str, fields: dict[str, Any]) -> None:
        self._waiting.append(self._json(level, event, fields))
        self._write()

    def _json(self, level: str, event: str, fields: Mapping[str, Any]) -> str:
        """Write a line as JSON, of the same fields as `_line` makes it."""
        parts = [f'{{"timestamp":"{_now()}","level":"{level}","pid":{self._pid}']
        for name, value in fields.items():
            if value is not None and value != "" and name in FIELDS:
                parts.append(f'"{name}":{_WRITERS.get(type(value), _encode)(value)}')
        parts.append(f'"event":{_text(event)}}}\n')
        return ",".join(parts)

    def _write(self) -> None:
        """Write what waits. What is written at once fits a pipe: another process's lines do not come in between."""
        waiting, self._waiting = self._waiting, []
        with suppress(OSError):  # the disk is full, or no process reads the pipe: no message is refused for it
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
        import structlog  # and with it rich: 100 modules, for a terminal only

        log = structlog.wrap_logger(
            structlog.WriteLogger(sys.stderr),
            processors=[lambda _, level, fields: _shown(_line(level, fields)), structlog.dev.ConsoleRenderer()],
            wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        ).bind(pid=pid)
        self.info, self.warning, self.error = log.info, log.warning, log.error

    def flush(self) -> None:
        """Each line is written at once."""


def make_log(*, pid: int, later: Callable[[Callable[[], None]], object] | None = None) -> Any:
    """Make the log of a process: JSON lines on standard error, or text for people when that is a terminal.

    Args:
        pid: of the process.
        later: as `Lines` takes it.
    """
    return _Terminal(pid) if sys.stderr.isatty() else Lines(sys.stderr, pid, later)


def _line(level: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Make the line, of the fields that are listed and not empty."""
    listed = {name: value for name, value in fields.items() if value is not None and value != "" and name in FIELDS}
    return {"timestamp": _now(), "level": level} | listed


def _now() -> str:
    now = time.time_ns() // 1000
    return f"{_second(now // 1_000_000)}.{now % 1_000_000:06}Z"


@lru_cache(maxsize=1)
def _second(since_1970: int) -> str:
    return datetime.fromtimestamp(since_1970, UTC).isoformat()[:-6]


def _shown(line: dict[str, Any]) -> dict[str, Any]:
    """Keep what strangers wrote from steering the terminal; JSON escapes it by itself."""
    return {name: printable(value) if isinstance(value, str) else value for name, value in line.items()}
