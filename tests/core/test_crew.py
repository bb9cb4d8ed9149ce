"""Crew runs functions in greenlets that it reuses."""

from threading import Thread
from typing import Any

import gevent
import pytest
from gevent.event import Event

from router.crew import Crew


def test_a_greenlet_that_is_done_runs_the_next_function() -> None:
    """A greenlet that is done runs the next function: no more are made than functions run at once."""
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


def test_a_crew_keeps_at_most_its_size_of_idle_greenlets() -> None:
    """After five functions at once, a Crew of two keeps two idle greenlets, and the others end."""
    crew = Crew(2)
    seen: list[Any] = []
    for _ in range(5):
        crew.spawn(lambda: seen.append(gevent.getcurrent()))
    crew.join(10)
    gevent.sleep(0)
    assert len(seen) == 5
    assert sum(not greenlet.dead for greenlet in seen) == 2


def test_an_exception_is_printed_and_the_greenlet_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    """An exception of a function is printed, and the next function still runs."""
    crew = Crew(1)
    seen: list[str] = []
    crew.spawn(lambda: 1 / 0)
    crew.join(10)
    crew.spawn(seen.append, "next")
    crew.join(10)
    assert seen == ["next"]
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_a_timeout_that_a_function_left_running_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """A gevent.Timeout that a function left running is printed, and the next function still runs."""
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
    """Each thread gets its own greenlets: an idle one of another thread's event loop cannot be switched to."""
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


def test_join_returns_after_its_timeout() -> None:
    """`join` returns after its timeout; `busy` then counts the functions that still run."""
    crew, never = Crew(1), Event()
    crew.spawn(never.wait)
    crew.join(0.01)
    assert crew.busy == 1
    never.set()
    crew.join(10)
    assert crew.busy == 0
