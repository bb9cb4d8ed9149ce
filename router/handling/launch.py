"""Starts a child as a new interpreter, which inherits two descriptors but no secrets of the router."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from router.errors import SettingsError
from router.handling.board import Board, new_page
from router.handling.frame import Frames, Kind, Reply, read_reply
from router.lifeline import die_with_parent

# Seconds for the import of the operator's modules; some load a model.
PATIENCE: Final = 30.0
# Seconds for a child to end, in which its `atexit` functions run.
LEAVE: Final = 0.5
# Variables of the router, which may be secrets or name files with secrets.
_OURS: Final = ("ROUTER_", "TWILIO_AUTH_TOKEN", "PROMETHEUS_MULTIPROC_DIR")
_READ: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Launched:
    """A started child: its process, the worker's end of the socket, and the board."""

    process: Any
    link: Any
    board: Board


def launch(paths: Mapping[str, str], *, popen: Callable[..., Any], pair: Callable[[], tuple[Any, Any]]) -> Launched:
    """Start a child that imports these handlers.

    Args:
        paths: name to `package.module:function`.
        popen: `subprocess.Popen`, or gevent's.
        pair: `socket.socketpair`, or gevent's.

    """
    ours, theirs = pair()
    page = new_page()
    descriptors = (theirs.fileno(), page)
    try:
        process = popen(
            # Unbuffered, so that the output of a handler is not lost with its process.
            [sys.executable, "-uPc", _start(), *map(str, descriptors), json.dumps(paths)],
            env=_environ(),
            stdin=subprocess.DEVNULL,
            pass_fds=descriptors,
            start_new_session=True,  # so that programs that a handler has started can be killed with it
            preexec_fn=die_with_parent(signal.SIGKILL),
        )
        return Launched(process, ours, Board(page))
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()
        os.close(page)


def _environ() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}


def _start() -> str:
    """Return the first code of the child: it has the same module path as this process."""
    path = [each or str(Path.cwd()) for each in sys.path]
    return f"import sys; sys.path[:] = {path!r}; from router.handling.child import start; start()"


def kill(process: Any) -> None:
    """Kill a child, with all programs that it has started."""
    if process.poll() is None:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:  # it does not have its own session yet
            process.kill()


def ended(process: Any) -> str:
    """Wait for the end of a child whose socket is closed, kill it if it takes too long, and return how it ended."""
    try:
        code = process.wait(timeout=LEAVE)
    except subprocess.TimeoutExpired:
        kill(process)
        code = process.wait()
    return f"exit status {code}" if code >= 0 else signal.Signals(-code).name


def check(paths: Mapping[str, str]) -> None:
    """Check that the operator's handlers can be imported, in a separate child.

    Raises:
        SettingsError: a handler cannot be imported, or takes too long.

    """
    theirs = {name: path for name, path in paths.items() if not path.startswith("router.")}
    if not theirs:
        return
    launched = launch(theirs, popen=subprocess.Popen, pair=socket.socketpair)
    try:
        launched.link.settimeout(PATIENCE)
        reply = first_reply(launched.link)
    except TimeoutError:
        raise SettingsError("handlers", f"their modules are not imported within {PATIENCE:g} s") from None
    finally:
        launched.link.close()
        how = ended(launched.process)
    if reply is None:
        raise SettingsError("handlers", f"the process that imports them ended ({how})")
    if reply.kind is Kind.UNUSABLE:
        name, reason = reply.words
        raise SettingsError(f"handlers.{name}", reason)


def first_reply(link: Any) -> Reply | None:
    """Read the first reply of a child, after the import of its handlers; None if it ended without a reply."""
    frames = Frames()
    while data := link.recv(_READ):
        for frame in frames.feed(data):
            return read_reply(frame)
    return None
