"""Counts in the process's memory, written to the files of the metrics once a second.

A count of prometheus-client takes a lock, asks for the process id and writes to the file; a message that is delivered
is counted nine times.
"""

from typing import Any, Final

# How often the files are written, in seconds: what a killed process loses of its counts.
WRITE_SECONDS: Final = 1.0


class Buffer:
    """The values of one process.

    It takes the place of prometheus-client's `ValueClass`. The greenlets of a process share it; threads must not.

    Args:
        written: makes the values that are written to: prometheus-client's own class.
    """

    def __init__(self, written: Any) -> None:
        self._written = written
        self._changed: list[_Value] = []

    def __call__(self, *given: Any, **named: Any) -> "_Value":
        """Make a value, as prometheus-client's metrics do."""
        return _Value(self._written(*given, **named), self._changed)

    def write(self) -> None:
        """Write what has changed since the last time."""
        for value in self._changed:
            value.write()
        self._changed.clear()


class _Value:
    """One value: what was set and added since it was written last."""

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
