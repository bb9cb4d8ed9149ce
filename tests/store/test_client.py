"""The connection to the store: which failures it survives, and which errors its callers get."""

import gevent
import pytest

from router.errors import StoreRefused, StoreUnavailable
from router.store.client import Client
from tests.valkey import ValkeyServer


def test_refused_connections_do_not_add_up(valkey: ValkeyServer) -> None:
    """A store that refuses new connections for long, as while it loads, is used again once it accepts them."""
    client = Client(valkey.url)
    valkey.command("ACL SETUSER default -script")
    try:
        for _ in range(150):
            with pytest.raises(StoreUnavailable, match="no permissions"):
                client.call("PING")
    finally:
        valkey.command("ACL SETUSER default +script")
    assert client.call("PING") == b"PONG"
    client.close()


def test_a_refused_command_does_not_disturb_its_neighbours(valkey: ValkeyServer) -> None:
    """Each command of a pipeline gets its own answer or error."""
    client = Client(valkey.url)
    calls = [gevent.spawn(client.call, *words) for words in (("SET", "a", 1), ("LPUSH", "a", 1), ("GET", "a"))]
    gevent.joinall(calls)
    assert calls[0].value == b"OK"
    assert isinstance(calls[1].exception, StoreRefused)
    assert calls[2].value == b"1"
    client.close()


def test_a_lost_connection_is_reported_to_all_and_made_again(valkey: ValkeyServer) -> None:
    """A call whose reply is lost fails; the next call has a new connection with its scripts."""
    client = Client(valkey.url)
    waiting = [gevent.spawn(client.call, "BLPOP", "nothing", 0) for _ in range(3)]
    gevent.sleep(0)
    killer = Client(valkey.url)
    while killer.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes") == 0:
        gevent.sleep(0)
    gevent.joinall(waiting, timeout=5)
    assert all(isinstance(call.exception, StoreUnavailable) for call in waiting)
    valkey.command("SCRIPT FLUSH SYNC")
    with pytest.raises(StoreUnavailable):
        client.call("EVALSHA", "0" * 40, 0)
    assert client.script("entries", ["address:{0}:x:y"], ["flow:{0}:x:"]) == [[b""]]
    client.close()
    killer.close()
