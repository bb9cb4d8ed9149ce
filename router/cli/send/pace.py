"""Sends many items at their times: in order within a conversation, and several conversations at once."""

import time
from collections import deque
from collections.abc import Callable, Hashable, Iterable
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from threading import Event, Lock
from typing import Final, Generic, TypeVar

T = TypeVar("T")

# Conversations at once: one process of a router can easily handle so many.
_AT_ONCE: Final = 64


@dataclass(slots=True)
class Pace(Generic[T]):
    """Sends items.

    Args:
        send: sends one item; called by many threads, but by one at a time for a lane. An error ends everything.
        lane: returns the conversation of an item.
        at_once: how many conversations are sent at once.
    """

    send: Callable[[T], None]
    lane: Callable[[T], Hashable]
    at_once: int = _AT_ONCE
    _lanes: dict[Hashable, deque[T]] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)
    _stopped: Event = field(default_factory=Event)
    _failure: list[BaseException] = field(default_factory=list)

    def run(self, items: Iterable[tuple[float, T]]) -> None:
        """Send every item at its time, in seconds from now, or when the earlier items of its conversation are sent.

        Args:
            items: the items with their times, in ascending order.

        Raises:
            BaseException: the error of `send`, or KeyboardInterrupt; the remaining items are not sent.
        """
        began = time.monotonic()
        with ThreadPoolExecutor(self.at_once) as pool:
            futures = set()
            try:
                for at, item in items:
                    if (left := began + at - time.monotonic()) > 0:
                        self._stopped.wait(left)
                    if self._stopped.is_set():
                        break
                    if self._joins(item):
                        futures.add(pool.submit(self._drain, self.lane(item)))
                        if len(futures) > 4 * self.at_once:  # bounds the memory; finished ones are dropped
                            futures = wait(futures, return_when="FIRST_COMPLETED").not_done
                wait(futures)
            except BaseException:
                self._stopped.set()
                raise
        if self._failure:
            raise self._failure[0]

    def _joins(self, item: T) -> bool:
        """Put an item into its lane; return whether the lane is new, and has to be drained."""
        with self._lock:
            waiting = self._lanes.get(self.lane(item))
            if waiting is not None:
                waiting.append(item)
                return False
            self._lanes[self.lane(item)] = deque((item,))
            return True

    def _drain(self, lane: Hashable) -> None:
        while not self._stopped.is_set():
            with self._lock:
                if not self._lanes[lane]:
                    del self._lanes[lane]
                    return
                item = self._lanes[lane].popleft()
            try:
                self.send(item)
            except BaseException as error:  # noqa: BLE001 - `run` raises it
                self._failure.append(error)
                self._stopped.set()
                return
