"""A tunnel that somebody else has opened: all that is known of it is its address."""

import time
from collections.abc import Callable
from typing import Final

from router.cli.connect.tunnels import TunnelGone
from router.cli.connect.tunnels.probe import through
from router.settings import Account

# Between two looks, each a signed request through it.
_EVERY: Final = 15.0
# One request may be lost on the way; a tunnel that is gone loses the next one too.
_FAILURES: Final = 2


class GivenTunnel:
    """A tunnel known by its URL.

    Args:
        url: its base.
        account: whose signature the router knows.
        whole: whether it leads to the whole router.
        every: seconds between two looks.
        clock: gives seconds, from any origin.
    """

    def __init__(
        self,
        url: str,
        account: Account,
        *,
        whole: bool,
        every: float = _EVERY,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.whole = whole
        self._url = url
        self._account = account
        self._every = every
        self._clock = clock
        self._next = clock() + every
        self._failures = 0

    def look(self) -> str:
        """Return its address; raise `TunnelGone` when nothing comes through it any more."""
        if self._clock() >= self._next:
            found = through(self._url, self._account)
            self._failures = 0 if found.good else self._failures + 1
            self._next = self._clock() + (self._every if found.good else self._every / 10)
            if self._failures >= _FAILURES:
                raise TunnelGone(f"{self._url}: {found.found}; {found.advice}")
        return self._url

    def close(self) -> None:
        """Leave it alone."""
