"""`router run` with its own store: one small parent, the store and gunicorn its children.

Started in order, stopped in reverse: the store first and last, so that gunicorn's workers can always settle.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from types import FrameType

import click

from router.cli.embedded import EmbeddedStoreError, EmbeddedValkey

# Seconds before the store is started again, by how often it died in a row; one that lived a minute starts anew.
_BACK_OFF = (0.0, 0.5, 1.0, 2.0, 5.0)
_HEALTHY = 60.0
# A little more than gunicorn's graceful_timeout, after which gunicorn itself ends what is left.
_STOP = 45.0
# A second request to stop means impatience; one that comes sooner is the first, which make passes on besides.
_SECOND = 0.5
_PR_SET_PDEATHSIG = 1
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Supervisor:
    """Runs the store and gunicorn until gunicorn ends.

    Args:
        store: the embedded store.
        command: gunicorn's command line.
        environ: what gunicorn sees as its environment.
    """

    def __init__(self, store: EmbeddedValkey, command: Sequence[str], environ: Mapping[str, str]) -> None:
        self._store = store
        self._command = command
        self._environ = environ
        self._gunicorn: subprocess.Popen[bytes] | None = None
        self._stopping_since: float | None = None

    def run(self, prepare: Callable[[], None], announce: Callable[[Callable[[], bool]], None]) -> int:
        """Start both, wait, stop both; return gunicorn's exit status, as a shell would give it.

        Args:
            prepare: called when the store answers, before gunicorn starts.
            announce: called when gunicorn has started, with what says whether it still runs.

        Raises:
            EmbeddedStoreError: the store does not start.
        """
        for number in _SIGNALS:
            # `nohup` stays in force. INT is another matter: a script's `make run &` inherits it ignored.
            if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._signalled)
        self._valkey = self._store.start()
        self._valkey_since = time.monotonic()
        try:
            self._store.wait_until_ready(self._valkey)
            prepare()
            self._gunicorn = self._start_gunicorn()
            gunicorn = self._gunicorn
            announce(lambda: gunicorn.poll() is None)
            code = self._watch(gunicorn)
            return code if code >= 0 else 128 - code
        finally:
            if self._gunicorn is not None and self._gunicorn.returncode is None:
                _end(self._gunicorn)
            self._store.stop(self._valkey)

    def _start_gunicorn(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(  # noqa: S603 - our own interpreter and configuration
            self._command,
            env=self._environ,
            process_group=0,  # Ctrl-C comes to us, and we ask it to stop gracefully
            preexec_fn=_die_with_parent(),  # noqa: PLW1509 - this process has no threads
        )

    def _watch(self, gunicorn: subprocess.Popen[bytes]) -> int:
        """Wait for gunicorn's end, and start what was killed before that."""
        deaths = 0
        while gunicorn.returncode is None:
            pid, status = os.wait()
            code = os.waitstatus_to_exitcode(status)
            if pid == self._valkey.pid:
                self._valkey.returncode = code
                deaths = 0 if time.monotonic() - self._valkey_since > _HEALTHY else deaths
                self._restart_store(code, _BACK_OFF[min(deaths, len(_BACK_OFF) - 1)])
                deaths += 1
            elif pid == gunicorn.pid:
                gunicorn.returncode = code
                if code >= 0 or self._stopping_since:
                    break
                click.echo(f"router: gunicorn ended ({_reason(code)}); starting it again", err=True)
                self._gunicorn = gunicorn = self._start_gunicorn()
        return gunicorn.returncode

    def _restart_store(self, code: int, delay: float) -> None:
        """Start the store again, also while gunicorn stops: its workers still have to settle."""
        click.echo(f"router: the store ended ({_reason(code)}); starting it again", err=True)
        while True:
            time.sleep(delay)
            try:
                self._valkey = self._store.start()
            except EmbeddedStoreError as error:
                if self._stopping_since:
                    raise
                click.echo(f"router: {error}; trying again", err=True)
                delay = _BACK_OFF[-1]
            else:
                self._valkey_since = time.monotonic()
                return

    def _signalled(self, number: int, _frame: FrameType | None) -> None:
        """Ask gunicorn to stop gracefully; asked a second time, at once."""
        if self._gunicorn is None:
            sys.exit(128 + number)
        now = time.monotonic()
        if self._stopping_since is None:
            self._stopping_since = now
            said = signal.SIGTERM
            if number == signal.SIGINT:
                # Not echo: the signal may have come in the middle of one. 40 s are gunicorn's graceful_timeout.
                os.write(2, b"\nrouter: finishing what is under way, at most 40 s; Ctrl-C again ends at once\n")
        elif now - self._stopping_since > _SECOND:
            said = signal.SIGQUIT
        else:
            return
        with contextlib.suppress(ProcessLookupError):
            # Not Popen.send_signal: that would reap the process behind os.wait's back.
            os.kill(self._gunicorn.pid, said)


def _end(gunicorn: subprocess.Popen[bytes]) -> None:
    gunicorn.terminate()
    try:
        gunicorn.wait(_STOP)
    except subprocess.TimeoutExpired:
        gunicorn.kill()
        gunicorn.wait()


def _reason(code: int) -> str:
    return f"exit status {code}" if code >= 0 else signal.Signals(-code).name


def _die_with_parent() -> Callable[[], None] | None:
    """Return what makes the child stop gracefully when this process is killed, where the system can do that."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl
    parent = os.getpid()

    def arm() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it was killed before we were armed
            os._exit(1)

    return arm
