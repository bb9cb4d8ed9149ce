"""Sends many items at their times: in order within a conversation, and several conversations at once."""

import time
from collections.abc import Callable, Hashable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event
from typing import TypeVar

T = TypeVar("T")


def send_paced(
    items: Iterable[tuple[float, T]], send: Callable[[T], None], lane: Callable[[T], Hashable], at_once: int
) -> None:
    """Send every item at its time, in seconds from now, or when the earlier items of its conversation are sent.

    The items are in ascending order of their times; `lane` returns the conversation of an item. `at_once` workers send
    them, all items of a conversation by the same worker. After the first error of `send`, or Ctrl-C, the remaining
    items are not sent, and the error is raised.
    """
    began, stopped = time.monotonic(), Event()
    workers = [ThreadPoolExecutor(1) for _ in range(at_once)]
    places: dict[Hashable, int] = {}
    futures: list[Future[None]] = []

    def attempt(item: T) -> None:
        try:
            if not stopped.is_set():
                send(item)
        except BaseException:
            stopped.set()
            raise

    try:
        for at, item in items:
            stopped.wait(max(0.0, began + at - time.monotonic()))
            if stopped.is_set():
                break
            place = places.setdefault(lane(item), len(places) % at_once)
            futures.append(workers[place].submit(attempt, item))
        for each in futures:
            each.result()
    finally:
        stopped.set()
        for worker in workers:
            worker.shutdown()
