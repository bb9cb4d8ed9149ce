"""Calls to Redis: those that run together in one process share a pipeline, and with it one fsync.

Much of a call's cost is the client's, not the store's. Here callers put their command in a queue and wait; one greenlet
sends what has gathered, reads the replies and hands them out, for as long as there is something to send.

No call is ever repeated here: redis-py's own repetition would run a script twice whose reply was lost, so it is off,
and who can repeat safely (with a token) does.
"""

import hashlib
import time
from collections.abc import Iterable, Sequence
from contextlib import contextmanager
from importlib import resources
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import gevent
import hiredis
import redis
from gevent.event import AsyncResult
from redis.backoff import NoBackoff
from redis.maint_notifications import MaintNotificationsConfig
from redis.retry import Retry
from redis.sentinel import Sentinel

from router.errors import StoreRefused, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

Word: TypeAlias = str | bytes | int | float

# A store that does not answer within this many seconds is away: DESIGN 7, "store call 1 s".
CALL_SECONDS: Final = 1.0
# Commands in one pipeline at most. 256 accepts of the largest body allowed are 32 MB, well under a client's limits.
BATCH: Final = 256


class Script:
    """A Lua script of this package, named by its file, called by its digest."""

    def __init__(self, name: str) -> None:
        self.source = resources.files(__package__).joinpath(f"{name}.lua").read_bytes()
        self.sha = hashlib.sha1(self.source, usedforsecurity=False).hexdigest()


SCRIPTS: Final = {
    name: Script(name)
    for name in ("accept", "answer", "claim", "dead", "delete_flow", "entries", "put_flow", "replay", "settle", "trim")
}


def script(name: str, keys: Sequence[Word], args: Sequence[Word]) -> tuple[Word, ...]:
    """Return the command that runs the script `name`."""
    return ("EVALSHA", SCRIPTS[name].sha, len(keys), *keys, *args)


def _pack(*words: Word) -> bytes:
    packed: bytes = hiredis.pack_command(words)  # type: ignore[arg-type]  # its stub means a tuple of one word
    return packed


class _Call:
    """One command on its way, and where its caller waits."""

    __slots__ = ("command", "reply", "writes")

    def __init__(self, command: bytes, *, writes: bool) -> None:
        self.command = command
        self.writes = writes
        self.reply: AsyncResult[Any] = AsyncResult()


