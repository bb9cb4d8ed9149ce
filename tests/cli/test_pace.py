"""Sending many items at their times: conversations keep their order and do not wait for each other."""

import threading
from collections.abc import Callable, Iterable

import pytest

from router.cli.send.pace import send_paced
from tests.waiting import wait_until


def paced(items: Iterable[tuple[float, str]], send: Callable[[str], None], at_once: int = 8) -> None:
    """Send words, whose first letter is their conversation."""
    send_paced(items, send, lambda word: word[0], at_once)


def test_a_conversation_keeps_its_order_and_does_not_wait_for_others() -> None:
    """While the first of one conversation is not done, its next wait, and those of another go."""
    gate, sent = threading.Event(), list[str]()

    def send(word: str) -> None:
        if word == "a1":
            gate.wait(10)
        sent.append(word)
        if word == "b3":
            gate.set()

    paced(((0, word) for word in ("a1", "a2", "b1", "a3", "b2", "b3")), send)
    assert sent[:3] == ["b1", "b2", "b3"]
    assert [word for word in sent if word[0] == "a"] == ["a1", "a2", "a3"]


def test_nothing_goes_before_its_time() -> None:
    """A later time is waited for, and what is sent is not kept up by that wait."""
    done = threading.Event()
    sent: list[str] = []

    def items() -> list[tuple[float, str]]:
        return [(0, "a"), (3600, "b")]

    def send(word: str) -> None:
        sent.append(word)
        if word == "a":
            done.set()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        paced(items(), send)
    assert done.is_set()
    assert sent == ["a"]


def test_what_a_sender_raises_ends_it() -> None:
    """The rest is not sent, and the error is raised."""
    sent: list[str] = []

    def send(word: str) -> None:
        sent.append(word)
        raise ValueError(word)

    with pytest.raises(ValueError, match="a1"):
        paced(((0, f"a{n}") for n in range(1, 1000)), send, at_once=1)
    assert sent == ["a1"]


def test_no_more_are_under_way_than_wanted() -> None:
    """Ten conversations, three at once."""
    lock, inside, most, opened = threading.Lock(), [0], [0], threading.Event()

    def send(_: str) -> None:
        with lock:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
        opened.wait(10)
        with lock:
            inside[0] -= 1

    running = threading.Thread(target=lambda: paced(((0, letter) for letter in "abcdefghij"), send, at_once=3))
    running.start()
    wait_until(lambda: inside[0] == 3, what="three are under way")
    opened.set()
    running.join(10)
    assert most[0] == 3
