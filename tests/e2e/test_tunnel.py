"""`router tunnel`: finds or opens a tunnel, follows a change of its address, and at its end restores the number."""

import http.client
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import pytest
from twilio.request_validator import RequestValidator

from router import tunnel_address as tunnel
from tests.e2e.desk import FIRST, NUMBER, Desk, leading_to, open_desk, running_service
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
def desk(service: Service) -> Iterator[Desk]:
    """A desk at it, in its own data directory, where the tests leave nothing connected."""
    with open_desk(service.folder / "router.toml", service.port, service.folder / "var") as desk:
        yield desk


@pytest.fixture
def agent() -> Iterator[NgrokAgent]:
    """An ngrok agent without tunnels."""
    with NgrokAgent() as agent:
        yield agent


@pytest.fixture
def terminals() -> Iterator[list[Terminal]]:
    """A stack that ends what a test opens."""
    opened: list[Terminal] = []
    yield opened
    for terminal in opened:
        terminal.close()


def get(base: str, path: str) -> int:
    """Return the status that a GET is answered with, as a stranger would see it."""
    parts = urlsplit(base)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=10)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


def text(base: str, number: int) -> int:
    """Send a message through a public base, signed for it; return the status."""
    parts, fields = urlsplit(base), parameters(number, "+15550000002")
    signature = RequestValidator(TOKEN).compute_signature(f"{base}/webhooks/sms", fields)
    headers = {"Content-Type": "application/x-www-form-urlencoded", "X-Twilio-Signature": signature}
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=10)
    try:
        connection.request("POST", "/webhooks/sms", urlencode(fields), headers)
        return connection.getresponse().status
    finally:
        connection.close()


def test_a_tunnel_leads_to_the_webhooks_only(desk: Desk, agent: NgrokAgent, terminals: list[Terminal]) -> None:
    """Requests signed for the tunnel's address are accepted, no other path is served, and Ctrl-C closes the tunnel."""
    terminals.append(terminal := desk.terminal("tunnel", "--ngrok-api", agent.url).says("Stop  "))
    base = agent.public_url()
    assert f"Tunnel       {base} → {desk.base}, /webhooks/ only" in terminal.output
    for path in ("sms#rc=2&rp=ct,5xx&ct=3000&rt=12000", "whatsapp", "facebook", "rcs", "message"):
        assert f"{base}/webhooks/{path}\n" in terminal.output
    assert (text(base, 1), get(base, "/webhooks/sms")) == (200, 403)
    assert {get(base, path) for path in ("/healthz", "/console/", "/v1/FlexFlows", "/metrics")} == {404}

    second = desk.type("tunnel", "--ngrok-api", agent.url)
    assert (second.exit_code, agent.public_url()) == (1, base)
    assert f"another `router tunnel` runs here already, at {base}" in second.output

    assert terminal.interrupt() == 0
    assert agent.answer("GET", "/api/tunnels", b"")[1] == {"tunnels": [], "uri": "/api/tunnels"}
    assert tunnel.read(desk.folder) == ""


def test_a_tunnel_leads_everywhere_when_that_is_wanted(
    desk: Desk, agent: NgrokAgent, terminals: list[Terminal]
) -> None:
    """With --expose-all the REST API is served too, with a warning."""
    terminals.append(terminal := desk.terminal("tunnel", "--expose-all", "--ngrok-api", agent.url).says("Stop  "))
    assert get(agent.public_url(), "/healthz") == 200
    assert f"→ {desk.base}, everything" in terminal.output
    assert "! The tunnel serves the REST API and the console too" in terminal.output


def test_a_tunnel_that_leads_here_already_is_used(
    desk: Desk, agent: NgrokAgent, service: Service, terminals: list[Terminal]
) -> None:
    """A tunnel of `ngrok http` is used as it is, with a warning that it serves everything, and stays open."""
    base = agent.forward(service.port)
    terminals.append(terminal := desk.terminal("tunnel", "--ngrok-api", agent.url).says("Stop  "))
    assert f"Tunnel       {base} → {desk.base}, everything" in terminal.output
    assert text(base, 2) == 200
    assert terminal.interrupt() == 0
    assert get(base, "/healthz") == 200


def test_a_tunnel_of_a_run_that_was_killed_is_replaced(
    desk: Desk, agent: NgrokAgent, service: Service, terminals: list[Terminal]
) -> None:
    """A tunnel that a killed run left at the agent, to a port without a listener, is replaced."""
    agent.forward(free_port(), f"router-{service.port}")
    terminals.append(desk.terminal("tunnel", "--ngrok-api", agent.url).says("Stop  "))
    assert text(agent.public_url(), 3) == 200


