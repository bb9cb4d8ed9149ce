"""Ctrl-C for commands that watch: it ends the wait, and nothing that is under way."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def until_interrupted() -> Iterator[Callable[[float], bool]]:
    """Give a function that waits for Ctrl-C so many seconds, and says whether it came.

    The usual exception would break off whatever is under way, and gevent prints it when that is a call to the store.
    """
    interrupted = threading.Event()
    before = signal.signal(signal.SIGINT, lambda *_: interrupted.set())
    try:
        yield interrupted.wait
    finally:
        signal.signal(signal.SIGINT, before)
