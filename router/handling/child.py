"""The child process: calls the handlers that its worker requests, each in a greenlet, and ends with its worker.

Started by `launch`, with two descriptors and the handlers as JSON as its arguments.
"""

import contextlib
import json
import signal
import sys
import time
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any, Final

import gevent
import greenlet
from gevent import monkey
from gevent.lock import Semaphore
from twilio.twiml import TwiML

from router.errors import Undeliverable
from router.handling.board import Board
from router.handling.frame import Frames, Kind, Request, pack_reply, read_request
from router.handling.loading import Handle, UnusableError, frames_of, load
from router.message.inbound import Message
from router.message.raw import Raw
from router.message.twiml import EMPTY_TWIML, MAX_BYTES
from router.patching import packages_read_once

# Characters that XML 1.0 does not allow: https://www.w3.org/TR/xml/#charsets
_NOT_XML: Final = dict.fromkeys((*range(9), 11, 12, *range(14, 32), *range(0xD800, 0xE000), 0xFFFE, 0xFFFF))
# The signals that a terminal or a service manager sends to all processes. They are ignored: the worker ends this one.
_IGNORED: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
# Of -1000 to 1000: https://man7.org/linux/man-pages/man5/proc_pid_oom_score_adj.5.html
_OOM_SCORE: Final = "500"
_READ: Final = 64 * 1024
_CALL: Final = "router call"  # the spawn tree's local variable with the number of the call


def start() -> None:
    """Run the child: import the handlers, report this, and call them until the worker closes the socket."""
    with packages_read_once():
        monkey.patch_all()
    import socket

    link = socket.socket(fileno=int(sys.argv[1]))
    with contextlib.suppress(OSError):  # if memory runs out, the kernel should kill this process, not its worker
        Path("/proc/self/oom_score_adj").write_text(_OOM_SCORE, encoding="ascii")
    serve(link, Board(int(sys.argv[2])), json.loads(sys.argv[3]))


def serve(link: Any, board: Board, paths: Mapping[str, str]) -> None:
    """Import the handlers, and call those that are requested on the socket."""
    for number in _IGNORED:
        # Not SIG_IGN: programs that a handler starts would inherit it.
        signal.signal(number, lambda *_: None)
    try:
        functions = load(paths)
    except UnusableError as error:
        link.sendall(pack_reply(0, Kind.UNUSABLE, words=(error.name, error.reason)))
        return
    child = Child(link, board, functions)
    greenlet.settrace(child.trace)
    link.sendall(pack_reply(0, Kind.READY))
    child.serve()


class Child:
    """The running child."""

    def __init__(self, link: Any, board: Board, functions: Mapping[str, Handle]) -> None:
        self._link = link
        self._board = board
        self._functions = functions
        self._writing = Semaphore()

    def trace(self, _event: str, switch: tuple[Any, Any]) -> None:
        """Record which call's code runs from now on: `greenlet.settrace` calls this at every switch."""
        tree = getattr(switch[1], "spawn_tree_locals", None)
        self._board.switch(tree.get(_CALL, 0) if tree else 0, time.monotonic())

    def serve(self) -> None:
        """Accept calls until the socket is closed."""
        frames = Frames()
        with contextlib.suppress(OSError):
            while data := self._link.recv(_READ):
                for frame in frames.feed(data):
                    request = read_request(frame)
                    calling = gevent.Greenlet(self._call, request)
                    calling.spawn_tree_locals = {_CALL: request.number}
                    calling.start()

    def _call(self, request: Request) -> None:
        left = request.deadline - time.monotonic()
        if left <= 0:
            self._say(pack_reply(request.number, Kind.NOT_BEGUN))
            return
        self._board.begin(request.number)
        timeout = gevent.Timeout.start_new(left)
        try:
            reply = self._reply(request)
        except BaseException as error:  # noqa: BLE001 - SystemExit in a greenlet would end the whole process
            reply = _failure(request.number, error)
        finally:
            timeout.close()
        self._say(reply)

    def _reply(self, request: Request) -> bytes:
        message = Message.parse(Raw.unpack(request.raw).fields())
        result = self._functions[request.name](message)
        twiml = _twiml(result)
        if twiml is None:
            return pack_reply(request.number, Kind.WRONG_TYPE, words=(type(result).__name__,))
        # One byte more than the limit: the worker then refuses the answer as too long.
        return pack_reply(request.number, Kind.ANSWER, twiml[: MAX_BYTES + 1])

    def _say(self, reply: bytes) -> None:
        with self._writing, contextlib.suppress(OSError):
            self._link.sendall(reply)


def _twiml(result: object) -> bytes | None:
    """Convert the result of a handler to TwiML; None for an invalid result."""
    if result is None or result == "":
        return EMPTY_TWIML
    if isinstance(result, str):
        text = escape(result.translate(_NOT_XML), quote=False)
        return f'<?xml version="1.0" encoding="UTF-8"?><Response><Message>{text}</Message></Response>'.encode()
    return str(result).encode() if isinstance(result, TwiML) else None


def _failure(number: int, error: BaseException) -> bytes:
    if isinstance(error, gevent.Timeout):
        return pack_reply(number, Kind.ENDED)
    text = str(error).encode(errors="replace").decode()
    if isinstance(error, Undeliverable):
        return pack_reply(number, Kind.UNDELIVERABLE, words=(text,))
    return pack_reply(number, Kind.RAISED, words=(type(error).__name__, text, *frames_of(error)))
