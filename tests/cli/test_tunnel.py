"""`router tunnel`: what goes wrong, and how the router and connected numbers follow a tunnel."""

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
from tests.e2e.desk import FIRST, NUMBER, Desk, leading_to, open_desk
from tests.e2e.ngrok_agent import NgrokAgent
from tests.valkey import ValkeyServer


@pytest.fixture(scope="module")
def router(_session_valkey: ValkeyServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRouter]:
    """A router in this process."""
    with serving(tmp_path_factory.mktemp("router"), _session_valkey.url) as router:
        yield router


@pytest.fixture
def desk(router: LocalRouter) -> Iterator[Desk]:
    """A desk at it, in its own data directory, where the tests leave nothing connected."""
    with open_desk(router.config, router.port, router.config.parent / "var") as desk:
        yield desk


@pytest.fixture
def agent() -> Iterator[NgrokAgent]:
    """An ngrok agent without tunnels."""
    with NgrokAgent() as agent:
        yield agent


def test_without_any_tunnel_it_says_what_to_install(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """No agent, no pyngrok: the exit status is 1, and what to do is in the sentence."""
    monkeypatch.setattr("router.cli.connect.ngrok.find_spec", lambda _: None)
    ended = desk.type("tunnel")
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
def test_what_ngrok_says_is_reported(desk: Desk, agent: NgrokAgent, page: str, refuse: str, says: str) -> None:
    """The page that answers in the router's place, or why there is no tunnel: the exit status is 1."""
    agent.page, agent.refuse = page, refuse
    ended = desk.type("tunnel", "--ngrok-api", agent.url, "--patience", "0")
    assert ended.exit_code == 1
    assert says in ended.output
    assert tunnel.read(desk.folder) == ""
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
def test_what_is_wrong_is_one_sentence(
    desk: Desk, words: list[str], environ: dict[str, str], status: int, says: str
) -> None:
    """It says what is wrong; the exit status is not 0."""
    ended = desk.type("tunnel", "--patience", "0", *words, **environ)
    assert ended.exit_code == status
    assert says in ended.output


def test_the_program_is_ngrok_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pyngrok brings a command of the same name, whose end would not be that of the agent: it is passed over."""
    programs = {"brought": "#!/usr/bin/python\nfrom pyngrok.ngrok import main\n", "real": "#!/bin/sh\n"}
    for folder, text in programs.items():
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "ngrok").write_text(text)
        (tmp_path / folder / "ngrok").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/brought:{tmp_path}/real")
    assert _installed() == f"{tmp_path}/real/ngrok"
    monkeypatch.setenv("PATH", f"{tmp_path}/brought")
    assert _installed() is None


def test_a_number_that_cannot_be_connected_ends_the_tunnel(desk: Desk, agent: NgrokAgent) -> None:
    """Who asked for both gets both or neither."""
    ended = desk.type("tunnel", "--ngrok-api", agent.url, "--connect", "+15550000008")
    assert ended.exit_code == 1
    assert "+15550000008 is not a number of" in ended.output
    assert tunnel.read(desk.folder) == ""


def test_a_named_tunnel_is_gone_when_nothing_comes_through(desk: Desk, router: LocalRouter) -> None:
    """One lost request is tolerated; after two in a row the tunnel counts as lost."""
    (account,) = load({"ROUTER_CONFIG": str(router.config)}).accounts
    up = GivenTunnel(desk.base, account, every=0)
    assert [up.look(), up.look(), up.look()] == [desk.base] * 3
    dead = GivenTunnel("http://127.0.0.1:9", account, every=0)
    assert dead.look() == "http://127.0.0.1:9"
    with pytest.raises(TunnelGone, match="nothing listens"):
        dead.look()


def test_a_number_that_could_not_be_moved_is_moved_later(
    desk: Desk, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twilio is away when the address changes: the number follows as soon as it answers again."""
    monkeypatch.setattr("router.cli.connect.follow._MOVE_AGAIN", 0.0)
    bases = [desk.base]

    class Changing:
        def look(self) -> str:
            return bases[-1]

        def close(self) -> None:
            """Nothing is open."""

    settings = load(desk.environ)
    with TunnelRecord(desk.folder) as record:
        follower = Follower(Changing(), record, Connector(settings), 0, lambda _: None)
        follower.look()
        assert desk.type("connect", NUMBER, "--detach", "--yes").exit_code == 0
        bases.append("http://moved.example.com")
        desk.twilio.updates_answered = 500
        follower.look()
        assert desk.says == desk.here
        assert "does not point to the new address yet: " in capsys.readouterr().err
        desk.twilio.updates_answered = 200
        follower.look()
        assert desk.says == leading_to("http://moved.example.com")

        record.publish("http://late.example.com")  # which a `router connect` has read a moment too early
        assert desk.type("connect", NUMBER, "--detach", "--no-check").exit_code == 0
        assert desk.says == leading_to("http://late.example.com")
        follower.look()
        assert desk.says == leading_to("http://moved.example.com")
    assert desk.type("disconnect").exit_code == 0
    assert desk.says == FIRST
