"""Sessions of the console, and bulk replays, which all processes share."""

from collections.abc import Iterator

import pytest

from router.store.bulk_replays import BulkReplay, BulkReplays
from router.store.client import Client
from router.store.console_sessions import SECONDS, Sessions
from tests.core.flows import AC
from tests.valkey import ValkeyServer

PASSWORDS = {"admin": "the admin's password", "viewer": "the viewer's password"}
NOW = 1_790_000_000.0


@pytest.fixture
def client(valkey: ValkeyServer) -> Iterator[Client]:
    """A connection to an empty store."""
    client = Client(valkey.url)
    yield client
    client.close()


def test_a_session_ends_with_its_password(client: Client) -> None:
    """A new password ends the sessions of the old one, and of no other role; an unknown id is no session."""
    sessions = Sessions(client)
    admin, viewer = (sessions.begin(role, PASSWORDS[role], now=NOW) for role in ("admin", "viewer"))
    found = sessions.find(admin, PASSWORDS, now=NOW + 1)
    assert found is not None
    assert (found.role, found.created) == ("admin", NOW)
    changed = PASSWORDS | {"admin": "another password"}
    assert sessions.find(admin, changed, now=NOW + 1) is None
    assert sessions.find(viewer, changed, now=NOW + 1) is not None
    assert sessions.find(viewer, {"admin": PASSWORDS["admin"]}, now=NOW + 1) is None
    for wrong in ("", "x", found.key):
        assert sessions.find(wrong, PASSWORDS, now=NOW + 1) is None


def test_a_session_ends_by_itself_and_with_all_others(client: Client) -> None:
    """A session ends after seven days, and when all sessions are ended; one that begins afterwards is valid."""
    sessions = Sessions(client)
    old = sessions.begin("admin", PASSWORDS["admin"], now=NOW)
    assert sessions.find(old, PASSWORDS, now=NOW + SECONDS) is not None
    assert sessions.find(old, PASSWORDS, now=NOW + SECONDS + 1) is None
    sessions.end_all(now=NOW + 1)
    new = sessions.begin("admin", PASSWORDS["admin"], now=NOW + 2)
    assert sessions.find(old, PASSWORDS, now=NOW + 2) is None
    assert sessions.find(new, PASSWORDS, now=NOW + 2) is not None
    assert all(client.call("TTL", key) > 0 for key in client.call("KEYS", "session*"))


def test_one_process_at_a_time_does_a_bulk_replay(client: Client) -> None:
    """One process has the turn until it gives it up; others are refused it; a message that is put back counts once."""
    replays = BulkReplays(client, keep_seconds=60)
    entries = [(f"SM{n:032x}", 0) for n in range(3)]
    given = {"by": "console admin", "current": False, "rate": 5, "wanted": "all", "now": 1}
    assert replays.begin(AC, entries, **given)  # type: ignore[arg-type]  # one dict of several types
    assert not replays.begin(AC, entries, **given)  # type: ignore[arg-type]  # the same
    assert replays.take_turn(AC, "one")
    assert not replays.take_turn(AC, "other")
    assert replays.take_turn(AC, "one")
    replays.end_turn(AC, "other")
    assert not replays.take_turn(AC, "other")
    replays.end_turn(AC, "one")
    assert replays.take_turn(AC, "other")
    job = replays.get(AC)
    assert job is not None
    first, *others = replays.next(AC, job, 5)
    for _ in range(2):
        assert replays.put_back(AC, job, [first])
    assert replays.next(AC, job, 5) == others
    replays.end(AC, job, "done", now=2)
    replays.end(AC, job, "stopping", now=3)
    ended = replays.get(AC)
    assert isinstance(ended, BulkReplay)
    assert (ended.state, ended.results, ended.ended, ended.runs) == ("done", {"missing": 1}, 2, False)
    assert not replays.put_back(AC, job, others)
    assert AC not in replays.running()
    assert replays.begin(AC, entries, **given)  # type: ignore[arg-type]  # the same
