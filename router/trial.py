"""Tries what new processes would begin with, in a process of its own, before anything depends on it."""

import os
import select
import signal
from collections.abc import Callable
from typing import NoReturn

from router.errors import SettingsError

# A handler of the operator's may import a model; gunicorn gives a process that hangs its `timeout` of 60 s.
_PATIENCE = 30.0
_ANSWER = 4096  # bytes, which a pipe takes at once


def failure(start: Callable[[], object]) -> str:
    """Return why `start` fails in a forked child that gevent has patched as it does a worker; "" where it does not."""
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        _try(start, theirs)
    os.close(theirs)
    said = b""
    try:
        if not select.select([ours], [], [], _PATIENCE)[0]:
            os.kill(child, signal.SIGKILL)
            return f"the application was not ready within {_PATIENCE:g} s"
        said = os.read(ours, _ANSWER)
    finally:
        os.close(ours)
        os.waitpid(child, 0)
    return said.decode(errors="replace").strip() if said else "the application ended while it was loaded"


def _try(start: Callable[[], object], answer: int) -> NoReturn:
    # Nobody gathers what this process counts.
    os.environ.pop("PROMETHEUS_MULTIPROC_DIR", None)
    try:
        from gevent import monkey

        monkey.patch_all()
        start()
        said = "\n"
    except SettingsError as error:
        said = str(error)
    except BaseException as error:  # noqa: BLE001 - a module that ends the process is one that does not do, too
        said = f"the application cannot be loaded ({type(error).__name__}: {error})"
    os.write(answer, " ".join(said.split()).encode(errors="replace")[: _ANSWER - 1] + b"\n")
    os._exit(0)
