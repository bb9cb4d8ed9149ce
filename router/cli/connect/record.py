"""The record of what is connected, in the data directory: written and synced before anything is changed at Twilio."""

import contextlib
import fcntl
import json
import os
import secrets
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Self

from router.errors import RouterError
from router.twilio_api.webhooks import FIELDS, Kind, Values

NAME: Final = "connections.json"
_HOLDER: Final = "connected-"


@dataclass(frozen=True, slots=True)
class Connection:
    """A webhook at Twilio that was pointed here.

    Args:
        kind: what it is of.
        sid: of the number, service or sender.
        name: how people know it.
        account_sid: whose it is.
        base: the public base that it points to.
        tunnel: whether that is a tunnel's, which will be gone one day.
        before: what it said before.
        ours: what it was told to say, all there was, the newest last; a crash may have come before it was done.
        holder: the lock of the process that puts it back; "" for one that stays until `router disconnect`.
        at: when it was connected, in ms since 1970.
    """

    kind: Kind
    sid: str
    name: str
    account_sid: str
    base: str
    tunnel: bool
    before: Values
    ours: tuple[Values, ...]
    holder: str
    at: int


class Connections:
    """The record.

    Args:
        data_dir: the data directory, which need not be there as long as nothing is connected.
    """

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._path = data_dir / NAME

    def read(self) -> tuple[Connection, ...]:
        """Return what is connected, the oldest first.

        Raises:
            RouterError: the record is damaged; it was put aside.
        """
        try:
            return _parse(self._path.read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            return ()
        except OSError as error:
            raise RouterError(f"{self._path}, which says what is connected, cannot be read: {error.strerror}") from None
        except (ValueError, KeyError, TypeError, AttributeError):
            raise RouterError(self._put_aside()) from None

    @contextlib.contextmanager
    def changing(self) -> Iterator["Changes"]:
        """Let nobody else change the record, nor what it is about at Twilio, in the meantime.

        Raises:
            RouterError: it cannot be written, or is damaged.
        """
        with self._writable():
            lock = os.open(self._data_dir / "connections.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield Changes(self, self.read())
        finally:
            os.close(lock)

    def write(self, connections: tuple[Connection, ...]) -> None:
        """Replace the record; it is on disk when this returns.

        Raises:
            RouterError: it cannot be written.
        """
        text = json.dumps({"connections": [asdict(each) for each in connections]}, indent=2)
        draft = self._path.with_suffix(".new")
        with self._writable():
            draft.unlink(missing_ok=True)
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self._path)
            folder = os.open(self._data_dir, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    def is_held(self, connection: Connection) -> bool:
        """Say whether the process that puts a connection back still lives."""
        holder = connection.holder
        return holder.startswith(_HOLDER) and "/" not in holder and _is_locked(self._data_dir / holder)

    def tidy(self) -> None:
        """Remove the locks of processes that were killed."""
        for file in self._data_dir.glob(f"{_HOLDER}*.lock"):
            if not _is_locked(file):
                file.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _writable(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise _unsaved(self._data_dir, error) from None

    def _put_aside(self) -> str:
        aside = self._path.with_name(f"connections.damaged-{int(time.time())}.json")
        try:
            self._path.replace(aside)
        except OSError:
            aside = self._path
        return (
            f"{self._path} is damaged, so nothing was changed at Twilio; it is kept as {aside.name}. It holds what the "
            "webhooks of connected numbers were before: where a number still points here, write that back in the "
            "Console, and then run this again"
        )


class Changes:
    """The record while nobody else changes it; each change is on disk when its method returns."""

    def __init__(self, record: Connections, found: tuple[Connection, ...]) -> None:
        self._record = record
        self.all = found

    def of(self, kind: Kind, sid: str) -> Connection | None:
        """Return the connection of a record at Twilio."""
        return next((each for each in self.all if (each.kind, each.sid) == (kind, sid)), None)

    def put(self, connection: Connection) -> None:
        """Add a connection, or replace the one of the same record at Twilio."""
        self._write((*self._without(connection), connection))

    def remove(self, connection: Connection) -> None:
        """Forget a connection."""
        self._write(self._without(connection))

    def _without(self, connection: Connection) -> tuple[Connection, ...]:
        return tuple(each for each in self.all if (each.kind, each.sid) != (connection.kind, connection.sid))

    def _write(self, connections: tuple[Connection, ...]) -> None:
        self._record.write(connections)
        self.all = connections


class Holder:
    """A lock that lives as long as this process, so that others see when nobody is left to put a webhook back."""

    def __init__(self, data_dir: Path) -> None:
        self.name = f"{_HOLDER}{os.getpid()}-{secrets.token_hex(4)}.lock"
        self._path = data_dir / self.name
        self._lock = -1

    def __enter__(self) -> Self:
        draft = self._path.with_suffix(".new")
        try:
            self._lock = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX)  # before anybody sees it, or it would be tidied away
            draft.replace(self._path)
        except OSError as error:
            raise _unsaved(self._path.parent, error) from None
        return self

    def __exit__(self, *_: object) -> None:
        self._path.unlink(missing_ok=True)
        os.close(self._lock)


def _is_locked(path: Path) -> bool:
    try:
        file = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(file)
    return False


def _unsaved(folder: Path, error: OSError) -> RouterError:
    return RouterError(
        f"what a webhook was before cannot be saved in {folder} ({error.strerror}), so it was not changed; make room "
        "there, or name another folder in ROUTER_DATA_DIR"
    )


def _parse(text: bytes) -> tuple[Connection, ...]:
    """Read the record; raise ValueError, KeyError, TypeError or AttributeError for one that is none."""
    return tuple(_connection(each) for each in json.loads(text)["connections"])


def _connection(found: Mapping[str, Any]) -> Connection:
    kind, ours = found["kind"], [_values(found["kind"], each) for each in found["ours"]]
    texts = {name: found[name] for name in ("sid", "name", "account_sid", "base", "holder")}
    if not ours or not all(isinstance(text, str) for text in texts.values()):
        raise ValueError("not a connection")
    before, at = _values(kind, found["before"]), int(found["at"])
    return Connection(kind=kind, before=before, ours=tuple(ours), at=at, tunnel=bool(found["tunnel"]), **texts)


def _values(kind: Kind, found: Mapping[str, str]) -> Values:
    values = {field: found[field] for field in FIELDS[kind]}
    if not all(isinstance(value, str) for value in values.values()):
        raise ValueError("not the values of a webhook")
    return values
