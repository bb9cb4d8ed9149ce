"""`router tunnel`: it finds or opens a tunnel, follows a change of its address, and restores the number at its end."""

import http.client
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import pytest
from twilio.request_validator import RequestValidator

from router import tunnel_address as tunnel
from tests.e2e.local_setup import FIRST, NUMBER, LocalSetup, local_setup, running_service, webhook_to
from tests.e2e.ngrok_agent import NgrokAgent
from tests.e2e.running import RunningRouter
from tests.e2e.service import ACCOUNT, TOKEN, Service, parameters
from tests.e2e.terminal import Terminal
from tests.ports import free_port

CONNECTED = "Connected. Ctrl-C"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A router that runs."""
    with running_service(tmp_path_factory.mktemp("service")) as service:
        yield service


@pytest.fixture
def local(service: Service) -> Iterator[LocalSetup]:
    """Commands in the router's own data directory; the tests leave no number connected."""
    with local_setup(service.folder / "router.toml", service.port, service.folder / "var") as local:
        yield local


@pytest.fixture
def agent() -> Iterator[NgrokAgent]:
    """An ngrok agent without tunnels."""
    with NgrokAgent() as agent:
        yield agent


@pytest.fixture
def terminals() -> Iterator[list[Terminal]]:
    """A list of commands, which are ended after the test."""
    opened: list[Terminal] = []
    yield opened
    for terminal in opened:
        terminal.close()


def get(base: str, path: str) -> int:
    """Return the status of a GET without credentials."""
    parts = urlsplit(base)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=10)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


def text(base: str, number: int) -> int:
    """Send a message to a public base URL, signed for it; return the status."""
    parts, fields = urlsplit(base), parameters(number, "+15550000002")
    signature = RequestValidator(TOKEN).compute_signature(f"{base}/webhooks/sms", fields)
    headers = {"Content-Type": "application/x-www-form-urlencoded", "X-Twilio-Signature": signature}
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=10)
    try:
        connection.request("POST", "/webhooks/sms", urlencode(fields), headers)
        return connection.getresponse().status
    finally:
        connection.close()


def test_a_tunnel_serves_only_webhooks(local: LocalSetup, agent: NgrokAgent, terminals: list[Terminal]) -> None:
    """Requests signed for the tunnel's address are accepted, no other path is served, and Ctrl-C closes the tunnel."""
    terminals.append(terminal := local.start("tunnel", "--ngrok-api", agent.url).wait_for("Stop  "))
    base = agent.public_url()
    assert f"Tunnel       {base} → {local.base}, /webhooks/ only" in terminal.output
    for path in ("sms#rc=2&rp=ct,5xx&ct=3000&rt=12000", "whatsapp", "facebook", "rcs", "message"):
        assert f"{base}/webhooks/{path}\n" in terminal.output
    assert (text(base, 1), get(base, "/webhooks/sms")) == (200, 403)
    assert {get(base, path) for path in ("/healthz", "/console/", "/v1/FlexFlows", "/metrics")} == {404}

    second = local.run("tunnel", "--ngrok-api", agent.url)
    assert (second.exit_code, agent.public_url()) == (1, base)
    assert f"another `router tunnel` runs here already, at {base}" in second.output

    assert terminal.interrupt() == 0
    assert agent.answer("GET", "/api/tunnels", b"")[1] == {"tunnels": [], "uri": "/api/tunnels"}
    assert tunnel.read(local.folder) == ""


def test_with_expose_all_a_tunnel_serves_everything(
    local: LocalSetup, agent: NgrokAgent, terminals: list[Terminal]
) -> None:
    """With --expose-all the tunnel serves all paths, with a warning."""
    terminals.append(terminal := local.start("tunnel", "--expose-all", "--ngrok-api", agent.url).wait_for("Stop  "))
    assert get(agent.public_url(), "/healthz") == 200
    assert f"→ {local.base}, everything" in terminal.output
    assert "! The tunnel serves the REST API and the console too" in terminal.output


def test_an_open_tunnel_to_this_router_is_used(
    local: LocalSetup, agent: NgrokAgent, service: Service, terminals: list[Terminal]
) -> None:
    """A tunnel of `ngrok http` is used as it is, with a warning that it serves everything, and stays open."""
    base = agent.forward(service.port)
    terminals.append(terminal := local.start("tunnel", "--ngrok-api", agent.url).wait_for("Stop  "))
    assert f"Tunnel       {base} → {local.base}, everything" in terminal.output
    assert text(base, 2) == 200
    assert terminal.interrupt() == 0
    assert get(base, "/healthz") == 200


def test_a_tunnel_of_a_killed_run_is_replaced(
    local: LocalSetup, agent: NgrokAgent, service: Service, terminals: list[Terminal]
) -> None:
    """A tunnel that a killed run left at the agent, to a port without a listener, is replaced."""
    agent.forward(free_port(), f"router-{service.port}")
    terminals.append(local.start("tunnel", "--ngrok-api", agent.url).wait_for("Stop  "))
    assert text(agent.public_url(), 3) == 200


