"""Names to addresses, without letting a dead name hold up the living ones.

gevent's own resolver has ten threads, and `getaddrinfo` for a dead domain holds one for ten seconds or more: ten such
look-ups stall every connection of the process. Here a name is looked up once at a time however many ask for it, a
failure is remembered for a moment, nobody waits longer than a look-up may take, and the threads are our own.

An account may begin another look-up while it has fewer under way than threads are free, so one whose name servers are
silent has half of the threads at most. One that has none under way may always begin one, and so may the router itself,
for Twilio's names: there are some more threads for that.
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

# glibc asks each name server for 5 s before it turns to the next; who has not answered by then is not going to.
LOOKUP_SECONDS: Final = 5.0
# How long a name that failed is not asked for again: shorter than the breaker's probe (5 s), which shall be a real one.
NEGATIVE_SECONDS: Final = 2.0
# Look-ups at a time that accounts share; a thread costs memory only while its name server is silent.
THREADS: Final = 32
# And in all, with those of accounts that have no other one under way.
THREADS_MOST: Final = 128
# Failures remembered at a time; beyond it those that are over are forgotten.
REMEMBERED: Final = 1024


def system_lookup(host: str, port: int) -> list[AddressInfo]:
    """Ask the system, in the calling native thread."""
    found: list[AddressInfo] = monkey.get_original("socket", "getaddrinfo")(host, port, type=SOCK_STREAM)
    return found


class Resolver:
    """The look-ups of one process.

    Args:
        lookup: asks for the addresses of a host and port; runs in a native thread and may block.
        clock: monotonic seconds.

    """

    def __init__(self, lookup: Lookup = system_lookup, clock: Callable[[], float] = time.monotonic) -> None:
        self._lookup = lookup
        self._clock = clock
        self._pool: ThreadPool | None = None
        self._flights: dict[tuple[str, int], tuple[float, AsyncResult[Any]]] = {}
        self._under_way: Counter[str] = Counter()  # by account
        self._failed: dict[tuple[str, int], tuple[float, str]] = {}

    def resolve(self, host: str, port: int, *, whose: str = "") -> list[AddressInfo]:
        """Return the addresses of a host, at least one, in the order in which to try them.

        Args:
            host: the name.
            port: the port.
            whose: the account that sends there, "" for a host that the operator has set.

        Raises:
            AttemptError: `REFUSED`: no such name, or nobody said so in time.

        """
        key = (host, port)
        now = self._clock()
        failed = self._failed.get(key)
        if failed is not None and now < failed[0]:
            raise AttemptError(Failure.REFUSED, failed[1], unreachable=True)
        found = self._fly(key, now, whose)
        if isinstance(found, str):
            if len(self._failed) >= REMEMBERED:
                self._failed = {name: kept for name, kept in self._failed.items() if kept[0] > now}
            self._failed[key] = (self._clock() + NEGATIVE_SECONDS, found)
            raise AttemptError(Failure.REFUSED, found, unreachable=True)
        self._failed.pop(key, None)
        return found

    def _fly(self, key: tuple[str, int], now: float, whose: str) -> list[AddressInfo] | str:
        """Join the look-up of this name that is under way, or begin one; a str says why there is no address."""
        pool = self._pool
        if pool is None:
            pool = self._pool = ThreadPool(THREADS_MOST)
        if pool.hub is not get_hub():
            # A plain thread beside the one that greenlets share: it holds up nobody but itself.
            return self._look_up(key)
        since, flight = self._flights.get(key, (now, None))
        if flight is None:
            if not self._may_begin(whose):
                # It says nothing about this name: not remembered, and no reason to think that the host is down.
                raise AttemptError(Failure.REFUSED, f"{key[0]}: too many names are being looked up at once")
            flight = pool.spawn(self._look_up, key)
            self._flights[key] = (now, flight)
            self._under_way[whose] += 1
            flight.rawlink(lambda _: self._land(key, whose))
        if not flight.ready() and (left := since + LOOKUP_SECONDS - now) > 0:
            flight.wait(left)
        if not flight.ready():
            return f"{key[0]}: no name server answered within {LOOKUP_SECONDS:g} s"
        return cast("list[AddressInfo] | str", flight.get())

    def _may_begin(self, whose: str) -> bool:
        has, busy = self._under_way[whose], len(self._flights)
        return busy < THREADS_MOST if not (whose and has) else has < THREADS - busy

    def _land(self, key: tuple[str, int], whose: str) -> None:
        self._flights.pop(key, None)
        self._under_way[whose] -= 1
        if not self._under_way[whose]:
            del self._under_way[whose]

    def _look_up(self, key: tuple[str, int]) -> list[AddressInfo] | str:
        # Returned, not raised: gevent prints what a pool's thread raises.
        try:
            return self._lookup(*key) or f"{key[0]}: the name has no address"
        except OSError as error:
            return f"{key[0]}: the name cannot be resolved ({error.strerror or error})"
        except UnicodeError:
            return f"{key[0]}: not a host name"
