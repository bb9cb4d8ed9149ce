"""A registry of the processes that accept messages, on all machines, with their accounts and languages.

Each process renews its entry regularly, and withdraws it when it stops. An entry that expires instead is that of a
process which was killed: messages that it was answering may be lost.
"""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from hashlib import sha256
from typing import Final

from router.language.detector import needed
from router.settings import Settings
from router.store.client import Client
from router.store.keys import PROCESSES, refused_reload, served

# The lifetime of an entry, and the interval of its renewal.
SECONDS: Final = 20.0
EVERY: Final = 5.0
# How long it is kept why a reload was refused.
REFUSED_MS: Final = 60_000


@dataclass(frozen=True, slots=True)
class Process:
    """The registry entry of a process.

    Args:
        machine: identifies the machine (PID namespace) of the process.
        host: the machine's name, for display.
        master: the id of the process that forked it.
        pid: its own id.
        bind: the listening address from the settings.
        languages: the codes of the languages that it can detect.
        serves: the digest of its accounts and handlers; equal for processes with the same ones.
        shut: targets to which it sends only probes, as its breaker is open: each an AccountSid and `FlexFlow.target`.
    """

    machine: str
    host: str
    master: int
    pid: int
    bind: str
    languages: tuple[str, ...]
    serves: str
    shut: tuple[tuple[str, str], ...] = ()

    def shuts(self, account_sid: str) -> list[str]:
        """Return the targets of an account to which it sends only probes."""
        return [target for sid, target in self.shut if sid == account_sid]

    def reads(self, tags: Iterable[str]) -> bool:
        """Say whether it can detect all of these languages; those without a model are ignored."""
        return needed(tags) <= set(self.languages)

    def __str__(self) -> str:
        """Name it, as `process 42 on machine`."""
        return f"process {self.pid} on {self.host}"


@dataclass(frozen=True, slots=True)
class Served:
    """The accounts and handlers of a process.

    Args:
        accounts: SIDs.
        handlers: names, each with the accounts that may use it; empty for all.
        networks: private networks that targets may live in.
    """

    accounts: tuple[str, ...]
    handlers: Mapping[str, Collection[str]]
    networks: tuple[str, ...] = ()

    @classmethod
    def of(cls, settings: Settings) -> "Served":
        """Make it from a process's settings."""
        handlers = {name: handler.accounts for name, handler in sorted(settings.handlers.items())}
        networks = tuple(map(str, settings.allowed_networks))
        return cls(tuple(account.sid for account in settings.accounts), handlers, networks)

    def has(self, handler: str, account_sid: str) -> bool:
        """Say whether a flow of an account may name a handler."""
        accounts = self.handlers.get(handler)
        return accounts is not None and (not accounts or account_sid in accounts)

    def packed(self) -> str:
        """Serialize it for the store."""
        return json.dumps(asdict(self))

    def name(self) -> str:
        """Return the digest that identifies it in a key."""
        return sha256(self.packed().encode()).hexdigest()[:24]


@dataclass(frozen=True, slots=True)
class Expired:
    """An entry that was not withdrawn: its process was killed, or could not reach the store.

    Args:
        process: the process.
        from_: its last renewal, in ms since 1970 by the store's clock.
        to: the time when the entry expired.
    """

    process: Process
    from_: int
    to: int


class Processes:
    """Registers and lists processes."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def announce(self, process: Process, before: Process | None, serves: Served) -> list[Expired]:
        """Register a process for `SECONDS`, replacing its previous entry; return the expired entries.

        They come in the order in which they expired, and each time until `forget` removes them.
        """
        entries = ["" if each is None else _written(each) for each in (process, before)]
        keys, lifetime = [PROCESSES, served(process.serves)], int(SECONDS * 1000)
        found = self._client.script("announce", keys, [*entries, lifetime, serves.packed()])
        return [Expired(process, until - lifetime, until) for process, until in _read_all(found)]

    def forget(self, to: int) -> None:
        """Remove the entries that expired at `to` or before, unless they were renewed since."""
        self._client.call("ZREMRANGEBYSCORE", PROCESSES, "-inf", to)

    def withdraw(self, process: Process) -> None:
        """Remove the entry of a process that accepts no more messages."""
        self._client.call("ZREM", PROCESSES, _written(process))

    def present(self) -> list[Process]:
        """Return the processes that accept messages with this store."""
        (seconds, _), found = self._client.calls([("TIME",), ("ZRANGE", PROCESSES, 0, -1, "WITHSCORES")])
        now = int(seconds) * 1000
        return [process for process, until in _read_all(found) if until > now]

    def refuse_reload(self, machine: str, master: int, reason: str) -> None:
        """Write for a minute why a router was not reloaded; `master` is the process that forks its workers."""
        self._client.call("SET", refused_reload(machine, master), reason, "PX", REFUSED_MS)

    def refused_reload(self, machine: str, master: int) -> str:
        """Return why a router was not reloaded, "" if there is no such reason."""
        return (self._client.call("GET", refused_reload(machine, master)) or b"").decode(errors="replace")

    def forget_refused_reload(self, machine: str, master: int) -> None:
        """Remove the reason, before another reload."""
        self._client.call("DEL", refused_reload(machine, master))

    def serving(self, account_sid: str) -> list[Process]:
        """Return the processes that accept messages of an account."""
        present = self.present()
        whom = {name: self.served(name) for name in {each.serves for each in present}}
        return [each for each in present if account_sid in whom[each.serves].accounts]

    def served(self, name: str) -> Served:
        """Return the accounts and handlers for a digest; empty if it has expired."""
        text = self._client.call("GET", served(name))
        values = json.loads(text) if text else {"accounts": (), "handlers": {}}
        return Served(tuple(values["accounts"]), values["handlers"], tuple(values.get("networks", ())))


def _written(process: Process) -> str:
    return json.dumps(asdict(process))


def _read_all(found: Sequence[bytes]) -> Iterator[tuple[Process, int]]:
    """Yield processes, each with the time in ms at which its entry expires; leave out entries that cannot be read."""
    for text, until in zip(found[::2], found[1::2], strict=True):
        # An entry of another version must not stop the announcements of this process.
        with suppress(AttributeError, KeyError, TypeError, ValueError):
            yield _read(text), int(float(until))


def _read(text: bytes) -> Process:
    # The process may have an older or a newer version, with other fields.
    values = {name: value for name, value in json.loads(text).items() if name in _FIELDS}
    shut = tuple((sid, target) for sid, target in values.get("shut", ()))
    return Process(**values | {"languages": tuple(values["languages"]), "shut": shut})


_FIELDS: Final = frozenset(field.name for field in fields(Process))