def test_a_tunnel_of_another_kind_is_used_with_url(
    local: LocalSetup, agent: NgrokAgent, service: Service, terminals: list[Terminal]
) -> None:
    """With --url, requests through a tunnel of another kind are accepted, and only webhooks are served."""
    base = agent.forward(service.tunnel_port)
    terminals.append(terminal := local.start("tunnel", "--url", base).wait_for("Stop  "))
    assert "/webhooks/ only" in terminal.output
    assert (text(base, 4), get(base, "/healthz")) == (200, 404)


def test_the_number_follows_a_restart_of_ngrok(local: LocalSetup, agent: NgrokAgent, terminals: list[Terminal]) -> None:
    """After ngrok's restart with a new address, numbers point there, unless another program has changed them."""
    other = local.twilio.number("+15550000005", "https://other.example.com/")
    words = ("tunnel", "--ngrok-api", agent.url, "--connect", NUMBER, "--connect", other["phone_number"])
    terminals.append(terminal := local.start(*words).wait_for(CONNECTED))
    other["sms_url"] = "https://theirs.example.com/"
    agent.status = "reconnecting"
    terminal.wait_for("is reconnecting: its tunnels do not work at the moment; waiting 30 s for it")
    agent.status = "online"
    terminal.wait_for("the tunnel is back")
    agent.end()
    terminal.wait_for("no ngrok agent answers at")
    agent.start_again()
    terminal.wait_for("the tunnel is back", times=2)
    terminal.wait_for(f"{NUMBER} points to the new address")
    terminal.wait_for("; not restored: sms_url https://theirs.example.com/")
    assert other["sms_fallback_url"] == "https://example.com/fb"
    assert local.webhook == webhook_to(agent.public_url())
    assert text(agent.public_url(), 5) == 200
    assert terminal.interrupt() == 0
    assert (local.webhook, other["sms_url"]) == (FIRST, "https://theirs.example.com/")


def test_the_number_of_a_lost_tunnel_is_restored(
    local: LocalSetup, agent: NgrokAgent, terminals: list[Terminal]
) -> None:
    """After --patience `tunnel` restores the number of a lost tunnel, and exits with 1."""
    words = ("tunnel", "--ngrok-api", agent.url, "--patience", "0", "--connect", NUMBER)
    terminals.append(terminal := local.start(*words).wait_for(CONNECTED))
    agent.end()
    assert terminal.wait() == 1
    assert "router: the tunnel is gone: no ngrok agent answers at" in terminal.output
    assert (local.webhook, local.connections) == (FIRST, [])
    agent.start_again()


def test_the_next_tunnel_restores_the_number_of_a_killed_one(
    local: LocalSetup, agent: NgrokAgent, terminals: list[Terminal]
) -> None:
    """After kill -9 of `tunnel` its address is no longer accepted, and the next `tunnel` restores the number first."""
    terminals.append(
        terminal := local.start("tunnel", "--ngrok-api", agent.url, "--connect", NUMBER).wait_for(CONNECTED)
    )
    terminal.process.kill()
    terminal.process.wait()
    assert tunnel.read(local.folder) == ""
    assert local.webhook == webhook_to(agent.public_url())
    terminals.append(local.start("tunnel", "--ngrok-api", agent.url).wait_for("Stop  "))
    assert (local.webhook, local.connections) == (FIRST, [])


def test_the_error_of_an_ngrok_without_authtoken_has_the_remedy(local: LocalSetup, tmp_path: Path) -> None:
    """If ngrok has no authtoken, the error has ngrok's own reason, and the command that sets an authtoken."""
    program = tmp_path / "ngrok"
    program.write_text(
        "#!/bin/sh\necho 'ERROR:  authentication failed: Usage of ngrok requires an authtoken.'; exit 1\n"
    )
    program.chmod(0o755)
    ended = local.start("tunnel", PATH=f"{tmp_path}:/bin:/usr/bin", XDG_CONFIG_HOME=str(tmp_path / "config"))
    assert ended.wait() == 1
    assert "ngrok did not start: ERROR: authentication failed: Usage of ngrok" in ended.output
    assert "ngrok config add-authtoken" in ended.output


def test_run_with_tunnel_stops_if_there_is_none(tmp_path: Path, redis_url: str) -> None:
    """`router run --tunnel` ends when its tunnel cannot be opened, with the tunnel's exit status."""
    environ = {"TWILIO_ACCOUNT_SID": ACCOUNT, "TWILIO_AUTH_TOKEN": TOKEN, "ROUTER_REDIS_URL": redis_url}
    router = RunningRouter(tmp_path, "--tunnel", "--ngrok-api=http://127.0.0.1:9", **environ)
    assert router.process.wait(60) == 1
    assert "router: no ngrok agent answers at http://127.0.0.1:9" in router.output
    assert "the tunnel has ended; stopping" in router.output
