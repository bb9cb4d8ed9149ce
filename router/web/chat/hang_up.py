"""Detects that a client has closed its connection, even while the router neither reads from it nor writes to it."""

import select
from collections.abc import Callable
from typing import Any, Final

import gevent
from gevent import monkey

_READ: Final = 1  # gevent's number for "readable"; a closed connection is readable too
_poll: Any = monkey.get_original("select", "poll")


def watch(connection: Any, gone: Callable[[], None]) -> Callable[[], None]:
    """Call `gone` when the client closes its connection; return a function that ends the watch.

    Args:
        connection: the request's socket (`gunicorn.socket` of its environ); None under another server, which is not
            watched.
        gone: called in the hub, so it must not wait.
    """
    if connection is None:
        return _nothing
    number = connection.fileno()
    watcher = gevent.get_hub().loop.io(number, _READ)

    def readable() -> None:
        # Checked once: any other data is the client's next request, which stays readable.
        watcher.stop()
        if _is_closed(number):
            gone()

    watcher.start(readable)
    return watcher.close


def _is_closed(number: int) -> bool:
    poll = _poll()
    poll.register(number, select.POLLRDHUP)
    return bool(poll.poll(0))


def _nothing() -> None:
    """Stop a watch that was not started."""
