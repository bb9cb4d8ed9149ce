"""Checks in a separate process that new processes could start, before a reload or start depends on it."""

import os
from collections.abc import Callable

from router.errors import SettingsError
from router.patching import packages_read_once
from router.process.fork import in_child

# A handler may import a model, which takes time. gunicorn kills a process that hangs after its `timeout` of 60 s.
_PATIENCE = 30.0


def failure(start: Callable[[], object]) -> str:
    """Return why `start` fails in a forked child that gevent has patched like a worker; "" if it succeeds."""
    try:
        line = in_child(lambda: _try(start), seconds=_PATIENCE)
    except TimeoutError:
        return f"the application was not ready within {_PATIENCE:g} s"
    return "the application ended while it was loaded" if line is None else line


def _try(start: Callable[[], object]) -> str:
    # The metrics of this process are not collected.
    os.environ.pop("PROMETHEUS_MULTIPROC_DIR", None)
    try:
        from gevent import monkey

        with packages_read_once():
            monkey.patch_all()
        start()
    except SettingsError as error:
        return str(error)
    except BaseException as error:  # noqa: BLE001 - also a module that calls sys.exit
        return f"the application cannot be loaded ({type(error).__name__}: {error})"
    return ""
