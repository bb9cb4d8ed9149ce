"""Handlers of every kind for the tests; the message's text selects what a handler does."""

import itertools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import gevent
from gevent import monkey
from gevent.event import Event
from twilio.twiml.messaging_response import MessagingResponse

from router.errors import Undeliverable
from router.message.inbound import Message

TWIML = MessagingResponse()
TWIML.message("Hola")
TWIML.redirect("https://example.com/next")

RESULTS: Final[dict[str, Any]] = {
    "text": "Hola",
    "text with markup": "<b>&",
    "text that XML cannot hold": "a\x00\x0b\ud800b\n",
    "emoji": "👋🏽",
    "TwiML": TWIML,
    "none": None,
    "empty": "",
    "a wrong type": 7,
    "more than an answer can be": "x" * 70_000,
}
ERRORS: Final[dict[str, Callable[[Message], BaseException]]] = {
    "undeliverable": lambda _: Undeliverable("no such customer"),
    "undeliverable without a reason": lambda _: Undeliverable(),
    "an exception": lambda _: ValueError("bad\nluck"),
    "an exit": lambda _: SystemExit(1),
    "a time-out of its own": lambda _: gevent.Timeout(1),
    "a secret": lambda _: ValueError("<the-token-in-use>"),
    "the customer": lambda message: ValueError(message.from_),
    "a long text": lambda _: ValueError("x" * 10_000),
    "no text": lambda _: ValueError("\ud800"),
}
# Blocks all greenlets, as a computation does, without using processor time.
_sleep = monkey.get_original("time", "sleep")
_called = itertools.count(1)
_three = Event()


def returns(message: Message) -> Any:
    """Return one of RESULTS."""
    return RESULTS[message.body]


def raises(message: Message) -> str:
    """Raise one of ERRORS."""
    return _deeper(message)


def _deeper(message: Message) -> str:
    raise ERRORS[message.body](message)


def pid(_: Message) -> str:
    """Return the id of the handler's process."""
    return str(os.getpid())


def surroundings(_: Message) -> str:
    """Return the process's environment variables, further open files, and OOM score as JSON."""
    files = [str(each.readlink()) for each in Path("/proc/self/fd").iterdir() if int(each.name) > 2 and each.exists()]
    oom = Path("/proc/self/oom_score_adj").read_text(encoding="ascii")
    return json.dumps({"environ": dict(os.environ), "files": files, "oom": oom})


def waits(_: Message) -> str:
    """Wait with gevent."""
    gevent.sleep(60)
    return "late"


def meets(_: Message) -> str:
    """Wait until three calls of this handler run at the same time."""
    if next(_called) % 3 == 0:
        _three.set()
    _three.wait()
    return "met"


def blocks(_: Message) -> str:
    """Block forever, so that no other greenlet runs."""
    while True:
        _sleep(0.01)


def spawns(_: Message) -> str:
    """Block in a greenlet of its own, so that no other thread runs either."""

    def spin() -> None:
        while True:
            pass

    gevent.spawn(spin).join()
    return "never"


def holds(message: Message) -> str:
    """Block until the file that the text names exists."""
    while not Path(message.body).exists():
        _sleep(0.01)
    return "held"


def swallows(_: Message) -> str:
    """Catch every exception and go on."""
    swallowed = 0
    while True:
        try:
            gevent.sleep(60)
        except:  # noqa: E722 - that is the point
            swallowed += 1


def exits(message: Message) -> str:
    """End the process, in the way that the text names."""
    if message.body == "exit":
        os._exit(3)
    os.kill(os.getpid(), signal.SIGKILL)
    return "never"


def garbles(_: Message) -> str:
    """Write garbage into the socket to the worker."""
    for each in Path("/proc/self/fd").iterdir():
        if each.exists() and str(each.readlink()).startswith("socket:"):
            os.write(int(each.name), b"\0\0\0\x09garbage!\xff")
    return "never"


def leaves(message: Message) -> str:
    """Start a program that keeps running, write its process id to the file that the text names, and block."""
    program = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    Path(message.body).write_text(str(program.pid), encoding="utf-8")
    return blocks(message)
