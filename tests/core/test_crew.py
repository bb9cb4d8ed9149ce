"""Greenlets that stay: each function runs once, in a greenlet that may have run another one before."""

from threading import Thread
from typing import Any

import gevent
import pytest
from gevent.event import Event

from router.crew import Crew


def test_a_greenlet_that_is_done_runs_the_next_function() -> None:
    """As many greenlets are made as functions run at a time."""
    crew = Crew(8)
    seen: list[tuple[int, object]] = []

    def note(number: int, *, pause: float = 0) -> None:
        gevent.sleep(pause)
        seen.append((number, gevent.getcurrent()))

    for number in range(3):
        crew.spawn(note, number)
    crew.join(10)
    for number in range(3, 6):
        crew.spawn(note, number, pause=0.001)
    crew.join(10)
    assert sorted(number for number, _ in seen) == [0, 1, 2, 3, 4, 5]
    assert len({greenlet for _, greenlet in seen}) == 3
    assert crew.busy == 0


def test_no_more_wait_than_were_wanted() -> None:
    """After a crowd, the other greenlets end."""
    crew = Crew(2)
    seen: list[Any] = []
    for _ in range(5):
        crew.spawn(lambda: seen.append(gevent.getcurrent()))
    crew.join(10)
    gevent.sleep(0)
    assert len(seen) == 5
    assert sum(not greenlet.dead for greenlet in seen) == 2


def test_an_exception_is_printed_and_ends_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """The greenlet goes on with the next function."""
    crew = Crew(1)
    seen: list[str] = []
    crew.spawn(lambda: 1 / 0)
    crew.join(10)
    crew.spawn(seen.append, "next")
    crew.join(10)
    assert seen == ["next"]
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_a_deadline_that_was_left_open_ends_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """It comes while the greenlet waits, is printed, and the next function runs."""
    crew = Crew(1)
    seen: list[str] = []
    crew.spawn(gevent.Timeout.start_new, 0.001)
    crew.join(10)
    gevent.sleep(0.01)
    crew.spawn(seen.append, "next")
    crew.join(1)
    assert seen == ["next"]
    assert "Timeout" in capsys.readouterr().err


def test_a_thread_has_greenlets_of_its_own() -> None:
    """One that waits in the event loop of another thread cannot be switched to."""
    crew = Crew(4)
    seen: list[str] = []
    crew.spawn(seen.append, "here")
    crew.join(10)

    def run() -> None:
        crew.spawn(seen.append, "there")
        gevent.sleep(0.001)

    thread = Thread(target=run)
    thread.start()
    thread.join(10)
    assert seen == ["here", "there"]


def test_waiting_for_the_end_has_a_limit() -> None:
    """What still runs then is told by `busy`."""
    crew, never = Crew(1), Event()
    crew.spawn(never.wait)
    crew.join(0.01)
    assert crew.busy == 1
    never.set()
    crew.join(10)
    assert crew.busy == 0
