"""The protocol between a worker and its child, over a pair of sockets."""

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

# A call: length of the rest, number, deadline in monotonic seconds, length of the name; then name and packed request.
_CALL: Final = struct.Struct("!IQdH")
# A reply: length of the rest, number, kind; then its content.
_REPLY: Final = struct.Struct("!IQB")
_LENGTH: Final = struct.Struct("!I")


class Kind(IntEnum):
    """The kinds of replies. Number 0 is not a call: the child has started, or could not."""

    READY = 0
    """The handlers are imported."""

    UNUSABLE = 1
    """A handler could not be imported: its name, and the reason."""

    ANSWER = 2
    """The handler returned: the TwiML, as bytes."""

    WRONG_TYPE = 3
    """The handler returned an invalid type: the name of the type."""

    UNDELIVERABLE = 4
    """The handler raised `Undeliverable`: the reason."""

    RAISED = 5
    """The handler raised another exception: its name, its text, and the last frames of its traceback."""

    ENDED = 6
    """The handler was interrupted at its deadline."""

    NOT_BEGUN = 7
    """The handler was not called: the deadline had already passed."""


@dataclass(frozen=True, slots=True)
class Reply:
    """The child's reply to a call."""

    number: int
    kind: Kind
    body: bytes

    @property
    def words(self) -> list[str]:
        """The texts of a reply that is not an answer."""
        return [str(word) for word in json.loads(self.body)]


@dataclass(frozen=True, slots=True)
class Request:
    """A call: the handler's name, the packed request, and its deadline."""

    number: int
    deadline: float
    name: str
    raw: bytes


def pack_request(request: Request) -> bytes:
    """Pack a request."""
    name = request.name.encode()
    length = _CALL.size - _LENGTH.size + len(name) + len(request.raw)
    return b"".join((_CALL.pack(length, request.number, request.deadline, len(name)), name, request.raw))


def read_request(frame: bytes) -> Request:
    """Unpack a request."""
    _, number, deadline, length = _CALL.unpack_from(frame)
    begin = _CALL.size + length
    return Request(number, deadline, frame[_CALL.size : begin].decode(), frame[begin:])


def pack_reply(number: int, kind: Kind, body: bytes = b"", words: tuple[str, ...] = ()) -> bytes:
    """Pack a reply with a body, or with these texts."""
    content = json.dumps(words).encode() if words else body
    return _REPLY.pack(_REPLY.size - _LENGTH.size + len(content), number, kind) + content


def read_reply(frame: bytes) -> Reply:
    """Unpack a reply."""
    _, number, kind = _REPLY.unpack_from(frame)
    return Reply(number, Kind(kind), frame[_REPLY.size :])


class Frames:
    """Splits a stream into frames."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Add data, and yield the frames that are now complete."""
        self._rest += data
        while len(self._rest) >= _LENGTH.size:
            end = _LENGTH.size + _LENGTH.unpack_from(self._rest)[0]
            if len(self._rest) < end:
                return
            yield bytes(self._rest[:end])
            del self._rest[:end]
