"""Calls to Redis over one connection that all greenlets of a process share.

Much of a call's cost is in the client and the disk, not in the store. So commands are pipelined: those of one round of
the event loop are sent in one system call, without waiting for earlier replies, and the store commits all pending
commands with one fsync. Replies arrive in the order of the commands.

This module never retries a call: redis-py's retry would run a script twice if a reply was lost, so it is off. Callers
whose call is idempotent (with a token) retry themselves.
"""

import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import gevent
import hiredis
import redis
from gevent.hub import Waiter

from router.crew import Crew
from router.errors import StoreRefused, StoreUnavailable, StoreUnconfirmed
from router.server_url import Address
from router.store.connections import connection_pool
from router.store.script import SCRIPTS, Word, script
from router.store.sentinel import SentinelPool
from router.store.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Iterator

# A store that does not answer within this many seconds is unavailable.
CALL_SECONDS: Final = 1.0
# A connection that was idle for so long is checked before it is used.
IDLE_SECONDS: Final = 0.5
# Commands in one pipeline at most. 256 accepts of the largest body allowed are 32 MB, well under a client's limits.
BATCH: Final = 256


def _pack(*words: Word) -> bytes:
    packed: bytes = hiredis.pack_command(words)  # type: ignore[arg-type]  # its stub means a tuple of one word
    return packed


class NotRun(StoreRefused):
    """A node of a Cluster did not run a command: `kind` is MOVED, ASK, TRYAGAIN or CLUSTERDOWN."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(kind, message)
        self.kind = kind
        self.message = message

    def __str__(self) -> str:
        """Return the node's own words."""
        return f"the store said: {self.kind} {self.message}"

    @property
    def address(self) -> Address | None:
        """The node that MOVED and ASK name, else None; a host of "" is that of the node that answered."""
        if self.kind not in ("MOVED", "ASK"):
            return None
        host, _, port = self.message.rpartition(" ")[2].rpartition(":")
        return host, int(port)


class Call:
    """One command in progress, and its one caller, who waits for the reply."""

    __slots__ = ("_is_answered", "_waiter", "command", "writes")

    def __init__(self, command: bytes, *, writes: bool) -> None:
        self.command = command
        self.writes = writes
        # An AsyncResult passes a reply on in one more round of the event loop.
        self._waiter: Waiter[Any] = Waiter()
        self._is_answered = False

    def result(self, seconds: float | None = None) -> Any:
        """Wait for the reply, `seconds` at most; raise as `Client.call` does."""
        if seconds is None:
            return self._waiter.get()
        timeout = gevent.Timeout.start_new(seconds)
        try:
            return self._waiter.get()
        except gevent.Timeout as ended:
            if ended is not timeout:
                raise
            raise StoreUnavailable(f"the store did not answer within {seconds:.1f} s") from None
        finally:
            timeout.close()

    def answer(self, reply: Any) -> None:
        """Give the caller the reply."""
        self._is_answered = True
        self._waiter.hub.loop.run_callback(self._waiter.switch, reply)

    def fail(self, error: StoreUnavailable) -> None:
        """Give the caller a new error object: one shared by many greenlets would collect all their tracebacks."""
        if not self._is_answered:
            self._is_answered = True
            self._waiter.hub.loop.run_callback(self._waiter.throw, type(error)(*error.args))


