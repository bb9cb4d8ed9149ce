"""How far a long command is: on a terminal only, on stderr, and never in what a program reads."""

import sys
from collections.abc import Iterable, Iterator
from typing import Any, Final, TypeVar

import click

from router.cli.terminal import unguarded

_Item = TypeVar("_Item")

# Of fewer, nobody waits for the end.
_MANY: Final = 1000


def progress(label: str, total: int) -> Any:
    """Return click's progress bar for `total` steps, which shows itself where there are many."""
    hidden = total < _MANY or not sys.stderr.isatty()
    return click.progressbar(length=total, label=label, file=unguarded(sys.stderr), hidden=hidden)


def watched(label: str, items: Iterable[_Item], total: int | None = None) -> Iterator[_Item]:
    """Give items as they come, and show how many there were; `total` is how many there will be, where it is known."""
    hidden = not sys.stderr.isatty() or (total is not None and total < _MANY)
    err = unguarded(sys.stderr)
    with click.progressbar(items, length=total, label=label, show_pos=True, file=err, hidden=hidden) as bar:
        yield from bar
