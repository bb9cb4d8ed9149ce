"""Buffers metrics in the process's memory, and writes them to their files once a second.

For each count prometheus-client takes a lock, reads the process id and writes to the file; a delivered message has nine
counts.
"""

from typing import Any, Final

# The interval of the writes, in seconds: a killed process loses the counts of at most this time.
WRITE_SECONDS: Final = 1.0


class Buffer:
    """The values of one process.

    It replaces prometheus-client's `ValueClass`. The greenlets of a process share it; threads must not.

    Args:
        written: prometheus-client's own class, whose values write to the files.
    """

    def __init__(self, written: Any) -> None:
        self._written = written
        self._changed: list[_Value] = []

    def __call__(self, *args: Any, **kwargs: Any) -> "_Value":
        """Make a value; prometheus-client's metrics call this."""
        return _Value(self._written(*args, **kwargs), self._changed)

    def write(self) -> None:
        """Write the values that have changed since the last write."""
        for value in self._changed:
            value.write()
        self._changed.clear()


class _Value:
    """One value: the value set, and the sum added, since the last write."""

    __slots__ = ("_added", "_changed", "_is_changed", "_set", "_written")

    def __init__(self, written: Any, changed: "list[_Value]") -> None:
        self._written = written
        self._changed = changed
        self._is_changed = False
        self._set: float | None = None
        self._added = 0.0

    def inc(self, amount: float) -> None:
        self._added += amount
        if not self._is_changed:
            self._note()

    def set(self, value: float, timestamp: float | None = None) -> None:  # noqa: ARG002 - prometheus-client's signature
        self._set, self._added = value, 0.0
        if not self._is_changed:
            self._note()

    def get(self) -> float:
        before: float = self._written.get() if self._set is None else self._set
        return before + self._added

    def write(self) -> None:
        if self._set is not None:
            self._written.set(self._set + self._added)
        elif self._added:
            self._written.inc(self._added)
        self._set, self._added, self._is_changed = None, 0.0, False

    def set_exemplar(self, exemplar: object) -> None:
        self._written.set_exemplar(exemplar)

    def get_exemplar(self) -> object:
        return self._written.get_exemplar()

    def _note(self) -> None:
        self._is_changed = True
        self._changed.append(self)
