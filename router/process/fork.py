"""Runs a function in a forked child, so that imports, patches and crashes do not affect this process."""

import gc
import os
import select
import signal
from collections.abc import Callable
from typing import Final

_MOST: Final = 64 * 1024  # bytes of an answer: the capacity of a pipe


def in_child(answer: Callable[[], str], *, seconds: float) -> str | None:
    """Return the result of `answer` in a forked child, in one line; None if the child ends without one.

    Raises:
        TimeoutError: it took longer than `seconds`, and was killed.

    """
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        gc.disable()  # a collection would only copy shared pages: the child ends soon
        try:
            line = " ".join(answer().split()).encode(errors="replace")
            os.write(theirs, line[: _MOST - 1] + b"\n")
        finally:
            os._exit(0)
    os.close(theirs)
    try:
        if not select.select([ours], [], [], seconds)[0]:
            os.kill(child, signal.SIGKILL)
            raise TimeoutError
        received = os.read(ours, _MOST).decode(errors="replace")
    finally:
        os.close(ours)
        os.waitpid(child, 0)
    return received.removesuffix("\n") if received.endswith("\n") else None
