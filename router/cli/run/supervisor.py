"""The parent process of `router run` with its own store or a tunnel: it starts the store, gunicorn and the tunnel.

The store starts first and stops last, so that gunicorn's workers can always settle. The tunnel starts last and stops
first, so that the previous webhooks are restored before gunicorn stops listening.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from types import FrameType

from router.cli.stop import handle
from router.cli.terminal import say
from router.lifeline import die_with_parent
from router.process.child import end
from router.process.embedded import EmbeddedStoreError, EmbeddedValkey

# Seconds before the store is restarted, by its number of crashes in a row, which a healthy minute resets.
_BACK_OFF = (0.0, 0.5, 1.0, 2.0, 5.0)
_HEALTHY = 60.0
# Seconds after gunicorn's graceful_timeout, at which gunicorn itself kills its workers.
_STOP = 5.0
# Seconds. A second signal stops immediately; within this time it counts as the first one, which make forwards as well.
_SECOND = 0.5


class Supervisor:
    """Runs the store, gunicorn (`command`) and `router tunnel` until gunicorn or the tunnel ends.

    `store` is None if the store runs elsewhere; `stop_seconds` is how long gunicorn may take to stop; `tunnel` is the
    command line of the tunnel, empty for none.
    """

    def __init__(
        self,
        store: EmbeddedValkey | None,
        command: Sequence[str],
        environ: Mapping[str, str],
        stop_seconds: float,
        tunnel: Sequence[str] = (),
    ) -> None:
        self._stop_seconds = stop_seconds
        self._store = store
        self._command = command
        self._environ = environ
        self._tunnel_command = tunnel
        self._valkey: subprocess.Popen[bytes] | None = None
        self._gunicorn: subprocess.Popen[bytes] | None = None
        self._tunnel: subprocess.Popen[bytes] | None = None
        self._tunnel_code = 0
        self._stopping_since: float | None = None

    def run(self, prepare: Callable[[], None], announce: Callable[[Callable[[], bool]], None]) -> int:
        """Start them, wait, and stop them; return the exit status of gunicorn or of the tunnel, as in a shell.

        `prepare` is called when the store answers, before gunicorn starts; `announce` when gunicorn has started, with a
        function that returns whether it still runs.

        Raises:
            EmbeddedStoreError: the store does not start.
        """
        handle(self._signalled)
        if self._store is not None:
            self._valkey = self._store.start(say)
            self._valkey_since = time.monotonic()
        try:
            if self._store is not None and self._valkey is not None:
                self._store.wait_until_ready(self._valkey)
            prepare()
            self._gunicorn = gunicorn = self._start(self._command)
            announce(lambda: gunicorn.poll() is None)
            if self._tunnel_command and self._stopping_since is None and gunicorn.returncode is None:
                self._tunnel = self._start(self._tunnel_command)
            code = self._watch(gunicorn)
            return (code if code >= 0 else 128 - code) or self._tunnel_code
        finally:
            for child in (self._tunnel, self._gunicorn):
                if child is not None and child.returncode is None:
                    end(child, self._stop_seconds + _STOP)
            if self._store is not None and self._valkey is not None:
                self._store.stop(self._valkey)

    def _start(self, command: Sequence[str]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(  # noqa: S603 - our own interpreter and configuration
            command,
            env=self._environ,
            stdin=subprocess.DEVNULL,
            process_group=0,  # it gets no Ctrl-C: we stop it gracefully
            preexec_fn=die_with_parent(),  # noqa: PLW1509 - this process has no threads
        )

    def _watch(self, gunicorn: subprocess.Popen[bytes]) -> int:
        """Wait for the end of gunicorn, and restart the store or gunicorn if they are killed."""
        deaths = 0
        while gunicorn.returncode is None:
            pid, status = os.wait()
            code = os.waitstatus_to_exitcode(status)
            if self._tunnel is not None and pid == self._tunnel.pid:
                self._tunnel.returncode = code
                self._tunnel_ended(code)
            elif self._valkey is not None and pid == self._valkey.pid:
                self._valkey.returncode = code
                deaths = 0 if time.monotonic() - self._valkey_since > _HEALTHY else deaths
                self._restart_store(code, _BACK_OFF[min(deaths, len(_BACK_OFF) - 1)])
                deaths += 1
            elif pid == gunicorn.pid:
                gunicorn.returncode = code
                if code >= 0 or self._stopping_since:
                    break
                say(f"gunicorn ended ({_reason(code)}); restarting it")
                self._gunicorn = gunicorn = self._start(self._command)
                if self._stopping_since:  # the signal came during this start, and was sent to the old process
                    self._signal(signal.SIGTERM)
        return gunicorn.returncode

    def _tunnel_ended(self, code: int) -> None:
        """Stop gunicorn gracefully after the end of the tunnel, which has restored the webhooks or failed."""
        self._tunnel_code = code if code >= 0 else 128 - code
        if self._stopping_since is None:
            self._stopping_since = time.monotonic()
            say("the tunnel has ended; stopping")
        self._signal(signal.SIGTERM)

    def _restart_store(self, code: int, delay: float) -> None:
        """Restart the store, also while gunicorn stops: its workers still have to settle."""
        assert self._store is not None  # noqa: S101 - it had started
        say(f"the store ended ({_reason(code)}); restarting it")
        while True:
            time.sleep(delay)
            try:
                self._valkey = self._store.start(say)
            except EmbeddedStoreError as error:
                if self._stopping_since:
                    raise
                say(f"{error}; trying again")
                delay = _BACK_OFF[-1]
            else:
                self._valkey_since = time.monotonic()
                return

    def _signalled(self, number: int, _frame: FrameType | None) -> None:
        """Stop gunicorn gracefully, or immediately at the second signal."""
        if self._gunicorn is None:
            sys.exit(128 + number)
        now = time.monotonic()
        if self._stopping_since is None:
            self._stopping_since = now
            sent = signal.SIGTERM
            if number == signal.SIGINT:
                # Not click.echo: the signal may have interrupted a call of it.
                limit = f"at most {self._stop_seconds:.0f} s; Ctrl-C again stops immediately"
                os.write(2, f"\nrouter: finishing the deliveries in progress, {limit}\n".encode())
            if self._tunnel is not None and self._tunnel.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self._tunnel.pid, sent)
                return  # gunicorn is stopped when the webhooks are restored
        elif now - self._stopping_since > _SECOND:
            sent = signal.SIGQUIT
        else:
            return
        self._signal(sent)

    def _signal(self, number: int) -> None:
        """Send gunicorn a signal, if it has not ended."""
        assert self._gunicorn is not None  # noqa: S101 - it had started
        with contextlib.suppress(ProcessLookupError):
            # Not Popen.send_signal: it would reap the process, which os.wait must do.
            os.kill(self._gunicorn.pid, number)


def _reason(code: int) -> str:
    return f"exit status {code}" if code >= 0 else signal.Signals(-code).name
