"""A page of memory on which a child writes what it does. Its worker reads it, also while the child is blocked."""

import mmap
import os
import struct
import tempfile
from dataclasses import dataclass
from typing import Final

_RUNNING: Final = struct.Struct("=Qd")
_BEGUN: Final = struct.Struct("=Q")
_SIZE: Final = 4096


@dataclass(frozen=True, slots=True)
class Moment:
    """What a child does: the call whose code runs (0: none), since when in monotonic seconds, the last one begun."""

    running: int
    since: float
    begun: int


def new_page() -> int:
    """Return the descriptor of an empty page, which is freed when its last descriptor is closed."""
    # In a file on a disk the page would be written back now and then, and the child would wait for it meanwhile.
    descriptor = os.memfd_create("handlers") if hasattr(os, "memfd_create") else _unlinked_file()
    os.ftruncate(descriptor, _SIZE)
    return descriptor


def _unlinked_file() -> int:
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


class Board:
    """The page, which is held also when its descriptor is closed; monotonic seconds are the same for all processes."""

    def __init__(self, descriptor: int) -> None:
        self._page = mmap.mmap(descriptor, _SIZE)

    def switch(self, number: int, now: float) -> None:
        """Write that the code of a call runs from now on; 0 for that of none."""
        _RUNNING.pack_into(self._page, 0, number, now)

    def begin(self, number: int) -> None:
        """Write that a call has begun; they begin in the order of their numbers."""
        _BEGUN.pack_into(self._page, _RUNNING.size, number)

    def read(self) -> Moment:
        """Read what the child does now."""
        return Moment(*_RUNNING.unpack_from(self._page), *_BEGUN.unpack_from(self._page, _RUNNING.size))

    def close(self) -> None:
        """Let go of the page."""
        self._page.close()
