"""A page of shared memory on which a child records its current call. Its worker reads it, even if the child blocks."""

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
    """The state of a child: the call whose code runs (0: none), since when (monotonic seconds), the last call begun."""

    running: int
    since: float
    begun: int


def new_page() -> int:
    """Return the descriptor of an empty page, which is freed when its last descriptor is closed."""
    # Not a file on disk: the child would wait whenever the kernel writes the page back.
    descriptor = os.memfd_create("handlers") if hasattr(os, "memfd_create") else _unlinked_file()
    os.ftruncate(descriptor, _SIZE)
    return descriptor


def _unlinked_file() -> int:
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


class Board:
    """The shared page; it stays mapped when its descriptor is closed. All processes have the same monotonic clock."""

    def __init__(self, descriptor: int) -> None:
        self._page = mmap.mmap(descriptor, _SIZE)

    def switch(self, number: int, now: float) -> None:
        """Record that the code of a call runs from now on; 0 if no call runs."""
        _RUNNING.pack_into(self._page, 0, number, now)

    def begin(self, number: int) -> None:
        """Record that a call has begun; calls begin in the order of their numbers."""
        _BEGUN.pack_into(self._page, _RUNNING.size, number)

    def read(self) -> Moment:
        """Read the state of the child."""
        return Moment(*_RUNNING.unpack_from(self._page), *_BEGUN.unpack_from(self._page, _RUNNING.size))

    def close(self) -> None:
        """Unmap the page."""
        self._page.close()
