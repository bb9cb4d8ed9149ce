"""The processes that take messages, of all machines: each says what it is, whom it serves and what it can read.

It says so again and again; what it said counts for some seconds, so that of a process that was killed nothing is left.
"""

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Final

from router.language.detector import needed
from router.settings import Settings
from router.store.client import Client
from router.store.keys import PROCESSES, served

# For how long counts what a process said, and how often it says it.
SECONDS: Final = 20.0
EVERY: Final = 5.0


@dataclass(frozen=True, slots=True)
class Process:
    """What a process says of itself.

    Args:
        machine: where its process ids are known; the same text on the same machine.
        host: the machine's name, for people.
        master: the process that forked it.
        pid: its own id.
        bind: where it listens, as the settings have it.
        languages: the codes of the languages whose texts it can read.
        serves: names the accounts and handlers that it has; the same for all processes with the same ones.
    """

    machine: str
    host: str
    master: int
    pid: int
    bind: str
    languages: tuple[str, ...]
    serves: str

    def reads(self, tags: Iterable[str]) -> bool:
        """Say whether it can read texts in all of these languages, those without a model aside."""
        return needed(tags) <= set(self.languages)

    def __str__(self) -> str:
        """Name it, as `process 42 on machine`."""
        return f"process {self.pid} on {self.host}"


@dataclass(frozen=True, slots=True)
class Served:
    """Whom a process serves, and with which handlers.

    Args:
        accounts: SIDs.
        handlers: names, each with the accounts that it is for; none: all.
    """

    accounts: tuple[str, ...]
    handlers: Mapping[str, Collection[str]]

    @classmethod
    def of(cls, settings: Settings) -> "Served":
        """Make it of a process's settings."""
        handlers = {name: handler.accounts for name, handler in sorted(settings.handlers.items())}
        return cls(tuple(account.sid for account in settings.accounts), handlers)

    def has(self, handler: str, account_sid: str) -> bool:
        """Say whether a flow of an account may name a handler."""
        accounts = self.handlers.get(handler)
        return accounts is not None and (not accounts or account_sid in accounts)

    def packed(self) -> str:
        """Write it as it is stored."""
        return json.dumps(asdict(self))

    def name(self) -> str:
        """Return what names it in a key."""
        return sha256(self.packed().encode()).hexdigest()[:24]


class Processes:
    """Says and lists what processes say of themselves."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def announce(self, process: Process, before: Process | None, serves: Served) -> None:
        """Say what a process is, which counts for `SECONDS`, in place of what it said before."""
        said = ["" if each is None else _written(each) for each in (process, before)]
        milliseconds = int(SECONDS * 1000)
        key = served(process.serves)
        if not self._client.script("announce", [PROCESSES, key], [*said, milliseconds]):
            self._client.call("SET", key, serves.packed(), "PX", milliseconds)

    def withdraw(self, process: Process) -> None:
        """Say that a process takes no more messages."""
        self._client.call("ZREM", PROCESSES, _written(process))

    def present(self) -> list[Process]:
        """Return the processes that take messages over this store."""
        (seconds, _), found = self._client.calls([("TIME",), ("ZRANGE", PROCESSES, 0, -1, "WITHSCORES")])
        now = int(seconds) * 1000
        return [_read(text) for text, until in zip(found[::2], found[1::2], strict=True) if float(until) > now]

    def serving(self, account_sid: str) -> list[Process]:
        """Return those of them that take messages of an account."""
        present = self.present()
        whom = {name: self.served(name) for name in {each.serves for each in present}}
        return [each for each in present if account_sid in whom[each.serves].accounts]

    def served(self, name: str) -> Served:
        """Return what processes serve that have this name for it; nothing where it is not known any more."""
        text = self._client.call("GET", served(name))
        values = json.loads(text) if text else {"accounts": (), "handlers": {}}
        return Served(tuple(values["accounts"]), values["handlers"])


def _written(process: Process) -> str:
    return json.dumps(asdict(process))


def _read(text: bytes) -> Process:
    values = json.loads(text)
    return Process(**values | {"languages": tuple(values["languages"])})
