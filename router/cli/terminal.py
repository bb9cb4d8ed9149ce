"""What commands print goes through here, and no control character gets past: customers and targets wrote some of it.

Colours and progress bars are made of such characters; what prints those takes the stream that lies behind
(`unguarded`), and cleans what others wrote by itself (`router.cli.output.console`, labels of our own).
"""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO, cast

from router.printable import printable


class _Guarded:
    """A text stream that puts a mark in the place of control characters, but for line ends and tabs."""

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
    """Guard what is printed to standard output and standard error."""
    out, err = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = cast("TextIO", _Guarded(out)), cast("TextIO", _Guarded(err))
    try:
        yield
    finally:
        sys.stdout, sys.stderr = out, err


def unguarded(stream: TextIO) -> TextIO:
    """Return the stream behind the guard."""
    return stream.behind if isinstance(stream, _Guarded) else stream
