"""Which log lines are written together, and which at once."""

import io
import json
from collections.abc import Callable
from select import PIPE_BUF

from router.log import Lines


class _File(io.StringIO):
    """Records each write."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[str] = []

    def write(self, text: str) -> int:
        self.writes.append(text)
        return len(text)

    def events(self) -> list[list[str]]:
        """Return the events of each write."""
        return [[json.loads(line)["event"] for line in text.splitlines()] for text in self.writes]


def _lines() -> tuple[Lines, _File, list[Callable[[], None]]]:
    file = _File()
    round_: list[Callable[[], None]] = []
    return Lines(file, 7, round_.append), file, round_


def test_lines_of_one_round_are_written_together() -> None:
    """The info lines of one event loop round are written together, each once."""
    log, file, round_ = _lines()
    log.info("one", message_sid="SM1", secret="no")
    log.info("two", reason=None, status=0, failure="")
    assert file.writes == []
    round_.pop()()
    log.info("three")
    assert file.events() == [["one", "two"]]
    round_.pop()()
    assert file.events() == [["one", "two"], ["three"]]
    first, second = map(json.loads, file.writes[0].splitlines())
    assert first.keys() == {"timestamp", "level", "pid", "message_sid", "event"}
    assert (second["level"], second["pid"], second["status"]) == ("info", 7, 0)
    assert second.keys() == {"timestamp", "level", "pid", "status", "event"}


def test_a_line_is_json_for_any_value() -> None:
    """A line is ASCII JSON for any value; a value that JSON does not have is written as its repr."""
    log, file, round_ = _lines()
    given = {
        "reason": 'a "b"\n\\ •\ud800',
        "kept": True,
        "seconds": 0.25,
        "status": 200,
        "left": (1, "x"),
        "frames": {2},
    }
    log.info("one", **given)
    round_.pop()()
    written = json.loads(file.writes[0])
    assert {name: written[name] for name in given} == given | {"left": [1, "x"], "frames": "{2}"}
    assert file.writes[0].isascii()


def test_a_warning_is_written_at_once_after_waiting_lines() -> None:
    """A warning or error is written at once, after the lines that wait, and each line only once."""
    log, file, round_ = _lines()
    log.info("one")
    log.warning("two")
    assert file.events() == [["one", "two"]]
    log.error("three")
    round_.pop()()
    assert [event for written in file.events() for event in written] == ["one", "two", "three"]


def test_after_flush_each_line_is_written_at_once() -> None:
    """`flush` writes the lines that wait, and later lines are written at once."""
    log, file, round_ = _lines()
    log.info("one")
    log.flush()
    log.info("two")
    assert [event for written in file.events() for event in written] == ["one", "two"]
    assert len(round_) == 1


def test_each_write_is_whole_lines_that_fit_a_pipe() -> None:
    """Each write is whole lines of at most PIPE_BUF bytes, so the lines of several processes do not mix."""
    log, file, round_ = _lines()
    for number in range(100):
        log.info("event", reason=f"{number} {'x' * 100}")
    round_.pop()()
    assert all(len(text) <= PIPE_BUF and text.endswith("\n") for text in file.writes)
    assert len("".join(file.writes).splitlines()) == 100
    assert len(file.writes) < 10


def test_a_full_disk_does_not_make_logging_fail() -> None:
    """Logging to a full disk raises no exception into the request, and later lines are written when there is space."""

    class Disk(_File):
        full = True

        def write(self, text: str) -> int:
            if self.full:
                raise OSError(28, f"No space left on device for {len(text)} characters")
            return super().write(text)

    file, round_ = Disk(), list[Callable[[], None]]()
    log = Lines(file, 7, round_.append)
    log.info("one")
    round_.pop()()
    log.error("two")
    file.full = False
    log.info("three")
    round_.pop()()
    assert file.events() == [["three"]]
