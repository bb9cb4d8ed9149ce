"""Progress on a terminal, on stderr."""

import sys
from collections.abc import Iterable, Iterator
from typing import Any, Final, TypeVar

import click

from router.cli.terminal import unguarded

# Progress is shown only for at least so many items, and updated at most so many times: each update is written out.
_MANY: Final = 1000
_STEPS: Final = 200
_Item = TypeVar("_Item")


def progress(label: str, total: int, *, least: int = _MANY) -> Any:
    """Return click's progress bar for `total` steps; it is shown only on a terminal and for at least `least` steps."""
    hidden = total < least or not sys.stderr.isatty()
    steps, err = max(1, total // _STEPS), unguarded(sys.stderr)
    return click.progressbar(length=total, label=label, show_pos=True, file=err, hidden=hidden, update_min_steps=steps)


def watched(label: str, items: Iterable[_Item], total: int | None = None, *, shown: bool = True) -> Iterator[_Item]:
    """Yield items, and show their number so far on stderr if it is a terminal; for few items nothing is shown.

    `total` is the number of all items, if it is known; `shown=False` shows nothing.
    """
    hidden = not (shown and sys.stderr.isatty()) or (total is not None and total < _MANY)
    err, steps = unguarded(sys.stderr), max(1, (total or _MANY) // _STEPS)
    with click.progressbar(
        items, length=total, label=label, show_pos=True, file=err, hidden=hidden, update_min_steps=steps
    ) as bar:
        yield from bar
