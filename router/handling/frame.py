"""The protocol between a worker and its child, over a pair of sockets."""

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

# A call: length of the rest, number, deadline in monotonic seconds, length of the name; then name and packed request.
_CALL: Final = struct.Struct("!IQdH")
# A reply: length of the rest, number, kind; then what it says.
_REPLY: Final = struct.Struct("!IQB")
_LENGTH: Final = struct.Struct("!I")


class Kind(IntEnum):
    """What a reply says. Number 0 is of none of the calls: the child has begun, or could not."""

    READY = 0
    """The handlers are imported."""

    UNUSABLE = 1
    """One of them could not be: its name, and why."""

    ANSWER = 2
    """The handler returned: the TwiML, as bytes."""

    WRONG_TYPE = 3
    """It returned something else: the name of the type."""

    UNDELIVERABLE = 4
    """It raised `Undeliverable`: the reason."""

    RAISED = 5
    """It raised something else: the name of the exception, its text, and the last frames of its traceback."""

    ENDED = 6
    """It was ended at its deadline."""

    NOT_BEGUN = 7
    """It was not called: the deadline had passed before its turn came."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What the child says of a call."""

    number: int
    kind: Kind
    body: bytes

    @property
    def words(self) -> list[str]:
        """What it says, where it is no answer."""
        return [str(word) for word in json.loads(self.body)]


@dataclass(frozen=True, slots=True)
class Request:
    """What the worker asks for: the handler's name, the packed request, and when it must have ended."""

    number: int
    deadline: float
    name: str
    raw: bytes


def pack_request(request: Request) -> bytes:
    """Write a request."""
    name = request.name.encode()
    length = _CALL.size - _LENGTH.size + len(name) + len(request.raw)
    return b"".join((_CALL.pack(length, request.number, request.deadline, len(name)), name, request.raw))


def read_request(frame: bytes) -> Request:
    """Read what `pack_request` wrote."""
    _, number, deadline, length = _CALL.unpack_from(frame)
    begin = _CALL.size + length
    return Request(number, deadline, frame[_CALL.size : begin].decode(), frame[begin:])


def pack_reply(number: int, kind: Kind, body: bytes = b"", words: tuple[str, ...] = ()) -> bytes:
    """Write a reply that says `body`, or these words."""
    content = json.dumps(words).encode() if words else body
    return _REPLY.pack(_REPLY.size - _LENGTH.size + len(content), number, kind) + content


def read_reply(frame: bytes) -> Reply:
    """Read what `pack_reply` wrote."""
    _, number, kind = _REPLY.unpack_from(frame)
    return Reply(number, Kind(kind), frame[_REPLY.size :])


class Frames:
    """Cuts a stream into frames."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take what was read, and give the frames that are complete with it."""
        self._rest += data
        while len(self._rest) >= _LENGTH.size:
            end = _LENGTH.size + _LENGTH.unpack_from(self._rest)[0]
            if len(self._rest) < end:
                return
            yield bytes(self._rest[:end])
            del self._rest[:end]
