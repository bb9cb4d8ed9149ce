"""Counts are kept in memory, and written once a second."""

from typing import Any

from prometheus_client.values import MutexValue

from router.metric_buffer import Buffer

_NAMED = ("counter", "made", "made_total", (), (), "What is counted.")


def _made() -> tuple[Buffer, list[Any]]:
    """Return a buffer, and what it writes to."""
    written: list[Any] = []

    def make(*given: object, **named: object) -> Any:
        written.append(MutexValue(*given, **named))  # type: ignore[no-untyped-call]
        return written[-1]

    return Buffer(make), written


def test_counts_are_written_together() -> None:
    """What was counted can be read at once in the process, and by others after `write`, each count once."""
    buffer, written = _made()
    value = buffer(*_NAMED)
    for _ in range(3):
        value.inc(1)
    assert (value.get(), written[0].get()) == (3, 0)
    buffer.write()
    buffer.write()
    assert (value.get(), written[0].get()) == (3, 3)
    value.inc(2)
    buffer.write()
    assert (value.get(), written[0].get()) == (5, 5)


def test_a_gauge_has_what_was_set_last() -> None:
    """What was added before does not count, what was added since does; and so on after a `write`."""
    buffer, written = _made()
    value = buffer(*_NAMED)
    value.inc(5)
    value.set(2)
    value.inc(-1)
    assert value.get() == 1
    buffer.write()
    assert written[0].get() == 1
    value.inc(-1)
    buffer.write()
    assert (value.get(), written[0].get()) == (0, 0)