def test_any_other_tunnel_is_named(desk: Desk, agent: NgrokAgent, service: Service, terminals: list[Terminal]) -> None:
    """The user opens a tunnel of another kind to the tunnel port; signatures for its address are accepted."""
    base = agent.forward(service.tunnel_port)
    terminals.append(terminal := desk.terminal("tunnel", "--url", base).says("Stop  "))
    assert "/webhooks/ only" in terminal.output
    assert (text(base, 4), get(base, "/healthz")) == (200, 404)


def test_an_agent_that_starts_again_is_followed(desk: Desk, agent: NgrokAgent, terminals: list[Terminal]) -> None:
    """After a restart with a new address the router accepts it, and the number points there, if it is still ours."""
    other = desk.twilio.number("+15550000005", "https://other.example.com/")
    words = ("tunnel", "--ngrok-api", agent.url, "--connect", NUMBER, "--connect", other["phone_number"])
    terminals.append(terminal := desk.terminal(*words).says(CONNECTED))
    other["sms_url"] = "https://theirs.example.com/"
    agent.status = "reconnecting"
    terminal.says("is reconnecting: its tunnels do not work at the moment; waiting 30 s for it")
    agent.status = "online"
    terminal.says("the tunnel is back")
    agent.end()
    terminal.says("no ngrok agent answers at")
    agent.start_again()
    terminal.says("the tunnel is back", times=2)
    terminal.says(f"{NUMBER} points to the new address")
    terminal.says("; not restored: sms_url https://theirs.example.com/")
    assert other["sms_fallback_url"] == "https://example.com/fb"
    assert desk.says == leading_to(agent.public_url())
    assert text(agent.public_url(), 5) == 200
    assert terminal.interrupt() == 0
    assert (desk.says, other["sms_url"]) == (FIRST, "https://theirs.example.com/")


def test_a_tunnel_that_stays_away_restores_the_number(desk: Desk, agent: NgrokAgent, terminals: list[Terminal]) -> None:
    """After --patience the number of a lost tunnel is restored, and the exit status is 1."""
    words = ("tunnel", "--ngrok-api", agent.url, "--patience", "0", "--connect", NUMBER)
    terminals.append(terminal := desk.terminal(*words).says(CONNECTED))
    agent.end()
    assert terminal.ends() == 1
    assert "router: the tunnel is gone: no ngrok agent answers at" in terminal.output
    assert (desk.says, desk.record) == (FIRST, [])
    agent.start_again()


def test_the_next_tunnel_restores_the_number_of_a_killed_one(
    desk: Desk, agent: NgrokAgent, terminals: list[Terminal]
) -> None:
    """After kill -9 the address is no longer accepted, and the next tunnel first restores the number."""
    terminals.append(terminal := desk.terminal("tunnel", "--ngrok-api", agent.url, "--connect", NUMBER).says(CONNECTED))
    terminal.process.kill()
    terminal.process.wait()
    assert tunnel.read(desk.folder) == ""
    assert desk.says == leading_to(agent.public_url())
    terminals.append(desk.terminal("tunnel", "--ngrok-api", agent.url).says("Stop  "))
    assert (desk.says, desk.record) == (FIRST, [])


def test_an_ngrok_without_authtoken_says_where_to_get_one(desk: Desk, tmp_path: Path) -> None:
    """The error has ngrok's own reason, and the command that sets an authtoken."""
    program = tmp_path / "ngrok"
    program.write_text(
        "#!/bin/sh\necho 'ERROR:  authentication failed: Usage of ngrok requires an authtoken.'; exit 1\n"
    )
    program.chmod(0o755)
    ended = desk.terminal("tunnel", PATH=f"{tmp_path}:/bin:/usr/bin", XDG_CONFIG_HOME=str(tmp_path / "config"))
    assert ended.ends() == 1
    assert "ngrok did not start: ERROR: authentication failed: Usage of ngrok" in ended.output
    assert "ngrok config add-authtoken" in ended.output


def test_a_router_without_the_tunnel_that_was_wanted_stops(tmp_path: Path, redis_url: str) -> None:
    """Without its tunnel `router run --tunnel` ends, with the tunnel's exit status."""
    environ = {"TWILIO_ACCOUNT_SID": ACCOUNT, "TWILIO_AUTH_TOKEN": TOKEN, "ROUTER_REDIS_URL": redis_url}
    router = RunningRouter(tmp_path, "--tunnel", "--ngrok-api=http://127.0.0.1:9", **environ)
    assert router.process.wait(60) == 1
    assert "router: no ngrok agent answers at http://127.0.0.1:9" in router.output
    assert "the tunnel has ended; stopping" in router.output
