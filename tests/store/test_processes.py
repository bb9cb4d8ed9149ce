"""The list of processes: an entry lasts as long as its process renews it; the accounts that it serves find it."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from router.settings import Settings
from router.store.client import Client
from router.store.keys import PROCESSES
from router.store.processes import Process, Processes, Served
from tests.core.flows import AC
from tests.valkey import ValkeyServer

OTHER = "AC" + "e" * 32


@pytest.fixture
def processes(valkey: ValkeyServer) -> Iterator[Processes]:
    """An empty list of processes."""
    client = Client(valkey.url)
    yield Processes(client)
    client.close()


def _served(*accounts: str) -> Served:
    tables = [{"sid": sid, "auth_tokens": ["a"]} for sid in accounts]
    handlers = {"own": {"path": "shop:handle", "accounts": accounts[:1]}}
    return Served.of(Settings.model_validate({"accounts": tables, "handlers": handlers}))


def _process(pid: int, serves: Served) -> Process:
    return Process("machine", "host", 1, pid, "127.0.0.1:8000", ("es",), serves.name())


def test_a_process_is_found_by_the_accounts_that_it_serves(processes: Processes) -> None:
    """An entry has the languages that the process detects, and its handlers for each account."""
    both, one = _served(AC, OTHER), _served(OTHER)
    first, second = _process(1, both), _process(2, one)
    processes.announce(first, None, both)
    processes.announce(second, None, one)
    assert sorted(processes.present(), key=lambda each: each.pid) == [first, second]
    assert processes.serving(AC) == [first]
    found = processes.served(first.serves)
    assert (found.has("echo", OTHER), found.has("own", AC), found.has("own", OTHER)) == (True, True, False)


def test_a_process_is_never_listed_without_what_it_serves(valkey: ValkeyServer) -> None:
    """The entry of a process and its accounts are written in one step, also if the store was emptied."""
    serves, steps = _served(AC), []

    class Watched(Client):
        def script(self, *given: Any, **named: Any) -> Any:
            valkey.flush()
            steps.append(super().script(*given, **named))
            return steps[-1]

    processes = Processes(Watched(valkey.url))
    processes.announce(_process(1, serves), None, serves)
    assert (len(steps), [each.pid for each in processes.serving(AC)]) == (1, [1])


def test_a_second_announcement_replaces_the_first(processes: Processes) -> None:
    """A second announcement of a process replaces the first; a withdrawn process is not listed."""
    serves = _served(AC)
    before = _process(1, serves)
    after = replace(before, languages=("es", "uk"))
    processes.announce(before, None, serves)
    processes.announce(after, before, serves)
    processes.announce(after, after, serves)
    assert processes.present() == [after]
    processes.withdraw(after)
    assert processes.present() == []


def test_a_process_that_was_killed_is_reported_until_it_is_forgotten(
    processes: Processes, valkey: ValkeyServer
) -> None:
    """An entry that expired is not listed; announcements return it until it is forgotten; one that is renewed stays."""
    killed, slow, alive = (_process(pid, _served(AC)) for pid in (1, 2, 3))
    for each in (killed, slow):
        processes.announce(each, None, _served(AC))
    client = Client(valkey.url)
    now = int(client.call("TIME")[0]) * 1000
    for number, member in enumerate(client.call("ZRANGE", PROCESSES, 0, -1)):
        client.call("ZADD", PROCESSES, now - 5000 + number, member)
    assert processes.present() == []
    expired = processes.announce(alive, None, _served(AC))
    assert {each.process for each in expired} == {killed, slow}
    assert {each.to - each.from_ for each in expired} == {20_000}
    assert processes.announce(alive, alive, _served(AC)) == expired
    assert processes.served(killed.serves).accounts == (AC,)
    assert [each.process for each in processes.announce(slow, slow, _served(AC))] == [killed]
    processes.forget(max(each.to for each in expired))
    assert processes.announce(alive, alive, _served(AC)) == []
    assert set(processes.present()) == {slow, alive}
    for key in client.call("KEYS", "*"):
        assert 0 < client.call("PTTL", key) <= 40_000
    client.close()


def test_an_entry_of_another_version_can_be_read(processes: Processes, valkey: ValkeyServer) -> None:
    """Unknown fields of an entry are ignored, and so is an entry that cannot be read: it stops no announcement."""
    processes.announce(_process(1, _served(AC)), None, _served(AC))
    client = Client(valkey.url)
    [(entry, until)] = [client.call("ZRANGE", PROCESSES, 0, -1, "WITHSCORES")]
    client.call("DEL", PROCESSES)
    values = json.loads(entry) | {"newer": 1}
    del values["shut"]
    client.call("ZADD", PROCESSES, until, json.dumps(values))
    assert processes.present() == [_process(1, _served(AC))]
    del values["languages"]
    client.call("ZADD", PROCESSES, 1, json.dumps(values))
    assert processes.announce(_process(2, _served(AC)), None, _served(AC)) == []
    assert processes.present() == [_process(1, _served(AC)), _process(2, _served(AC))]
    client.close()


@pytest.mark.parametrize(("tags", "reads"), [(("es",), False), (("ja", "gsw"), True), ((), True)])
def test_what_a_process_reads(*, tags: tuple[str, ...], reads: bool) -> None:
    """A process detects a language whose model and background it has, and any language that needs no model."""
    assert _process(1, _served(AC)).reads(tags) == reads
