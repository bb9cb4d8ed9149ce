"""Connections to the master that Sentinels name.

All Sentinels are queried in parallel, and the first answer whose server is really a master is used, so that a Sentinel
which hangs, refuses or is outdated causes no delay. If none answers, the last known master is used, since there is no
failover without Sentinels. While a connection is used, they are queried again in the background, so that a master
isolated by a network partition does not continue to accept messages.

https://redis.io/docs/latest/develop/reference/sentinel-clients/
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeAlias

import gevent
import redis
from gevent.queue import Empty, Queue

from router.sentinel_url import SentinelUrl

Address: TypeAlias = tuple[str, int]

# The interval of the check whether the Sentinels name another master than the one in use.
WATCH_SECONDS: Final = 10.0


class SentinelPool:
    """Makes connections to the master; used in place of redis-py's pool.

    Args:
        url: the addresses of the Sentinels, and the connection options for them and the store.
        call_seconds: the time limit of a call: half of it for the Sentinels, the rest for the store.
        options: the options of each connection, as for redis-py's pool.
    """

    def __init__(self, url: SentinelUrl, call_seconds: float, options: dict[str, Any]) -> None:
        self._url = url
        self._ask_seconds = call_seconds / 2
        self._options = options
        self._known: Address | None = None
        self._watcher: gevent.Greenlet[..., None] | None = None

    def get_connection(self) -> Any:
        """Connect to the master; raise `redis.ConnectionError` if no master is found."""
        reasons: list[str] = []
        found: set[Address] = set()
        for name, answer in self._ask():
            if isinstance(answer, str):
                reasons.append(f"{name}: {answer}")
            elif answer not in found:
                found.add(answer)
                try:
                    return self._use(answer)
                except (redis.RedisError, OSError) as error:
                    reasons.append(f"{answer[0]}:{answer[1]}: {_reason(error)}")
        if self._known is not None and not found:
            return self._use(self._known)
        raise redis.ConnectionError(f"no master of {self._url.service} is found: {'; '.join(reasons)}")

    def watch(self, moved: Callable[[], None]) -> None:
        """Call `moved` once most Sentinels name another master than the one in use; `release` ends the watch."""
        if self._known is not None:
            self._watcher = gevent.spawn(self._watch, self._known, moved)

    def release(self, connection: Any) -> None:  # noqa: ARG002 - as redis-py's pool
        """End the watch of a connection that is no longer used."""
        watcher, self._watcher = self._watcher, None
        if watcher is not None:
            watcher.kill(block=False)

    def _use(self, address: Address) -> Any:
        connection = self._connect(address)
        self._known = address
        return connection

    def _connect(self, address: Address) -> Any:
        """Connect to a server; raise `redis.ConnectionError` if it is not a master."""
        url = self._url.of_store(*address)
        connection: Any = redis.ConnectionPool.from_url(url, **self._options).get_connection()
        try:
            role = _role(connection)
        except BaseException:
            connection.disconnect()
            raise
        if role != "master":
            connection.disconnect()
            raise redis.ConnectionError(f"it is a {role}, not a master")
        return connection

    def _ask(self) -> Iterator[tuple[str, Address | str]]:
        """Query all Sentinels in parallel; yield each as it answers, with its master, or the reason for no answer."""
        answers: Queue[tuple[str, Address | str]] = Queue()
        asking = [gevent.spawn(self._ask_one, *each, answers) for each in self._url.sentinels]
        end = time.monotonic() + self._ask_seconds
        try:
            for _ in asking:
                try:
                    yield answers.get(timeout=max(0.0, end - time.monotonic()))
                except Empty:
                    yield "the others", f"no answer within {self._ask_seconds:g} s"
                    return
        finally:
            gevent.killall(asking, block=False)

    def _ask_one(self, host: str, port: int, answers: "Queue[tuple[str, Address | str]]") -> None:
        name = f"Sentinel {host}:{port}"
        connection: Any = None
        try:
            options = self._options | {
                "socket_timeout": self._ask_seconds,
                "socket_connect_timeout": self._ask_seconds,
            }
            connection = redis.ConnectionPool.from_url(self._url.of_sentinel(host, port), **options).get_connection()
            connection.send_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._url.service)
            reply = connection.read_response(disable_decoding=True)
        except Exception as error:  # noqa: BLE001 - also errors from wrong options
            answers.put((name, _reason(error)))
        else:
            answers.put((name, (reply[0].decode(), int(reply[1])) if reply else "knows no master of this name"))
        finally:
            if connection is not None:
                connection.disconnect()

    def _watch(self, used: Address, moved: Callable[[], None]) -> None:
        while True:
            gevent.sleep(WATCH_SECONDS)
            named = Counter(answer for _, answer in self._ask() if not isinstance(answer, str))
            address, votes = named.most_common(1)[0] if named else (used, 0)
            if address != used and votes > len(self._url.sentinels) / 2:
                try:
                    self._connect(address).disconnect()
                except (redis.RedisError, OSError):
                    continue
                moved()
                return


def _role(connection: Any) -> str:
    connection.send_command("ROLE")
    try:
        return str(connection.read_response(disable_decoding=True)[0].decode())
    except redis.exceptions.NoPermissionError:  # without ROLE, trust the Sentinels
        return "master"


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__
