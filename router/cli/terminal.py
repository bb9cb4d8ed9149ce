"""Replaces the control characters in everything that commands print: parts of it come from customers and targets.

Colours and progress bars consist of such characters. The code that prints them writes to the original stream
(`unguarded`), and itself replaces those in texts (`router.cli.output.console`).
"""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO, cast

import click

from router.printable import printable


class _Guarded:
    """A text stream that replaces all control characters except line ends and tabs."""

    def __init__(self, behind: TextIO) -> None:
        self.behind = behind

    def write(self, text: str) -> int:
        self.behind.write(printable(text.replace("\r\n", "\n"), keep="\n\t"))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.behind, name)


@contextmanager
def guarded() -> Iterator[None]:
    """Replace the control characters in everything that is printed to standard output and standard error."""
    out, err = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = cast("TextIO", _Guarded(out)), cast("TextIO", _Guarded(err))
    try:
        yield
    finally:
        sys.stdout, sys.stderr = out, err


def unguarded(stream: TextIO) -> TextIO:
    """Return the original stream."""
    return stream.behind if isinstance(stream, _Guarded) else stream


def say(text: str) -> None:
    """Print a line on stderr: an error, or what happens in the background."""
    click.echo(f"router: {text}", err=True)
