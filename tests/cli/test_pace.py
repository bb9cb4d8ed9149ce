"""Sending many items at their times, in order within each conversation and in parallel between them."""

import threading
from collections.abc import Callable, Iterable

import pytest

from router.cli.send.pace import send_paced
from tests.waiting import wait_until


def paced(items: Iterable[tuple[float, str]], send: Callable[[str], None], at_once: int = 8) -> None:
    """Send words; the first letter of a word is its conversation."""
    send_paced(items, send, lambda word: word[0], at_once)


def test_a_conversation_keeps_its_order_and_does_not_wait_for_others() -> None:
    """Items of one conversation are sent in order, and those of another do not wait for them."""
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


def test_an_item_is_not_sent_before_its_time() -> None:
    """An item is not sent before its time, and does not delay the items before it."""
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


def test_an_error_while_sending_stops_the_rest() -> None:
    """An exception while sending is raised, and no further item is sent."""
    sent: list[str] = []

    def send(word: str) -> None:
        sent.append(word)
        raise ValueError(word)

    with pytest.raises(ValueError, match="a1"):
        paced(((0, f"a{n}") for n in range(1, 1000)), send, at_once=1)
    assert sent == ["a1"]


def test_at_most_at_once_items_are_sent_in_parallel() -> None:
    """With `at_once=3`, three of ten conversations send at a time."""
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
