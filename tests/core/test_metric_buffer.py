"""Metric counts are kept in memory and written once a second."""

from typing import Any

from prometheus_client.values import MutexValue

from router.metric_buffer import Buffer

_NAMED = ("counter", "made", "made_total", (), (), "What is counted.")


def _made() -> tuple[Buffer, list[Any]]:
    """Return a buffer and the list of values that it writes to."""
    written: list[Any] = []

    def make(*given: object, **named: object) -> Any:
        written.append(MutexValue(*given, **named))  # type: ignore[no-untyped-call]
        return written[-1]

    return Buffer(make), written


def test_counts_are_written_together() -> None:
    """The process sees a count at once, its file has it after `write`, and each count is written once."""
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
    """A gauge has the value set last plus what was added since, also after a `write`."""
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
