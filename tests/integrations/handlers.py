"""Handlers of every kind, for the tests: what is asked of one is the message's text."""

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
# Blocks all greenlets, as a computation does, and leaves the core to other tests.
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
    """Say in which process it runs."""
    return str(os.getpid())


def surroundings(_: Message) -> str:
    """Say what its process has: variables, open files beside the standard ones, and how soon it goes without memory."""
    files = [str(each.readlink()) for each in Path("/proc/self/fd").iterdir() if int(each.name) > 2 and each.exists()]
    oom = Path("/proc/self/oom_score_adj").read_text(encoding="ascii")
    return json.dumps({"environ": dict(os.environ), "files": files, "oom": oom})


def waits(_: Message) -> str:
    """Wait in a cooperative way."""
    gevent.sleep(60)
    return "late"


def meets(_: Message) -> str:
    """Wait until three of these are under way."""
    if next(_called) % 3 == 0:
        _three.set()
    _three.wait()
    return "met"


def blocks(_: Message) -> str:
    """Never end, and let no other greenlet run."""
    while True:
        _sleep(0.01)


def spawns(_: Message) -> str:
    """Block in a greenlet of its own making, and let no other thread run either."""

    def spin() -> None:
        while True:
            pass

    gevent.spawn(spin).join()
    return "never"


def holds(message: Message) -> str:
    """Block until the file exists that the text names."""
    while not Path(message.body).exists():
        _sleep(0.01)
    return "held"


def swallows(_: Message) -> str:
    """Go on, whatever happens."""
    swallowed = 0
    while True:
        try:
            gevent.sleep(60)
        except:  # noqa: E722 - that is the point
            swallowed += 1


def exits(message: Message) -> str:
    """End its process, in the way that the text says."""
    if message.body == "exit":
        os._exit(3)
    os.kill(os.getpid(), signal.SIGKILL)
    return "never"


def garbles(_: Message) -> str:
    """Write into the socket to its worker."""
    for each in Path("/proc/self/fd").iterdir():
        if each.exists() and str(each.readlink()).startswith("socket:"):
            os.write(int(each.name), b"\0\0\0\x09garbage!\xff")
    return "never"


def leaves(message: Message) -> str:
    """Start a program that goes on, write its process id to the file that the text names, and block."""
    program = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    Path(message.body).write_text(str(program.pid), encoding="utf-8")
    return blocks(message)
