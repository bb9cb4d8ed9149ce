"""The master that Sentinels name: which answers count, and the credentials and TLS of the connections to them."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from router.errors import StoreUnavailable
from router.store.client import Client
from tests.integrations.sending import meanwhile
from tests.integrations.target import CERTIFICATE
from tests.ports import free_port
from tests.sentinel import SentinelServer
from tests.tls import tls_before
from tests.valkey import ValkeyServer

Spare = Callable[..., ValkeyServer]
Sentinels = Callable[..., SentinelServer]
PASSWORD = "p@ss/:?#&+%ö"


@pytest.fixture
def sentinels(tmp_path: Path) -> Iterator[Sentinels]:
    """A maker of Sentinels, which are ended after the test."""
    started: list[SentinelServer] = []

    def make(master: int, *lines: str) -> SentinelServer:
        started.append(SentinelServer(tmp_path, master, *lines))
        return started[-1]

    yield make
    for each in started:
        each.kill()


@pytest.fixture
def master(spare_valkey: Spare) -> int:
    """The port of a master whose `name` is `master`."""
    port = free_port()
    assert spare_valkey(port=str(port), bind="127.0.0.1").command("SET name master") == "+OK"
    return port


def _url(*ports: int, more: str = "", credentials: str = "", tls: bool = False) -> str:
    hosts = ",".join(f"127.0.0.1:{port}" for port in ports)
    return f"redis{'s' * tls}+sentinel://{credentials}{hosts}/main{more}"


@contextlib.contextmanager
def _client(url: str) -> Iterator[Client]:
    client = Client(url, call_seconds=5)
    try:
        yield client
    finally:
        client.close()


def test_outdated_answers_of_sentinels_are_skipped(spare_valkey: Spare, sentinels: Sentinels, master: int) -> None:
    """The answer of a Sentinel that names a replica, a dead server or no master is skipped."""
    replica = free_port()
    follower = spare_valkey(port=str(replica), bind="127.0.0.1", repl_diskless_sync_delay="0")
    assert follower.command(f"REPLICAOF 127.0.0.1 {master}") == "+OK"
    nothing = sentinels(master)
    assert nothing.command("SENTINEL REMOVE main") == "+OK"
    ports = [nothing.port, sentinels(replica).port, sentinels(free_port()).port]
    with _client(_url(*ports)) as client, pytest.raises(StoreUnavailable) as caught:
        client.call("GET", "name")
    for reason in (f"{ports[0]}: knows no master of this name", f"{replica}: it is a slave, not a master", "refused"):
        assert reason in str(caught.value)
    with _client(_url(*ports, sentinels(master).port)) as client:
        assert client.call("GET", "name") == b"master"


def test_sentinels_and_store_have_passwords_of_their_own(spare_valkey: Spare, sentinels: Sentinels) -> None:
    """Both passwords are percent-encoded in the URL; no error shows one, and neither is sent to the other service."""
    port = free_port()
    store = spare_valkey(port=str(port), bind="127.0.0.1")
    assert store.command(f'ACL SETUSER router on ">{PASSWORD}" ~* &* +@all') == "+OK"
    assert store.command("ACL SETUSER default off") == "+OK"
    asked = sentinels(port, "user default off", f'user watcher on ">w{PASSWORD}" ~* &* +@all')
    own = f"?sentinel_username=watcher&sentinel_password={quote('w' + PASSWORD, safe='')}"
    credentials = f"router:{quote(PASSWORD, safe='')}@"
    with _client(_url(asked.port, more=f"/3{own}", credentials=credentials)) as client:
        assert client.call("SET", "mine", 1) == b"OK"
        assert b"db=3" in client.call("CLIENT", "INFO")
    for more, given in (("", credentials), (own, f"router:{quote('wrong' + PASSWORD, safe='')}@")):
        with _client(_url(asked.port, more=more, credentials=given)) as client:
            with pytest.raises(StoreUnavailable) as caught:
                client.call("PING")
            assert "pass/" not in str(caught.value)
            assert "p%40ss" not in str(caught.value)


def test_tls_is_for_sentinels_and_store(sentinels: Sentinels, master: int) -> None:
    """`rediss+sentinel` uses TLS for both, with certificates; `sentinel_ssl=false` turns it off for Sentinels."""
    trusted = f"?ssl_ca_certs={quote(str(CERTIFICATE), safe='')}"
    with tls_before(master) as store:
        asked = sentinels(store)
        with tls_before(asked.port) as hidden, _client(_url(hidden, more=trusted, tls=True)) as client:
            assert client.call("GET", "name") == b"master"
        with _client(_url(asked.port, more=f"{trusted}&sentinel_ssl=false", tls=True)) as client:
            assert client.call("GET", "name") == b"master"
        stranger = _url(asked.port, more="?sentinel_ssl=false", tls=True)
        with _client(stranger) as client, pytest.raises(StoreUnavailable, match="certificate"):
            client.call("GET", "name")


def test_the_store_is_left_when_most_sentinels_name_another(
    spare_valkey: Spare, sentinels: Sentinels, master: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client leaves a master that still accepts calls once most Sentinels name another one, and not before."""
    monkeypatch.setattr("router.store.sentinel.WATCH_SECONDS", 0.05)
    other = free_port()
    assert spare_valkey(port=str(other), bind="127.0.0.1").command("SET name other") == "+OK"
    asked = [sentinels(master) for _ in range(3)]
    with _client(_url(*(each.port for each in asked))) as client:
        assert client.call("GET", "name") == b"master"
        asked[0].name(other)
        before = _connections(asked[0])
        meanwhile(lambda: _connections(asked[0]) > before + 20)
        assert client.call("GET", "name") == b"master", "one of three is no majority"
        asked[1].name(other)

        def moved() -> bool:
            with contextlib.suppress(StoreUnavailable):
                return bool(client.call("GET", "name") == b"other")
            return False

        meanwhile(moved)


def _connections(asked: SentinelServer) -> int:
    """Return how many connections a Sentinel has had, by the number of this one."""
    return int(asked.command("CLIENT ID").removeprefix(":"))
