"""`router connect` and `router disconnect`: as processes that end, or are killed."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from router.tunnel_address import TunnelRecord
from tests.e2e.desk import FIRST, NUMBER, Desk, open_desk, running_service
from tests.e2e.running import RunningRouter
from tests.e2e.service import Service
from tests.ports import free_port
from tests.waiting import wait_until

OTHER, SERVICE = "+15550000009", "MG" + "1" * 32


@pytest.fixture(scope="module")
def _service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running_service(tmp_path_factory.mktemp("service")) as service:
        yield service


@pytest.fixture
def desk(_service: Service, tmp_path: Path) -> Iterator[Desk]:
    """A desk with nothing connected, and a data directory of its own."""
    with open_desk(_service.folder / "router.toml", _service.port, tmp_path) as desk:
        yield desk


def test_ctrl_c_restores_the_webhook(desk: Desk) -> None:
    """While `connect` runs, no other command can connect the number; Ctrl-C restores it, with exit status 0."""
    terminal = desk.terminal("connect", NUMBER).says("Connected.")
    second = desk.type("connect", NUMBER, "--yes")
    assert (second.exit_code, desk.says) == (1, desk.here)
    assert "is already connected" in second.output
    assert "its process ends" in desk.type("disconnect", "--list").output
    assert terminal.interrupt() == 0
    assert (desk.says, desk.record) == (FIRST, [])


def test_connect_ends_when_another_command_disconnects_the_number(desk: Desk) -> None:
    """`connect` prints the reason and exits, instead of waiting for Ctrl-C."""
    terminal = desk.terminal("connect", NUMBER).says("Connected.")
    assert desk.type("disconnect").exit_code == 0
    assert terminal.ends() == 1
    assert "another command has restored the webhook" in terminal.output
    assert desk.says == FIRST


def test_the_next_connect_restores_what_a_kill_left_connected(desk: Desk) -> None:
    """After kill -9 the number still points here; connecting another number restores it first."""
    terminal = desk.terminal("connect", NUMBER).says("Connected.")
    terminal.process.kill()
    terminal.process.wait()
    assert "left behind by a crash" in desk.type("disconnect", "--list").output
    assert f"{NUMBER} still points to {desk.base} after a crash" in desk.type("doctor", "--offline").output
    desk.twilio.number(OTHER, "https://other.example.com/")
    assert desk.type("connect", OTHER, "--detach").exit_code == 0
    assert desk.says == FIRST
    assert not list(desk.folder.glob("connected-*"))


def test_the_next_run_restores_what_a_kill_left_connected(desk: Desk) -> None:
    """`router run` alone restores the number's previous webhook."""
    terminal = desk.terminal("connect", NUMBER).says("Connected.")
    terminal.process.kill()
    terminal.process.wait()
    assert desk.says == desk.here
    router = RunningRouter(desk.folder, **desk.environ | {"ROUTER_TUNNEL_PORT": str(free_port())})
    try:
        wait_until(lambda: desk.says == FIRST, what="it is put back", within=30)
        wait_until(lambda: router.status_of("/healthz") == 200, what="it serves")
    finally:
        router.end()


def test_a_connection_ends_with_its_tunnel(desk: Desk) -> None:
    """When the tunnel is gone for longer than --patience, the number is restored and the exit status is 1."""
    with TunnelRecord(desk.folder) as record:
        record.publish(desk.base)
        terminal = desk.terminal("connect", NUMBER, "--patience", "0").says("Connected.")
    assert terminal.ends() == 1
    assert "the tunnel has been gone" in terminal.output
    wait_until(lambda: desk.says == FIRST, what="it is put back")
