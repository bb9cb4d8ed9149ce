"""`router tunnel`: errors, and how the router and connected numbers follow a tunnel."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from router import tunnel_address as tunnel
from router.cli.connect.connector import Connector
from router.cli.connect.follow import Follower, GivenTunnel, TunnelGone
from router.cli.connect.ngrok import _installed
from router.settings import load
from router.tunnel_address import TunnelRecord
from tests.cli.local_router import LocalRouter, serving
from tests.e2e.local_setup import FIRST, NUMBER, LocalSetup, local_setup, webhook_to
from tests.e2e.ngrok_agent import NgrokAgent
from tests.valkey import ValkeyServer


@pytest.fixture(scope="module")
def router(_session_valkey: ValkeyServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRouter]:
    """A router in this process."""
    with serving(tmp_path_factory.mktemp("router"), _session_valkey.url) as router:
        yield router


@pytest.fixture
def local(router: LocalRouter) -> Iterator[LocalSetup]:
    """A setup with the router's own data directory, in which each test leaves nothing connected."""
    with local_setup(router.config, router.port, router.config.parent / "var") as local:
        yield local


@pytest.fixture
def agent() -> Iterator[NgrokAgent]:
    """An ngrok agent without tunnels."""
    with NgrokAgent() as agent:
        yield agent


def test_without_ngrok_and_pyngrok_tunnel_says_what_to_install(
    local: LocalSetup, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without an ngrok agent and pyngrok, `tunnel` fails and says what to install."""
    monkeypatch.setattr("router.cli.connect.ngrok.find_spec", lambda _: None)
    ended = local.run("tunnel")
    assert ended.exit_code == 1
    for what in (
        "-m pip install 'twilio-message-router[tunnel]'",
        "ngrok http ",
        "ngrok config add-authtoken",
        "cloudflared",
    ):
        assert what in ended.output


@pytest.mark.parametrize(
    ("page", "refuse", "says"),
    [
        ("6024", "", "ngrok's browser warning answered instead of the router (ERR_NGROK_6024)"),
        ("3200", "", "the tunnel is gone: no ngrok agent serves this address (ERR_NGROK_3200)"),
        ("727", "", "see https://ngrok.com/docs/errors/err_ngrok_727"),
        (
            "",
            "Your account is limited to 1 simultaneous session. ERR_NGROK_108",
            "ngrok did not open a tunnel: Your account",
        ),
    ],
)
def test_an_error_of_ngrok_is_reported(local: LocalSetup, agent: NgrokAgent, page: str, refuse: str, says: str) -> None:
    """An error page or a refusal of ngrok is reported with exit status 1, and no tunnel is left."""
    agent.page, agent.refuse = page, refuse
    ended = local.run("tunnel", "--ngrok-api", agent.url, "--patience", "0")
    assert ended.exit_code == 1
    assert says in ended.output
    assert tunnel.read(local.folder) == ""
    assert agent.answer("GET", "/api/tunnels", b"")[1] == {"tunnels": [], "uri": "/api/tunnels"}


@pytest.mark.parametrize(
    ("words", "environ", "status", "says"),
    [
        pytest.param(
            ["--ngrok-api", "http://127.0.0.1:9"], {}, 1, "no ngrok agent answers at http://127.0.0.1:9", id="no agent"
        ),
        pytest.param(["--url", "http://127.0.0.1:9"], {}, 1, "nothing listens at http://127.0.0.1:9", id="a dead URL"),
        pytest.param(["--url", "nowhere"], {}, 2, "is not an absolute http or https URL", id="no URL"),
        pytest.param([], {"ROUTER_BIND": "127.0.0.1:9"}, 1, "start the router with `router run`", id="no router"),
        pytest.param(["--connect", "x"], {}, 2, "is not a number such as", id="no number"),
    ],
)
def test_a_tunnel_that_fails_says_why(
    local: LocalSetup, words: list[str], environ: dict[str, str], status: int, says: str
) -> None:
    """A `tunnel` that fails says why, with exit status 1, or 2 for wrong usage."""
    ended = local.run("tunnel", "--patience", "0", *words, **environ)
    assert ended.exit_code == status
    assert says in ended.output


def test_pyngroks_command_is_not_taken_for_ngrok(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The `ngrok` command that pyngrok installs is not taken for ngrok itself."""
    programs = {"brought": "#!/usr/bin/python\nfrom pyngrok.ngrok import main\n", "real": "#!/bin/sh\n"}
    for folder, text in programs.items():
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "ngrok").write_text(text)
        (tmp_path / folder / "ngrok").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/brought:{tmp_path}/real")
    assert _installed() == f"{tmp_path}/real/ngrok"
    monkeypatch.setenv("PATH", f"{tmp_path}/brought")
    assert _installed() is None


def test_a_number_that_cannot_be_connected_ends_the_tunnel(local: LocalSetup, agent: NgrokAgent) -> None:
    """If --connect fails, `tunnel` ends with exit status 1 and no tunnel is recorded."""
    ended = local.run("tunnel", "--ngrok-api", agent.url, "--connect", "+15550000008")
    assert ended.exit_code == 1
    assert "+15550000008 is not a number of" in ended.output
    assert tunnel.read(local.folder) == ""


def test_a_given_tunnel_is_lost_after_two_failed_requests(local: LocalSetup, router: LocalRouter) -> None:
    """A tunnel given by its URL counts as lost after two failed requests in a row."""
    (account,) = load({"ROUTER_CONFIG": str(router.config)}).accounts
    up = GivenTunnel(local.base, account, every=0)
    assert [up.look(), up.look(), up.look()] == [local.base] * 3
    dead = GivenTunnel("http://127.0.0.1:9", account, every=0)
    assert dead.look() == "http://127.0.0.1:9"
    with pytest.raises(TunnelGone, match="nothing listens"):
        dead.look()


def test_a_number_that_could_not_be_moved_is_moved_later(
    local: LocalSetup, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """If Twilio fails when a tunnel's URL changes, the number gets the new URL at a later look."""
    monkeypatch.setattr("router.cli.connect.follow._MOVE_AGAIN", 0.0)
    bases = [local.base]

    class Changing:
        def look(self) -> str:
            return bases[-1]

        def close(self) -> None:
            """Nothing is open."""

    settings = load(local.environ)
    with TunnelRecord(local.folder) as record:
        follower = Follower(Changing(), record, Connector(settings), 0, lambda _: None)
        follower.look()
        assert local.run("connect", NUMBER, "--detach", "--yes").exit_code == 0
        bases.append("http://moved.example.com")
        local.twilio.updates_answered = 500
        follower.look()
        assert local.webhook == local.webhook_here
        assert "does not point to the new address yet: " in capsys.readouterr().err
        local.twilio.updates_answered = 200
        follower.look()
        assert local.webhook == webhook_to("http://moved.example.com")

        record.publish("http://late.example.com")  # as if `router connect` had read the record too early
        assert local.run("connect", NUMBER, "--detach", "--no-check").exit_code == 0
        assert local.webhook == webhook_to("http://late.example.com")
        follower.look()
        assert local.webhook == webhook_to("http://moved.example.com")
    assert local.run("disconnect").exit_code == 0
    assert local.webhook == FIRST
