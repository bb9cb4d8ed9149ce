"""Connections to the master that Sentinels name.

All Sentinels are asked at once, and the first that names a server which is a master counts: one that hangs, refuses or
is behind costs nothing. Where none answers, the master that was known last is as good as it was, for there is no
failover without Sentinels. While a connection is used they are asked again, in the background, so that a master which
was cut off from the others does not go on taking messages.

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

# Between two looks whether the Sentinels name another master than the one that is used.
WATCH_SECONDS: Final = 10.0


class SentinelPool:
    """Makes connections to the master; stands where redis-py's pool does.

    Args:
        url: where the Sentinels are, and how they and the store are connected to.
        call_seconds: what a call may take. Half of it is for the Sentinels, so that the rest is for the store.
        options: for each connection, as redis-py's pool takes them.
    """

    def __init__(self, url: SentinelUrl, call_seconds: float, options: dict[str, Any]) -> None:
        self._url = url
        self._ask_seconds = call_seconds / 2
        self._options = options
        self._known: Address | None = None
        self._watcher: gevent.Greenlet[..., None] | None = None

    def get_connection(self) -> Any:
        """Connect to the master; raise `redis.ConnectionError` when there is none."""
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
                    reasons.append(f"{answer[0]}:{answer[1]}: {_said(error)}")
        if self._known is not None and not found:
            return self._use(self._known)
        raise redis.ConnectionError(f"no master of {self._url.service} is found: {'; '.join(reasons)}")

    def watch(self, moved: Callable[[], None]) -> None:
        """Call `moved` when most Sentinels name another master than the one that is used, until that is released."""
        if self._known is not None:
            self._watcher = gevent.spawn(self._watch, self._known, moved)

    def release(self, connection: Any) -> None:  # noqa: ARG002 - as redis-py's pool
        """End the watch over a connection that is not used any more."""
        watcher, self._watcher = self._watcher, None
        if watcher is not None:
            watcher.kill(block=False)

    def _use(self, address: Address) -> Any:
        connection = self._connect(address)
        self._known = address
        return connection

    def _connect(self, address: Address) -> Any:
        """Connect to a server; raise `redis.ConnectionError` when it is not a master."""
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
        """Ask all Sentinels at once; yield each with the master that it names, or why it names none, as they come."""
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
        except Exception as error:  # noqa: BLE001 - a wrong option, too, is an answer
            answers.put((name, _said(error)))
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
    except redis.exceptions.NoPermissionError:  # then the Sentinels are believed
        return "master"


def _said(error: Exception) -> str:
    return str(error) or type(error).__name__
