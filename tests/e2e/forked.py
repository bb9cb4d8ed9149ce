"""Starts gunicorn by forking a process that has imported what every master imports.

These imports take a master half of the processor time of a router's start, and the tests start a hundred routers. All
else is as in production: a master reads its configuration and forks workers, which gevent patches and which import the
application. Gunicorn's own command is run by test_gunicorn.py (`Command`) and test_package.py, and by every
`router run`.
"""

import functools
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from tests.e2e.running import clean_environ

_ROOT: Final = Path(__file__).parents[2]
# Threads start several routers at once, and a second forker would be left behind while it runs.
_ONE: Final = threading.Lock()


class _Forker:
    """The process that is forked."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            self._connection = ours.makefile("rw")  # it keeps the socket open
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.e2e.forker", str(theirs.fileno())],
                cwd=_ROOT,
                env=clean_environ(),
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # Ctrl-C is for pytest
            )
        self._lock = threading.Lock()

    def ask(self, **question: Any) -> Any:
        """Return the answer to a question."""
        with self._lock:
            self._connection.write(json.dumps(question, default=str) + "\n")
            self._connection.flush()
            return json.loads(self._connection.readline())

    def close(self) -> None:
        """Close the socket, and so end the process."""
        self._connection.close()
        self._process.wait()


class Forked:
    """A master that was forked, with the methods of `subprocess.Popen` that tests use."""

    def __init__(self, forker: _Forker, pid: int) -> None:
        self.pid = pid
        self._forker = forker
        self._status: int | None = None

    def poll(self) -> int | None:
        """Return its exit status, None while it runs."""
        if self._status is None:
            self._status = self._forker.ask(wait=self.pid)
        return self._status

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it has ended, and return its exit status."""
        if self.poll() is None:
            ended = os.pidfd_open(self.pid)
            select.select([ended], [], [], timeout)
            os.close(ended)
        status = self.poll()
        if status is None:
            raise subprocess.TimeoutExpired("gunicorn", timeout or 0)
        return status

    def send_signal(self, number: int) -> None:
        """Send it a signal if it runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Send it TERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send it KILL."""
        self.send_signal(signal.SIGKILL)


def start_gunicorn(
    config: str | Path, folder: Path, environ: Mapping[str, str], log: Path, application: str = "wsgi:app"
) -> Forked:
    """Start `gunicorn -c config application` in a folder, with this environment, and its standard error in a file."""
    with _ONE:
        forker = _forker()
    command = ["gunicorn", "-c", config, application]
    return Forked(forker, forker.ask(start={"command": command, "folder": folder, "environ": environ, "log": log}))


@functools.cache
def _forker() -> _Forker:
    return _Forker()


def close_forker() -> None:
    """End the process that is forked, if it was started."""
    if _forker.cache_info().currsize:
        _forker().close()
        _forker.cache_clear()
