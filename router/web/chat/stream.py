"""`GET /chat/events`: the events of a chat, as server-sent events or, for long polling, as JSON.

Subscribe, then read from the cursor, then wait: any other order could miss a message in between.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from random import uniform
from typing import Any, Final

import gevent
from flask import Response, request

from router.chat.streams import Stream, Streams
from router.chat.token import Visitor
from router.errors import StoreUnavailable
from router.store import Store
from router.store.chat_record import Look
from router.store.chats import MESSAGES_MOST
from router.web.chat.guard import answer, private, refusal
from router.web.chat.hang_up import watch
from router.web.chat.view import message_of, messages_of, server_event

# Proxies close connections that are idle for longer: nginx after 60 s, others after 30 s.
HEARTBEAT_SECONDS: Final = 15.0
# The approximate lifetime of a stream: rolling restarts drain within it, and load spreads over the processes.
STREAM_SECONDS: Final = 300.0
_JITTER: Final = 60.0
# Maximum seconds of a long poll, and the seconds after which the client polls again.
POLL_MOST: Final = 25.0
RETRY_SECONDS: Final = 3
# Seconds between two attempts to read while the store does not answer.
_AGAIN_SECONDS: Final = 2.0
_FAR: Final = 2**53


def events(visitor: Visitor, streams: Streams, store: Store) -> Response:
    """Answer a request for events of the visitor's chat."""
    name = f"{visitor.account_sid}:{visitor.conversation_sid}"
    if "wait" in request.args:
        return _poll(visitor, name, streams, store)
    cursor = _cursor(request.headers.get("Last-Event-ID", "-1"))
    opened = _open(streams, name)
    if opened is None:
        return answer(_news(_look(visitor, store, cursor)))
    stream, close = opened
    body = _Body(_stream(stream, visitor, store, cursor), close)
    response = Response(body, content_type="text/event-stream; charset=utf-8")
    response.headers["X-Accel-Buffering"] = "no"
    return private(response)


def _open(streams: Streams, name: str) -> tuple[Stream, Callable[[], None]] | None:
    """Open a stream that ends when the client hangs up, and return it with a function that closes it.

    Returns None if all streams of the process are in use.
    """
    stream = streams.open(name)
    if stream is None:
        return None
    unwatch = watch(request.environ.get("gunicorn.socket"), stream.end)

    def close() -> None:
        unwatch()
        streams.close(name, stream)

    return stream, close


class _Body:
    """The body of a stream; the server closes it even if it was never iterated."""

    def __init__(self, chunks: Iterator[bytes], close: Callable[[], None]) -> None:
        self._chunks = chunks
        self._close = close

    def __iter__(self) -> Iterator[bytes]:
        return self._chunks

    def close(self) -> None:
        """Close the stream."""
        self._close()


@dataclass(slots=True)
class _Seen:
    """The position of a stream: what it has sent so far."""

    cursor: int
    read: int = -1
    closed: bool = False

    def news(self, look: Look) -> Iterator[bytes]:
        """Yield the new events of a chat."""
        for index, message in look.messages:
            yield server_event("message", message_of(index, message), index)
        self.cursor = look.end - 1  # also if the browser's cursor was beyond the last message
        if look.read_agent > self.read:
            self.read = look.read_agent
            yield server_event("read", {"index": self.read})
        if look.state == "closed" and not self.closed:
            self.closed = True
            yield server_event("state", {"state": "closed", "by": look.closed_by or "agent"})


def _stream(stream: Stream, visitor: Visitor, store: Store, cursor: int) -> Iterator[bytes]:
    end = time.monotonic() + STREAM_SECONDS - uniform(0, _JITTER)  # noqa: S311 - it only spreads load
    seen = _Seen(cursor)
    stream.stale = True
    yield b": \nretry: 3000\n\n"
    while not stream.ended and time.monotonic() < end:
        stream.woken.clear()
        while stream.stale:
            stream.stale = False
            try:
                look = store.chats.look(
                    visitor.account_sid, visitor.conversation_sid, "after", seen.cursor, MESSAGES_MOST
                )
            except StoreUnavailable:
                stream.stale = True
                gevent.sleep(_AGAIN_SECONDS)
                break
            if look is None or look.epoch != visitor.epoch:
                return  # the next request is answered with the reason
            yield from seen.news(look)
            stream.stale = stream.stale or look.end < look.next
        while stream.events:
            yield from _event(stream.events.popleft(), visitor, store, seen.cursor)
        if not stream.stale and not stream.woken.wait(HEARTBEAT_SECONDS):
            stream.stale = True  # a notification may have been lost
            yield b": \n\n"


def _event(event: dict[str, Any], visitor: Visitor, store: Store, cursor: int) -> Iterator[bytes]:
    """Yield an event that is not stored: typing, or a changed message, whose `body` is null if it was removed."""
    name = str(event["event"])
    shown = {key: value for key, value in event.items() if key != "event"}  # other streams share the event
    if name == "changed":
        index = int(event["index"])
        if index > cursor:
            return  # the message has not been sent yet
        with suppress(StoreUnavailable):
            look = store.chats.look(visitor.account_sid, visitor.conversation_sid, "after", index - 1, 1)
            body = look.messages[0][1].body if look and look.messages else None
            yield server_event(name, shown | {"body": body})
    elif event.get("author") != visitor.identity:  # not the visitor's own typing, perhaps in another tab
        yield server_event(name, shown)


def _poll(visitor: Visitor, name: str, streams: Streams, store: Store) -> Response:
    after = _cursor(request.args.get("after", "-1"))
    seconds = min(_cursor(request.args["wait"]), POLL_MOST)
    opened = _open(streams, name) if seconds > 0 else None
    if opened is None:
        return answer(_news(_look(visitor, store, after)))
    stream, close = opened
    try:
        end = time.monotonic() + seconds
        while True:
            stream.woken.clear()
            look = _look(visitor, store, after)
            after = look.end - 1
            left = end - time.monotonic()
            if look.messages or look.state == "closed" or stream.ended or left <= 0:
                return answer(_news(look))
            if look.end == look.next:
                stream.woken.wait(left)
    finally:
        close()


def _look(visitor: Visitor, store: Store, after: int) -> Look:
    look = store.chats.look(visitor.account_sid, visitor.conversation_sid, "after", after, MESSAGES_MOST)
    if look is None:
        raise refusal(404, "The chat no longer exists")
    return look


def _news(look: Look) -> dict[str, Any]:
    return {
        "messages": messages_of(look.messages),
        "state": look.shown_state,
        "by": look.closed_by or None,
        "read": look.read_agent,
        "cursor": look.end - 1,
        "retry": RETRY_SECONDS,
    }


def _cursor(text: str) -> int:
    """Parse an index; -1 for a text that is not a number. An index beyond the last message counts as the last one."""
    digits = text.strip().removeprefix("-")
    if not digits.isascii() or not digits.isdecimal() or len(digits) > 15:  # noqa: PLR2004 - more than any chat has
        return -1
    return max(-1, min(int(text), _FAR))
