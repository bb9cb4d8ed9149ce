"""The part of HTTP/1.1 that load generator and target need: messages with a Content-Length, persistent connections."""

from typing import Final

_END: Final = b"\r\n\r\n"
_LENGTH: Final = b"\r\ncontent-length:"


def message_length(buffer: bytes | bytearray) -> int:
    """Return the length of the first message in the buffer, headers and body; 0 while it is not complete.

    A message without a Content-Length has no body: load generator and target send no others.
    """
    head = buffer.find(_END)
    if head < 0:
        return 0
    lower = buffer[: head + 2].lower()
    start = lower.find(_LENGTH)
    length = head + len(_END)
    if start >= 0:
        start += len(_LENGTH)
        length += int(lower[start : lower.index(b"\r", start)])
    return length if len(buffer) >= length else 0
