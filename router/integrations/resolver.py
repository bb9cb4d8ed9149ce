"""Resolves names. A name whose name servers do not answer does not delay other names.

gevent's own resolver has ten threads, and `getaddrinfo` for a dead domain blocks one for ten seconds or more: ten such
look-ups stall every connection of the process. Here concurrent requests for a name share one look-up, failures are
cached for a short time, waiting is limited to the time of one look-up, and the threads are separate.

An account may start another look-up while it has fewer in progress than there are free threads, so an account whose
name servers do not answer uses at most half of the threads. An account without a look-up in progress may always start
one, and so may the router itself, for Twilio's names: extra threads are reserved for that.
"""

import time
from collections import Counter
from collections.abc import Callable
from socket import SOCK_STREAM
from typing import TYPE_CHECKING, Any, Final, cast

from gevent import get_hub, monkey
from gevent.threadpool import ThreadPool

from router.integrations.base import AttemptError, Failure

if TYPE_CHECKING:
    from gevent.event import AsyncResult

# One item of getaddrinfo: family, type, protocol, canonical name, socket address.
AddressInfo = tuple[int, int, int, str, tuple[Any, ...]]
Lookup = Callable[[str, int], list[AddressInfo]]

# glibc waits 5 s for each name server before it tries the next; a later answer is unlikely.
LOOKUP_SECONDS: Final = 5.0
# How long a failure is cached: shorter than the breaker's probe interval (5 s), so that a probe makes a new look-up.
NEGATIVE_SECONDS: Final = 2.0
# Concurrent look-ups, shared by the accounts; a thread costs memory only while its name server does not answer.
THREADS: Final = 32
# Concurrent look-ups in total, with the reserved ones: for the router, and accounts without one in progress.
THREADS_MOST: Final = 128
# Cached failures; above this number, expired ones are dropped.
REMEMBERED: Final = 1024


def system_lookup(host: str, port: int) -> list[AddressInfo]:
    """Call the system's resolver, in the calling native thread."""
    addresses: list[AddressInfo] = monkey.get_original("socket", "getaddrinfo")(host, port, type=SOCK_STREAM)
    return addresses


class Resolver:
    """The look-ups of one process.

    Args:
        lookup: returns the addresses of a host and port; runs in a native thread and may block.
        clock: monotonic seconds.

    """

    def __init__(self, lookup: Lookup = system_lookup, clock: Callable[[], float] = time.monotonic) -> None:
        self._lookup = lookup
        self._clock = clock
        self._pool: ThreadPool | None = None
        self._flights: dict[tuple[str, int], tuple[float, AsyncResult[Any]]] = {}
        self._under_way: Counter[str] = Counter()  # by account
        self._failed: dict[tuple[str, int], tuple[float, str]] = {}

    def resolve(self, host: str, port: int, *, account_sid: str = "") -> list[AddressInfo]:
        """Return the addresses of a host, at least one, in the order in which to try them.

        Args:
            host: the name.
            port: the port.
            account_sid: the account whose message is sent, "" for a host that the operator has set.

        Raises:
            AttemptError: `REFUSED`: no such name, or no answer in time.

        """
        key = (host, port)
        now = self._clock()
        failed = self._failed.get(key)
        if failed is not None and now < failed[0]:
            raise AttemptError(Failure.REFUSED, failed[1], unreachable=True)
        result = self._joined(key, now, account_sid)
        if isinstance(result, str):
            if len(self._failed) >= REMEMBERED:
                self._failed = {name: kept for name, kept in self._failed.items() if kept[0] > now}
            self._failed[key] = (self._clock() + NEGATIVE_SECONDS, result)
            raise AttemptError(Failure.REFUSED, result, unreachable=True)
        self._failed.pop(key, None)
        return result

    def _joined(self, key: tuple[str, int], now: float, account_sid: str) -> list[AddressInfo] | str:
        """Wait for the look-up of this name in progress, or start one; a str is the reason why there is no address."""
        pool = self._pool
        if pool is None:
            pool = self._pool = ThreadPool(THREADS_MOST)
        if pool.hub is not get_hub():
            # Called from another thread than that of the greenlets: only this thread blocks.
            return self._look_up(key)
        since, flight = self._flights.get(key, (now, None))
        if flight is None:
            if not self._may_begin(account_sid):
                # This is not a failure of the name itself: it is not cached, and the host does not count as down.
                raise AttemptError(Failure.REFUSED, f"{key[0]}: too many names are being looked up at once")
            flight = pool.spawn(self._look_up, key)
            self._flights[key] = (now, flight)
            self._under_way[account_sid] += 1
            flight.rawlink(lambda _: self._land(key, account_sid))
        if not flight.ready() and (left := since + LOOKUP_SECONDS - now) > 0:
            flight.wait(left)
        if not flight.ready():
            return f"{key[0]}: no name server answered within {LOOKUP_SECONDS:g} s"
        return cast("list[AddressInfo] | str", flight.get())

    def _may_begin(self, account_sid: str) -> bool:
        has, busy = self._under_way[account_sid], len(self._flights)
        return busy < THREADS_MOST if not (account_sid and has) else has < THREADS - busy

    def _land(self, key: tuple[str, int], account_sid: str) -> None:
        self._flights.pop(key, None)
        self._under_way[account_sid] -= 1
        if not self._under_way[account_sid]:
            del self._under_way[account_sid]

    def _look_up(self, key: tuple[str, int]) -> list[AddressInfo] | str:
        # The reason is returned, not raised, because gevent prints exceptions of a pool's thread.
        try:
            return self._lookup(*key) or f"{key[0]}: the name has no address"
        except OSError as error:
            return f"{key[0]}: the name cannot be resolved ({error.strerror or error})"
        except UnicodeError:
            return f"{key[0]}: not a host name"
