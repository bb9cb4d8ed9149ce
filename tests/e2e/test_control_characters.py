"""No command and no log prints a control character of a text that customers, targets or strangers wrote."""

import json
import os
import pty
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from urllib.parse import urlencode

import pytest

from router.diagnosis.refused import Seen, keep
from router.message.inbound import Message, conversation_id
from router.message.raw import FORM, Raw
from router.store import connect
from router.store.client import Client
from router.store.lanes import new_token
from router.store.refusals import Refusals
from tests.core.samples import AC
from tests.e2e.commands import external, invoke
from tests.e2e.running import ROUTER, clean_environ
from tests.integrations import sending

OURS, TOKEN, SID = "+15005550006", "1" * 32, "SM" + "1" * 32
# Sequences that clear the screen, set the title, hide text (7 and 8 bits), delete, reverse text, and end the line.
EVIL = "a\x1b[2Jb\x1b]0;c\x07\x1b[8md\x9b2Je\x7ff\u202eg\u2066h\u2028i\r"
NAME = "Flow \u202e\u2066\u200b"  # the only ones that a flow's parameter may contain
# Characters that may not be printed: all control and format characters but the line feed.
CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2066-\u2069]")
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


@pytest.fixture
def environ(redis_url: str, tmp_path: Path) -> dict[str, str]:
    """A store with a flow, a message and a refused request that contain control characters."""
    settings = {"ROUTER_REDIS_URL": redis_url, "ROUTER_DATA_DIR": str(tmp_path / "var")}
    settings |= {"TWILIO_ACCOUNT_SID": AC, "TWILIO_AUTH_TOKEN": TOKEN}
    store = connect(sending.settings(ROUTER_REDIS_URL=redis_url))
    fields = [("AccountSid", AC), ("MessageSid", SID), ("From", "+15559990000"), ("To", OURS), ("Body", EVIL)]
    fields += [("ProfileName", EVIL)]
    message = Message.parse(fields)
    store.lanes.accept(
        token=new_token(), account_sid=AC, message_sid=SID, disposition="unrouted", lease=False,
        lane=conversation_id(AC, "sms", message.to, message.from_), versions=(),
        facts={"raw": Raw("POST", FORM, urlencode(fields).encode()).pack(), "why": EVIL, "error": EVIL},
    )  # fmt: skip
    store.close()
    evil = urlencode({"AccountSid": EVIL, "From": EVIL, "To": EVIL, EVIL: EVIL}).encode()
    texts = {"reason": EVIL, "signature": EVIL, "signature_settings": EVIL, "bases": [f"http://{EVIL}"], "doubt": EVIL}
    refused = keep(Raw("POST", FORM, evil), f"/{EVIL}", at=0, status=404, seen=Seen((EVIL,)), **texts)  # type: ignore[arg-type]
    Refusals(Client(redis_url), [AC]).add(refused, account_sid="")
    given = external(OURS, "https://example.com/now").replace(f'"To {OURS}"', json.dumps(NAME))
    assert invoke("flows", "apply", "-", given=given, **settings).exit_code == 0
    return settings


COMMANDS = [
    "flows list",
    "flows list --json",
    "flows log",
    "flows log --json",
    "flows export",
    "deliveries list",
    "deliveries list --json",
    f"deliveries show {SID}",
    f"deliveries show {SID} --json",
    "deliveries tail --count 1",
    "deliveries tail --count 1 --json",
    "deliveries replay --status unrouted --since 1d --dry-run",
    "doctor --offline --since 1d",
    "doctor --offline --since 1d --json",
    "explain --since 1d --flows - --json",
    "record -",
]


@pytest.mark.parametrize("command", COMMANDS)
def test_no_output_controls_the_terminal(environ: dict[str, str], command: str) -> None:
    """Customers' texts are printed, in JSON too, without characters that control a terminal."""
    result = invoke(*command.split(), given=external(OURS, "https://example.com/x"), **environ)
    assert not CONTROL.findall(result.stdout + result.stderr)
    assert result.stdout


@pytest.mark.parametrize(
    "words",
    [
        (EVIL,),
        ("deliveries", "show", EVIL),
        ("deliveries", "list", "--account", EVIL),
        ("deliveries", "list", f"--{EVIL}"),
        ("deliveries", "list", "--status", EVIL),
        ("flows", "apply", f"/nowhere/{EVIL}"),
    ],
)
def test_no_error_controls_the_terminal(environ: dict[str, str], words: tuple[str, ...]) -> None:
    """An error prints an invalid value without its control characters."""
    result = invoke(*words, **environ)
    assert result.exit_code
    assert not CONTROL.findall(result.stdout + result.stderr)


def test_programs_read_the_original_text(environ: dict[str, str]) -> None:
    """In JSON, JSON lines and TOML control characters are escaped, so that a program reads the original text."""
    shown = invoke("deliveries", "show", SID, "--json", **environ).stdout
    assert (json.loads(shown)["body"], json.loads(shown)["error"]) == (EVIL, EVIL)
    recorded = invoke("record", "-", **environ).stdout
    assert json.loads(recorded)["parameters"]["Body"] == EVIL
    exported = invoke("flows", "export", **environ).stdout
    assert tomllib.loads(exported)["flow"][0]["friendly_name"] == NAME


def test_a_terminal_gets_only_our_colours(environ: dict[str, str]) -> None:
    """On a terminal the output has the router's colours, and no escape sequence of the customer's text."""
    assert_only_colours(on_a_terminal(str(ROUTER), "deliveries", "list", **environ))


def test_the_log_does_not_control_the_terminal() -> None:
    """A log on a terminal has the router's colours, and no control character that a stranger sent."""
    code = f"from router.log import make_log; make_log(pid=1).info('webhook', reason={EVIL[:-1]!r})"
    assert_only_colours(on_a_terminal(sys.executable, "-c", code))


def on_a_terminal(*command: str, **environ: str) -> str:
    """Run a command with a terminal as its output; return what it printed."""
    ours, theirs = pty.openpty()
    screen = clean_environ(**environ, TERM="xterm", COLUMNS="200")
    subprocess.run(command, env=screen, stdout=theirs, stderr=theirs, check=True)
    os.close(theirs)
    printed = os.read(ours, 64 * 1024).decode()
    os.close(ours)
    return printed


def assert_only_colours(printed: str) -> None:
    """Check that the only control sequences are colours."""
    assert COLOUR.search(printed)
    for sequence in ("\x1b[2J", "\x1b[8m", "\x1b]"):
        assert sequence not in printed
    assert not CONTROL.findall(COLOUR.sub("", printed).replace("\r\n", "\n"))