class _Link:
    """A connection with its pending commands, in the order of their replies."""

    def __init__(self, pool: Any, wait: bytes, replicas: int) -> None:
        self._pool = pool
        self._crew = Crew(1)
        self._wait = wait
        self._replicas = replicas
        self._pending: deque[Call | None] = deque()  # None stands for a WAIT
        self._unconfirmed: list[tuple[Call, Any]] = []
        self._reading = False
        self._connection: Any = None
        self._wire: Wire
        self._used = time.monotonic()
        self.broken = False

    def closed_while_idle(self) -> bool:
        """Return whether the store has closed the connection since its last use, as at a restart or failover.

        A command sent over it would fail although a new connection would work. A busy connection is not checked.
        """
        if self.broken or self._pending or time.monotonic() - self._used < IDLE_SECONDS:
            return False
        try:
            return self._wire.has_ended()
        except OSError:
            return True

    def is_idle(self) -> bool:
        """Return whether no caller waits for a reply."""
        return not (self._pending or self._unconfirmed)

    def connect(self, seconds: float) -> None:
        """Connect, and load the scripts, because the store may have been restarted; in `seconds` together."""
        timeout = gevent.Timeout(seconds)
        try:
            with store_errors(), timeout:
                connection = self._pool.get_connection()
                self._connection, self._wire = connection, Wire(connection, seconds)
                self._load()
        except BaseException as error:
            self._drop()  # otherwise the pool counts it as in use, and is exhausted while the store is loading
            if error is timeout:
                raise StoreUnavailable(f"no connection to the store within {seconds:g} s") from None
            raise

    def _load(self) -> None:
        loads = [_pack("SCRIPT", "LOAD", script.source) for script in SCRIPTS.values()]
        self._wire.send(b"".join(loads))
        for _ in loads:
            reply = self._wire.reply()
            if isinstance(reply, redis.ResponseError):
                raise reply

    def send(self, calls: list[Call]) -> None:
        """Send commands; their callers are notified when the replies arrive or the connection is lost."""
        self._used = time.monotonic()
        self._pending.extend(calls)
        commands = [call.command for call in calls]
        if self._replicas and any(call.writes for call in calls):
            self._pending.append(None)
            commands.append(self._wait)
        if not self._reading:
            self._reading = True
            self._crew.spawn(self._read)
        try:
            self._wire.send(b"".join(commands))
        except OSError as error:
            self.close(_no_answer(error, self._used))

    def close(self, error: StoreUnavailable) -> None:
        """Close the connection; the callers that wait for a reply get the error."""
        self._drop()
        waiting = [call for call in self._pending if call] + [call for call, _ in self._unconfirmed]
        self._pending.clear()
        self._unconfirmed.clear()
        for call in waiting:
            call.fail(error)

    def _drop(self) -> None:
        self.broken = True
        connection, self._connection = self._connection, None
        if connection is not None:
            self._wire.close()
            connection.disconnect()
            self._pool.release(connection)

    def _read(self) -> None:
        """Read replies and pass them to their callers while any is pending."""
        try:
            while self._pending:
                started = time.monotonic()
                reply = self._wire.reply()
                self._hand_out(_refusal(reply) if isinstance(reply, redis.ResponseError) else reply)
        except (redis.RedisError, OSError) as error:
            self.close(_no_answer(error, started))
        except Exception as error:  # noqa: BLE001 - any error must reach the waiting callers
            self.close(_unavailable(error))
        finally:
            self._reading = False

    def _hand_out(self, reply: Any) -> None:
        call = self._pending.popleft()
        if call is None:
            confirmed = isinstance(reply, int) and reply >= self._replicas
            refusal = StoreUnconfirmed(f"only {reply} of {self._replicas} replicas confirmed the write")
            for written, earlier in self._unconfirmed:
                if confirmed:
                    written.answer(earlier)
                else:
                    written.fail(refusal)
            self._unconfirmed.clear()
        elif isinstance(reply, StoreRefused):
            call.fail(reply)
        elif call.writes and self._replicas:
            self._unconfirmed.append((call, reply))
        else:
            call.answer(reply)


