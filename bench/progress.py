"""The progress of a long measurement."""

import time
from typing import Final

import click

_SECONDS: Final = 5.0


class Progress:
    """Prints the progress on stderr, every few seconds and at the end."""

    def __init__(self, what: str, total: int) -> None:
        self._what = what
        self._total = total
        self._begun = self._last = time.monotonic()

    def __call__(self, done: int) -> None:
        """Print the number of items done, unless it was printed less than five seconds ago."""
        now = time.monotonic()
        if done >= self._total or now - self._last >= _SECONDS:
            self._last = now
            rate = done / max(now - self._begun, 1e-9)
            click.echo(f"  {self._what}: {done:,} after {now - self._begun:.0f} s, {rate:,.0f}/s", err=True)
