"""The open event streams of one process, by chat."""

from collections import deque
from collections.abc import Callable
from typing import Any, Final

import gevent
from gevent.event import Event

from router import metrics

# A quarter of a process's connections (`worker_connections` in router/process/gunicorn_conf.py): half may be relays.
STREAMS_MOST: Final = 250
# The maximum number of streams of one chat, one for each tab. A further one ends the oldest.
OF_CHAT_MOST: Final = 4
# The maximum number of events that wait for a slow reader; older ones are dropped. Messages are not lost by this: they
# are read from the store.
_WAITING_MOST: Final = 20
_LOOK_SECONDS: Final = 0.25


class Stream:
    """One reader. `stale` is whether the chat has to be read again; `events` are those that the store does not keep."""

    def __init__(self) -> None:
        self.woken = Event()
        self.stale = False
        self.ended = False
        self.events: deque[dict[str, Any]] = deque(maxlen=_WAITING_MOST)

    def end(self) -> None:
        """Make the stream end soon."""
        self.ended = True
        self.woken.set()


class Streams:
    """All streams of the process."""

    def __init__(self, most: int = STREAMS_MOST) -> None:
        self._most = most
        self._of: dict[str, list[Stream]] = {}
        self._open = 0
        self._stopped = False

    def open(self, chat: str) -> Stream | None:
        """Open a stream of the chat "<AccountSid>:<CH…>"; return None if all streams are in use."""
        if self._stopped or self._open >= self._most:
            return None
        stream = Stream()
        others = self._of.setdefault(chat, [])
        others.append(stream)
        self._open += 1
        metrics.CHAT_STREAMS.set(self._open)
        if sum(not each.ended for each in others) > OF_CHAT_MOST:
            next(each for each in others if not each.ended).end()
        return stream

    def close(self, chat: str, stream: Stream) -> None:
        """Remove a stream."""
        others = self._of.get(chat, [])
        if stream in others:
            others.remove(stream)
            self._open -= 1
            metrics.CHAT_STREAMS.set(self._open)
        if not others:
            self._of.pop(chat, None)

    def hear(self, chat: str, event: dict[str, Any]) -> None:
        """Pass an event on to the streams of a chat."""
        for stream in self._of.get(chat, ()):
            if event.get("event") in {"typing", "changed"}:
                stream.events.append(event)
            else:
                stream.stale = True
            stream.woken.set()

    def wake(self) -> None:
        """Make all streams read their chats again, because events may have been missed."""
        for streams in self._of.values():
            for stream in streams:
                stream.stale = True
                stream.woken.set()

    def stop(self) -> None:
        """End all streams, and refuse new ones."""
        self._stopped = True
        for streams in self._of.values():
            for stream in streams:
                stream.end()

    def watch(self, stopping: Callable[[], bool]) -> None:
        """Stop as soon as the process does, because an open stream would delay the process's stop."""
        while not stopping():
            gevent.sleep(_LOOK_SECONDS)
        self.stop()