class Client:
    """One connection to the store, shared by all greenlets of a process.

    `replicas` is how many replicas must confirm a call with `writes=True`; if they do not, the call raises
    `StoreUnconfirmed`.
    """

    def __init__(self, url: str, *, replicas: int = 0, call_seconds: float = CALL_SECONDS) -> None:
        self._server = url
        self._call_seconds = call_seconds
        self._pool = connection_pool(url, call_seconds)
        self.replicas = replicas
        self._crew = Crew(1)
        self._wait = _pack("WAIT", replicas, int(call_seconds * 500)) if replicas else b""
        self._link: _Link | None = None
        self._outbox: list[Call] = []
        self._sending = False
        self._connected = 0

    @property
    def connection(self) -> int:
        """The number of the connection, counted from 1."""
        return self._connected

    def script(self, name: str, keys: Sequence[Word], args: Sequence[Word], *, writes: bool = False) -> Any:
        """Run the script `name`; raise as `call` does."""
        return self.call(*script(name, keys, args), writes=writes)

    def call(self, *words: Word, writes: bool = False) -> Any:
        """Send one command and return its reply (bytes, int, list or None).

        Raises `StoreUnavailable` if there was no answer (the command may or may not have run), `StoreRefused` if the
        store answered with an error.
        """
        return self._result(words, self._sent(words, writes=writes), writes=writes)

    def is_confirmed(self, key: Word, seconds: float) -> bool:  # noqa: ARG002 - selects the node of a Cluster
        """Return whether enough replicas confirm, within `seconds`, all that this connection has written."""
        return not self.replicas or self.call("WAIT", self.replicas, int(seconds * 1000)) >= self.replicas

    def calls(self, commands: Iterable[tuple[Word, ...]]) -> list[Any]:
        """Send several commands together and return their replies; raise for the first that failed."""
        sent = [(words, self._sent(words, writes=False)) for words in commands]
        return [self._result(words, first, writes=False) for words, first in sent]

    def answers(self, commands: Iterable[tuple[Word, ...]]) -> list[Any]:
        """Send several commands together; return for each its reply, or the `StoreUnavailable` that `call` raises.

        Use it for commands about different accounts, which may be on different nodes of a Cluster: if one node is down,
        the others' replies are still returned. Raises `StoreUnavailable` if all of them failed.
        """
        sent = [(words, self._sent(words, writes=False)) for words in commands]
        replies = [self._outcome(words, first) for words, first in sent]
        if replies and all(isinstance(reply, StoreUnavailable) for reply in replies):
            raise replies[0]
        return replies

    def node(self, key: Word) -> "Client":  # noqa: ARG002 - selects the node of a Cluster
        """Return the client of the server that has a key: this one, if it is no Cluster."""
        return self

    def place(self, key: Word) -> str:  # noqa: ARG002 - selects the node of a Cluster
        """Return the name of the server that has a key: "" if it is no Cluster."""
        return ""

    def nodes(self) -> Mapping[str, "Client"]:
        """Return the clients of all servers that messages are written to, by name; the name is "" without a Cluster."""
        return {"": self}

    def uncovered(self) -> int:
        """Return how many slots of a Cluster no node has."""
        return 0

    def look_again(self) -> None:
        """Read again which node of a Cluster has which slots."""

    @contextmanager
    def dedicated(self) -> "Iterator[Any]":
        """Make a redis-py connection for one caller, for example to subscribe; raise `StoreUnavailable`."""
        with store_errors():
            pool = connection_pool(self._server, self._call_seconds)
            connection = pool.get_connection()
        try:
            yield connection
        finally:
            connection.disconnect()
            pool.release(connection)

    def is_idle(self) -> bool:
        """Return whether no caller waits for a reply."""
        return not (self._outbox or self._sending) and (self._link is None or self._link.is_idle())

    def close(self) -> None:
        """Close the connection; the next call makes a new one."""
        link, self._link = self._link, None
        if link is not None:
            link.close(StoreUnavailable("the connection to the store was closed"))

    def _sent(self, words: tuple[Word, ...], *, writes: bool) -> Call | StoreUnavailable:
        """Send a command; return the call, or the error if it could not be sent."""
        return self.enqueue(words, writes=writes)

    def _result(self, words: tuple[Word, ...], sent: Call | StoreUnavailable, *, writes: bool) -> Any:  # noqa: ARG002
        """Wait for a command's reply; a Cluster may send it again."""
        if isinstance(sent, StoreUnavailable):
            raise sent
        return sent.result()

    def _outcome(self, words: tuple[Word, ...], sent: Call | StoreUnavailable) -> Any:
        try:
            return self._result(words, sent, writes=False)
        except StoreUnavailable as error:
            return error

    def enqueue(self, words: tuple[Word, ...], *, writes: bool) -> Call:
        """Queue a command to be sent with the others of this round of the event loop; wait for it by `Call.result`."""
        call = Call(_pack(*words), writes=writes)
        self._outbox.append(call)
        if not self._sending:
            self._sending = True
            self._crew.spawn(self._send)  # runs after the greenlets that are ready now have queued their commands
        return call

    def _send(self) -> None:
        """Send the queued commands."""
        try:
            while self._outbox:
                if self._link is not None and self._link.closed_while_idle():
                    self._link.close(StoreUnavailable("the store closed the connection"))
                if self._link is None or self._link.broken:
                    link = _Link(self._pool, self._wait, self.replicas)
                    link.connect(self._call_seconds)
                    if isinstance(self._pool, SentinelPool):
                        self._pool.watch(partial(link.close, StoreUnavailable("the Sentinels name another master")))
                    self._link = link
                    self._connected += 1
                batch, self._outbox = self._outbox[:BATCH], self._outbox[BATCH:]
                self._link.send(batch)
        except Exception as error:  # noqa: BLE001 - any error must reach the waiting callers
            # No connection could be made. All queued callers fail now: another attempt would exceed their time limits.
            failed, self._outbox = self._outbox, []
            for call in failed:
                call.fail(_unavailable(error))
            self.close()
        finally:
            self._sending = False


def _unavailable(error: Exception) -> StoreUnavailable:
    return error if isinstance(error, StoreUnavailable) else StoreUnavailable(f"{type(error).__name__}: {error}")


@contextmanager
def store_errors() -> "Iterator[None]":
    """Convert the errors of the connection to ours."""
    started = time.monotonic()
    try:
        yield
    except (redis.RedisError, OSError) as error:
        raise _no_answer(error, started) from error


def _no_answer(error: Exception, started: float) -> StoreUnavailable:
    reason = str(error) or type(error).__name__
    return StoreUnavailable(f"the store did not answer ({reason}, after {time.monotonic() - started:.1f} s)")


# Errors of a Cluster's node that did not run the command: another node has the slot, no node has it, or it is moving.
_ELSEWHERE: Final = {
    redis.exceptions.MovedError: "MOVED",
    redis.exceptions.AskError: "ASK",
    redis.exceptions.TryAgainError: "TRYAGAIN",
    redis.exceptions.ClusterDownError: "CLUSTERDOWN",
}


def _refusal(error: redis.ResponseError) -> StoreRefused:
    kind = _ELSEWHERE.get(type(error))
    return NotRun(kind, str(error)) if kind else StoreRefused(f"the store said: {error}")
