"""How far something is that takes long."""

import time
from typing import Final

import click

_SECONDS: Final = 5.0


class Told:
    """Tells on stderr how far something is, every few seconds and at its end."""

    def __init__(self, what: str, total: int) -> None:
        self._what = what
        self._total = total
        self._begun = self._last = time.monotonic()

    def __call__(self, done: int) -> None:
        """Tell that so much is done."""
        now = time.monotonic()
        if done >= self._total or now - self._last >= _SECONDS:
            self._last = now
            rate = done / max(now - self._begun, 1e-9)
            click.echo(f"  {self._what}: {done:,} after {now - self._begun:.0f} s, {rate:,.0f}/s", err=True)
