"""`router connect` and `router disconnect` as processes that end or are killed."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from router.tunnel_address import TunnelRecord
from tests.e2e.local_setup import FIRST, NUMBER, LocalSetup, local_setup, running_service
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
def local(_service: Service, tmp_path: Path) -> Iterator[LocalSetup]:
    """A setup with nothing connected, and with a data directory of its own."""
    with local_setup(_service.folder / "router.toml", _service.port, tmp_path) as local:
        yield local


def test_ctrl_c_restores_the_webhook(local: LocalSetup) -> None:
    """While `connect` runs, no other command can connect the number; Ctrl-C restores it, with exit status 0."""
    terminal = local.start("connect", NUMBER).wait_for("Connected.")
    second = local.run("connect", NUMBER, "--yes")
    assert (second.exit_code, local.webhook) == (1, local.webhook_here)
    assert "is already connected" in second.output
    assert "its process ends" in local.run("disconnect", "--list").output
    assert terminal.interrupt() == 0
    assert (local.webhook, local.connections) == (FIRST, [])


def test_connect_ends_when_another_command_disconnects_the_number(local: LocalSetup) -> None:
    """When `disconnect` restores the number, a running `connect` prints the reason and exits with 1."""
    terminal = local.start("connect", NUMBER).wait_for("Connected.")
    assert local.run("disconnect").exit_code == 0
    assert terminal.wait() == 1
    assert "another command has restored the webhook" in terminal.output
    assert local.webhook == FIRST


def test_the_next_connect_restores_a_number_after_a_kill(local: LocalSetup) -> None:
    """After kill -9 of `connect` the number still points here; the next `connect` restores it first."""
    terminal = local.start("connect", NUMBER).wait_for("Connected.")
    terminal.process.kill()
    terminal.process.wait()
    assert "left behind by a crash" in local.run("disconnect", "--list").output
    assert f"{NUMBER} still points to {local.base} after a crash" in local.run("doctor", "--offline").output
    local.twilio.number(OTHER, "https://other.example.com/")
    assert local.run("connect", OTHER, "--detach").exit_code == 0
    assert local.webhook == FIRST
    assert not list(local.folder.glob("connected-*"))


def test_the_next_run_restores_a_number_after_a_kill(local: LocalSetup) -> None:
    """After kill -9 of `connect`, the next `router run` restores the number's previous webhook."""
    terminal = local.start("connect", NUMBER).wait_for("Connected.")
    terminal.process.kill()
    terminal.process.wait()
    assert local.webhook == local.webhook_here
    router = RunningRouter(local.folder, **local.environ | {"ROUTER_TUNNEL_PORT": str(free_port())})
    try:
        wait_until(lambda: local.webhook == FIRST, what="it is put back", within=30)
        wait_until(lambda: router.status_of("/healthz") == 200, what="it serves")
    finally:
        router.end()


def test_connect_ends_when_its_tunnel_is_gone(local: LocalSetup) -> None:
    """When the tunnel has been gone for longer than --patience, `connect` restores the number and exits with 1."""
    with TunnelRecord(local.folder) as record:
        record.publish(local.base)
        terminal = local.start("connect", NUMBER, "--patience", "0").wait_for("Connected.")
    assert terminal.wait() == 1
    assert "the tunnel has been gone" in terminal.output
    wait_until(lambda: local.webhook == FIRST, what="it is put back")