class Client:
    """One connection to the store, shared by all greenlets of a process.

    `replicas` is how many replicas must confirm a call that was made with `writes=True` before it counts.
    """

    def __init__(self, url: str, *, replicas: int = 0, call_seconds: float = CALL_SECONDS) -> None:
        self._pool = connection_pool(url, call_seconds)
        self._replicas = replicas
        self._call_seconds = call_seconds
        self._connection: Any = None
        self._queue: list[_Call] = []
        self._busy = False
        self._wait = _pack("WAIT", replicas, int(call_seconds * 500)) if replicas else b""

    def script(self, name: str, keys: Sequence[Word], args: Sequence[Word], *, writes: bool = False) -> Any:
        """Run the script `name`; raise as `call` does."""
        return self.call(*script(name, keys, args), writes=writes)

    def call(self, *words: Word, writes: bool = False) -> Any:
        """Send one command and return its reply (bytes, int, list or None).

        Raises `StoreUnavailable` when there was no answer (it may or may not have run), `StoreRefused` when the store
        said no.
        """
        return self._enqueue(words, writes=writes).reply.get()

    def calls(self, commands: Iterable[tuple[Word, ...]]) -> list[Any]:
        """Send several commands together and return their replies; raise for the first that failed."""
        return [call.reply.get() for call in [self._enqueue(words, writes=False) for words in commands]]

    def close(self) -> None:
        """Drop the connection; the next call makes a new one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self._pool.release(connection)
            connection.disconnect()

    def _enqueue(self, words: tuple[Word, ...], *, writes: bool) -> _Call:
        call = _Call(_pack(*words), writes=writes)
        self._queue.append(call)
        if not self._busy:
            self._busy = True
            gevent.spawn(self._talk)
        return call

    def _talk(self) -> None:
        """Send what has gathered and hand out the replies, until nothing gathers any more."""
        try:
            while self._queue:
                batch, self._queue = self._queue[:BATCH], self._queue[BATCH:]
                try:
                    self._exchange(batch)
                except StoreUnavailable as error:
                    # Whoever gathered meanwhile is told at once: a wait for the same dead store costs their own budget.
                    batch, self._queue = batch + self._queue, []
                    for call in batch:
                        if not call.reply.ready():
                            call.reply.set_exception(StoreUnavailable(*error.args))
        finally:
            self._busy = False

    def _exchange(self, batch: list[_Call]) -> None:
        with self._errors():
            connection = self._connection or self._connect()
            confirm = self._replicas > 0 and any(call.writes for call in batch)
            commands = [call.command for call in batch]
            if confirm:
                commands.append(self._wait)
            connection.send_packed_command([b"".join(commands)], check_health=False)
            replies = []
            for _ in commands:
                try:
                    replies.append(connection.read_response(disable_decoding=True))
                except redis.ResponseError as error:
                    if isinstance(error, _GONE):
                        raise
                    replies.append(error)
        confirmed = not confirm or (isinstance(replies[-1], int) and replies[-1] >= self._replicas)
        for call, reply in zip(batch, replies, strict=False):
            if isinstance(reply, Exception):
                call.reply.set_exception(StoreRefused(f"the store said: {reply}"))
            elif call.writes and not confirmed:
                confirmations = f"only {replies[-1]} of {self._replicas} replicas confirmed the write"
                call.reply.set_exception(StoreRefused(confirmations))
            else:
                call.reply.set(reply)

    def _connect(self) -> Any:
        connection = self._pool.get_connection()
        self._connection = connection
        connection.send_packed_command(
            [_pack("SCRIPT", "LOAD", script.source) for script in SCRIPTS.values()],
            check_health=False,
        )
        for _ in SCRIPTS:
            connection.read_response(disable_decoding=True)
        return connection

    @contextmanager
    def _errors(self) -> "Iterator[None]":
        started = time.monotonic()
        try:
            yield
        except (redis.RedisError, OSError) as error:
            self.close()
            waited = time.monotonic() - started
            reason = str(error) or type(error).__name__
            raise StoreUnavailable(f"the store did not answer ({reason}, after {waited:.1f} s)") from error


# Errors after which this connection is of no use: another master was elected, the store is starting, scripts were
# flushed (the next connection loads them), the password changed.
_GONE: Final = (
    redis.exceptions.ReadOnlyError,
    redis.exceptions.BusyLoadingError,
    redis.exceptions.NoScriptError,
    redis.exceptions.AuthenticationError,
    redis.exceptions.MasterDownError,
    redis.exceptions.TryAgainError,
)


def connection_pool(url: str, call_seconds: float) -> Any:
    """Make redis-py's pool for a `redis`, `rediss`, `unix` or `redis+sentinel` URL.

    `redis+sentinel://[user:password@]host:26379[,host:26379…]/<service name>[/<db>]`
    """
    options: dict[str, Any] = {
        "socket_timeout": call_seconds,
        "socket_connect_timeout": call_seconds,
        "retry": Retry(NoBackoff(), 0),
        "retry_on_timeout": False,
        "health_check_interval": 0,
        "protocol": 2,
        "client_name": "twilio-router",
    }
    if url.startswith("redis+sentinel://"):
        credentials, _, rest = url.removeprefix("redis+sentinel://").rpartition("@")
        hosts, _, path = rest.partition("/")
        service, _, db = path.partition("/")
        user, _, password = credentials.partition(":")
        sentinels = [
            (host.rpartition(":")[0] or host, int(host.rpartition(":")[2] or 26379)) for host in hosts.split(",")
        ]
        sentinel: Any = Sentinel(  # type: ignore[no-untyped-call]
            sentinels, socket_timeout=call_seconds, socket_connect_timeout=call_seconds
        )
        master = sentinel.master_for(
            service, db=int(db or 0), username=user or None, password=password or None, **options
        )
        return master.connection_pool
    if not url.startswith("unix://"):
        options["maint_notifications_config"] = MaintNotificationsConfig(enabled=False)
    return redis.ConnectionPool.from_url(url, **options)
