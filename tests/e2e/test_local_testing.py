"""Runs all commands of docs/local-testing.md in their order, as a new user types them.

The tests of `Player` are here too, because pytest-xdist starts files with one test last, and the page's test is long.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from router.cli.send.call import send
from router.cli.send.inbound import fields, new_message_sid
from router.cli.send.signing import Signing
from router.message.signature import Key
from tests.e2e.ngrok_agent import NgrokAgent
from tests.e2e.page import Player, steps
from tests.e2e.running import clean_environ
from tests.e2e.twilio_rest import TwilioRest
from tests.ports import free_port

ROOT = Path(__file__).parents[2]
ACCOUNT, TOKEN, NUMBER = "AC" + "5" * 32, "5" * 32, "+15005550006"
CREDENTIALS = f"TWILIO_ACCOUNT_SID={ACCOUNT} TWILIO_AUTH_TOKEN={TOKEN}"
PAGE = ROOT / "docs" / "local-testing.md"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder like a fresh clone after its set-up, which gets the page's files and data."""
    for name in ("Makefile", "router", "config", "wsgi.py", "pyproject.toml", "requirements.lock"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / ".venv").symlink_to(Path(sys.executable).parents[1])
    return tmp_path


@pytest.fixture
def twilio() -> Iterator[TwilioRest]:
    """Twilio's REST API, with a number whose webhook is Twilio's demonstration, as for every new number."""
    with TwilioRest(ACCOUNT, TOKEN) as server:
        server.number(NUMBER, sms_url="https://demo.twilio.com/welcome/sms/reply", sms_fallback_url="")
        yield server


@pytest.fixture
def agent() -> Iterator[NgrokAgent]:
    """A running ngrok agent."""
    with NgrokAgent() as server:
        yield server


@pytest.fixture
def player(folder: Path, twilio: TwilioRest, agent: NgrokAgent) -> Iterator[Player]:
    """The page's player, with free ports, and with fakes of Twilio and ngrok."""
    router, bot = free_port(), free_port()
    player = Player(
        folder,
        clean_environ(ROUTER_BIND=f"127.0.0.1:{router}", ROUTER_WORKERS="1", ROUTER_TWILIO_API_URL=twilio.url),
        replacements={
            "127.0.0.1:8000": f"127.0.0.1:{router}",
            "127.0.0.1:5050": f"127.0.0.1:{bot}",
            "port=5050": f"port={bot}",
        },
        commands={
            "make run": "make -s -o .venv/.installed run",
            "export TWILIO_ACCOUNT_SID=AC… TWILIO_AUTH_TOKEN=…": f"export {CREDENTIALS}",
            "router tunnel": f"router tunnel --ngrok-api {agent.url}",
            "router run --tunnel": f"router run --tunnel --ngrok-api {agent.url}",
        },
        events={"sms": lambda: _sms(twilio)},
        patterns={r"http://127\.0\.0\.1:(?!(?:8000|5050)\b)\d+": "https://abc.ngrok-free.app"},
    )
    try:
        yield player
    finally:
        player.close()


def _sms(twilio: TwilioRest) -> None:
    """Call the number's present webhook with a signature, as Twilio does for an inbound message."""
    [number] = twilio.numbers
    form = fields(
        "sms",
        account_sid=ACCOUNT,
        message_sid=new_message_sid(()),
        from_="+14155550123",
        to=NUMBER,
        body="Hello router",
        media=(),
        more=(),
    )
    url = number["sms_url"]
    answered = send(url, form, Signing(Key("auth_token[0]", TOKEN.encode())))
    assert (answered.status, b"Your order of Hello router is on its way" in answered.body) == (200, True)


def test_every_command_prints_what_the_page_shows(player: Player, twilio: TwilioRest) -> None:
    """Each command of the page prints the text under it, except for ids and times; the number is restored."""
    for step in steps(PAGE.read_text()):
        player.play(step)
    assert twilio.numbers[0]["sms_url"] == "https://demo.twilio.com/welcome/sms/reply"


# --- the player itself ---

SMALL_PAGE = """
Text.

<!-- file: hello.sh -->
```sh
echo "$GREETING SM0123456789abcdef0123456789abcdef after 12 ms"
```

```console
$ export GREETING=Hello
$ sh hello.sh
Hello SM… after 9 ms
$ echo SM…
SM…
```

<!-- runs in: clock -->
```console
$ sh -c 'trap "echo ended; exit" INT; echo begun; while :; do sleep 0.01; done'
begun
```

<!-- event: bell -->
<!-- ends: clock -->
```console
ended
```
"""


def bare(folder: Path) -> Player:
    """Make a player without replacements, commands and events."""
    return Player(folder, {"PATH": "/usr/bin:/bin"}, {})


def test_a_player_runs_all_kinds_of_steps(tmp_path: Path) -> None:
    """The player writes files, keeps variables, runs commands, also in the background, reuses SIDs and sends Ctrl-C."""
    called: list[str] = []
    player = bare(tmp_path)
    player.events = {"bell": lambda: called.append("bell")}
    found = steps(SMALL_PAGE)
    assert [step.kind for step in found] == ["file", "run", "run", "run", "start", "event", "end"]
    for step in found:
        player.play(step)
    assert called == ["bell"]
    assert (player.folder / "output").read_text() == "SM0123456789abcdef0123456789abcdef\n"


@pytest.mark.parametrize(
    ("printed", "shown", "same"),
    [
        pytest.param("a\nb", "a\nb", True, id="the same"),
        pytest.param("a\nb", "a", False, id="a line too many"),
        pytest.param("a", "a\nb", False, id="a line too few"),
        pytest.param("a\nx\nb", "a\n...\nb", True, id="any lines"),
        pytest.param("a\nx\nb", "a\n...", True, id="any lines to the end"),
        pytest.param("a\nx\nb", "...\nc\n...", False, id="a line that is not there"),
        pytest.param("a\nb", "b\na", False, id="another order"),
        pytest.param("a   12 ms", "a 9 ms", True, id="times and blanks"),
        pytest.param("took 12 ms", "took 9 attempts", False, id="no time at all"),
        pytest.param("FO" + "a" * 32, "FO…", True, id="a SID"),
        pytest.param("FO" + "a" * 32, "SM…", False, id="another kind of SID"),
        pytest.param("token: abc", "token: …", True, id="the rest of a line"),
        pytest.param("anything", "", False, id="nothing is shown"),
    ],
)
def test_a_player_finds_differences_between_page_and_output(
    tmp_path: Path, printed: str, shown: str, *, same: bool
) -> None:
    """A page must show the printed lines, except for ids, times and what it leaves out with `...`."""
    assert (bare(tmp_path)._difference(printed.splitlines(), tuple(shown.splitlines())) == "") is same
