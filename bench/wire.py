"""As much of HTTP/1.1 as the benchmark's own ends need: messages with a Content-Length, over kept connections."""

from typing import Final

_END: Final = b"\r\n\r\n"
_LENGTH: Final = b"\r\ncontent-length:"


def message_length(buffer: bytes | bytearray) -> int:
    """Return how many bytes the first message in the buffer has, head and body; 0 while it is not all there.

    A message without a Content-Length has no body: neither end sends any other.
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
