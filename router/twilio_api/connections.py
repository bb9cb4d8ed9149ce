"""The record of the connected webhooks in the data directory; it is written before anything is changed at Twilio."""

import contextlib
import fcntl
import json
import os
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Protocol, Self

from router.errors import RouterError
from router.message.address import canonical
from router.twilio_api.webhooks import FIELDS, Kind, Values

NAME: Final = "connections.json"
_HOLDER: Final = "connected-"


@dataclass(frozen=True, slots=True)
class ConnectedWebhook:
    """A webhook at Twilio that points to this router.

    Args:
        kind: whether it belongs to a number, a service or a sender.
        sid: the SID of the number, service or sender.
        name: its name for people.
        account_sid: the account.
        base: the public base URL that it points to.
        tunnel: whether that is the URL of a tunnel.
        before: its values before it was connected.
        ours: all values that we have set, oldest first; the last ones may not have reached Twilio.
        holder: the lock of the process that restores it; "" if it stays until `router disconnect`.
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

    @property
    def key(self) -> tuple[Kind, str]:
        """The kind and SID of its number, sender or service, which has at most one connection."""
        return self.kind, self.sid


class _Named(Protocol):
    """A webhook at Twilio, or the record of one."""

    @property
    def kind(self) -> Kind: ...
    @property
    def name(self) -> str: ...


def addresses_of(webhooks: Iterable[_Named]) -> list[tuple[str, str]]:
    """Return the addresses of webhooks, as channel and identity; a Messaging Service has no address."""
    channels = {"number": "sms", "sender": "whatsapp"}
    return [(channel, canonical(each.name, channel)) for each in webhooks if (channel := channels.get(each.kind, ""))]


class Connections:
    """The record of the connected webhooks. The data directory need not exist while nothing is connected."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._path = data_dir / NAME

    def read(self) -> tuple[ConnectedWebhook, ...]:
        """Return the connected webhooks, the oldest first.

        Raises:
            RouterError: the record is damaged; it was renamed.
        """
        try:
            return tuple(_connection(each) for each in json.loads(self._path.read_bytes())["connections"])
        except (FileNotFoundError, NotADirectoryError):
            return ()
        except OSError as error:
            raise RouterError(f"{self._path}, the record of connected numbers: {error.strerror}") from None
        except (ValueError, KeyError, TypeError, AttributeError):
            raise RouterError(self._put_aside()) from None

    def of(self, key: tuple[Kind, str]) -> ConnectedWebhook | None:
        """Return the connection of a number, service or sender."""
        return next((each for each in self.read() if each.key == key), None)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the record, so that no other process changes it or its webhooks at Twilio.

        Raises:
            RouterError: it cannot be written, or is damaged.
        """
        with _writing(self._data_dir):
            lock = os.open(self._data_dir / "connections.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self.read()  # raises if it is damaged, before anything is changed
            yield
        finally:
            os.close(lock)

    def put(self, connection: ConnectedWebhook) -> None:
        """Add a connection, or replace the one with the same key; it is on disk when this returns."""
        self._write((*self._without(connection), connection))

    def remove(self, connection: ConnectedWebhook) -> None:
        """Remove a connection."""
        self._write(self._without(connection))

    def is_orphan(self, connection: ConnectedWebhook, tunnel: str) -> bool:
        """Return whether no process will restore a connection, because its process or its tunnel has crashed.

        `tunnel` is the base URL of the open tunnel; "" if no tunnel is open.
        """
        if self.is_held(connection):
            return False
        return bool(connection.holder) or (connection.tunnel and not tunnel)

    def is_held(self, connection: ConnectedWebhook) -> bool:
        """Return whether the process that restores a connection still runs."""
        holder = connection.holder
        return holder.startswith(_HOLDER) and "/" not in holder and _is_locked(self._data_dir / holder)

    def tidy(self) -> None:
        """Remove the locks of processes that were killed."""
        for file in self._data_dir.glob(f"{_HOLDER}*.lock"):
            if not _is_locked(file):
                file.unlink(missing_ok=True)

    def _without(self, connection: ConnectedWebhook) -> tuple[ConnectedWebhook, ...]:
        return tuple(each for each in self.read() if each.key != connection.key)

    def _write(self, connections: tuple[ConnectedWebhook, ...]) -> None:
        text = json.dumps({"connections": [asdict(each) for each in connections]}, indent=2)
        draft = self._path.with_suffix(".new")
        with _writing(self._data_dir):
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

    def _put_aside(self) -> str:
        aside = self._path.with_name(f"connections.damaged-{int(time.time())}.json")
        try:
            self._path.replace(aside)
        except OSError:
            aside = self._path
        return (
            f"{self._path} is damaged, so nothing was changed at Twilio; it is kept as {aside.name}. It has the "
            "previous webhooks of connected numbers: if a number still points here, set its previous webhook in the "
            "Console, and then run this command again"
        )


class Holder:
    """A lock of this process: it shows other processes that this one still runs and will restore its webhooks."""

    def __init__(self, data_dir: Path) -> None:
        self.name = f"{_HOLDER}{os.getpid()}-{secrets.token_hex(4)}.lock"
        self._path = data_dir / self.name
        self._lock = -1

    def __enter__(self) -> Self:
        draft = self._path.with_suffix(".new")
        with _writing(self._path.parent):
            self._lock = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX)  # before it has its final name: `tidy` would remove it unlocked
            draft.replace(self._path)
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


@contextlib.contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RouterError(
            f"the previous webhook cannot be saved in {folder} ({error.strerror}), so nothing was changed; correct "
            "this, or name another folder in ROUTER_DATA_DIR"
        ) from None


def _connection(found: Mapping[str, Any]) -> ConnectedWebhook:
    """Read a connection; raise ValueError, KeyError, TypeError or AttributeError if it is invalid."""
    kind, ours = found["kind"], [_values(found["kind"], each) for each in found["ours"]]
    texts = {name: found[name] for name in ("sid", "name", "account_sid", "base", "holder")}
    if not ours or not all(isinstance(text, str) for text in texts.values()):
        raise ValueError("not a connection")
    before, at = _values(kind, found["before"]), int(found["at"])
    return ConnectedWebhook(kind=kind, before=before, ours=tuple(ours), at=at, tunnel=bool(found["tunnel"]), **texts)


def _values(kind: Kind, found: Mapping[str, str]) -> Values:
    values = {field: found[field] for field in FIELDS[kind]}
    if not all(isinstance(value, str) for value in values.values()):
        raise ValueError("not the values of a webhook")
    return values
