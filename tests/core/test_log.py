"""The log: which lines are written together, and which at once."""

import io
import json
from collections.abc import Callable
from select import PIPE_BUF

from router.log import Lines


class _File(io.StringIO):
    """Notes what is written at once."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[str] = []

    def write(self, text: str) -> int:
        self.writes.append(text)
        return len(text)

    def events(self) -> list[list[str]]:
        """Return the events, by what was written at once."""
        return [[json.loads(line)["event"] for line in text.splitlines()] for text in self.writes]


def _lines() -> tuple[Lines, _File, list[Callable[[], None]]]:
    file = _File()
    round_: list[Callable[[], None]] = []
    return Lines(file, 7, round_.append), file, round_


def test_lines_of_one_round_are_written_together() -> None:
    """And each line once: what comes after the round waits for the next one."""
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


def test_a_line_is_json_whatever_it_says() -> None:
    """Texts are escaped, and other values written as JSON has them; what it has not is shown as Python does."""
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


def test_what_needs_a_person_is_written_at_once() -> None:
    """In its order, after the lines that wait; the round finds nothing left."""
    log, file, round_ = _lines()
    log.info("one")
    log.warning("two")
    assert file.events() == [["one", "two"]]
    log.error("three")
    round_.pop()()
    assert [event for written in file.events() for event in written] == ["one", "two", "three"]


def test_nothing_waits_at_the_end() -> None:
    """After `flush` there is no next round."""
    log, file, round_ = _lines()
    log.info("one")
    log.flush()
    log.info("two")
    assert [event for written in file.events() for event in written] == ["one", "two"]
    assert len(round_) == 1


def test_lines_of_several_processes_do_not_mix() -> None:
    """What is written at once is whole lines, and no more than a pipe takes in one piece."""
    log, file, round_ = _lines()
    for number in range(100):
        log.info("event", reason=f"{number} {'x' * 100}")
    round_.pop()()
    assert all(len(text) <= PIPE_BUF and text.endswith("\n") for text in file.writes)
    assert len("".join(file.writes).splitlines()) == 100
    assert len(file.writes) < 10


def test_a_log_that_cannot_be_written_stops_nothing() -> None:
    """Where the disk is full, or the reader is gone, the message was still taken."""

    class Full(_File):
        def write(self, text: str) -> int:
            raise OSError(28, f"No space left on device for {len(text)} characters")

    Lines(Full(), 7).info("webhook")
