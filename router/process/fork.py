"""Runs a function in a forked child, so that imports, patches and crashes do not affect this process."""

import gc
import os
import select
import signal
from collections.abc import Callable
from typing import Final

_MOST: Final = 64 * 1024  # bytes of an answer, which a pipe takes at once


def in_child(answer: Callable[[], str], *, seconds: float) -> str | None:
    """Return what `answer` returns in a forked child, in one line; None where it ends without.

    Raises:
        TimeoutError: it took longer than so many seconds, and was ended.

    """
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        gc.disable()  # it ends soon: what the collector looks at would only be copied
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
