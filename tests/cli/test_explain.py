"""`router explain`: where a message would go, and what a flow file would change for recent messages."""

import json
from pathlib import Path
from urllib.parse import urlencode

import pytest
from click.testing import Result

from router.message.inbound import Message, conversation_id
from router.message.raw import FORM, Raw
from router.store import connect
from router.store.lanes import new_token
from tests.core.samples import AC
from tests.e2e.commands import Cli, external, invoke
from tests.integrations import sending

OURS, OTHER = "+15005550006", "+15005550007"
TOKEN = "1" * 32
NOW = external(OURS, "https://example.com/now")
SPANISH = external(OURS, "https://example.com/es", language='["es"]').replace(f"To {OURS}", "Spanish")
ORDERS = external(OURS, "https://example.com/orders", match="\"body.startsWith('#')\"").replace(f"To {OURS}", "Orders")


@pytest.fixture
def offline(redis_url: str, tmp_path: Path) -> Cli:
    """Run a command over a store with one flow and four messages, without a router."""
    settings = {"ROUTER_REDIS_URL": redis_url, "ROUTER_DATA_DIR": str(tmp_path / "var")}
    settings |= {"TWILIO_ACCOUNT_SID": AC, "TWILIO_AUTH_TOKEN": TOKEN}
    store = connect(sending.settings(ROUTER_REDIS_URL=redis_url))
    for number, (theirs, body) in enumerate(
        [
            ("+34600111222", "Quiero saber dónde está mi pedido"),
            ("+34600111222", "ok"),
            ("+15559990000", "Where is my order please"),
            ("+15559990000", "#42"),
        ]
    ):
        fields = [
            ("AccountSid", AC),
            ("MessageSid", f"SM{number:032x}"),
            ("From", theirs),
            ("To", OURS),
            ("Body", body),
        ]
        message = Message.parse(fields)
        raw = Raw("POST", FORM, urlencode(fields).encode())
        store.lanes.accept(
            token=new_token(), account_sid=AC, message_sid=message.message_sid, disposition="unrouted", lease=False,
            lane=conversation_id(AC, "sms", message.to, message.from_), versions=(),
            facts={"raw": raw.pack(), "why": "", "error": "no flow"},
        )  # fmt: skip
    store.close()

    def run(*args: str, given: str = "") -> Result:
        return invoke(*args, given=given, **settings)

    assert invoke("flows", "apply", "-", given=NOW, **settings).exit_code == 0
    return run


def test_messages_that_would_move_are_listed(offline: Cli) -> None:
    """`explain --flows` lists the messages that the file would route to another flow, and applies nothing."""
    result = offline("explain", "--since", "1h", "--flows", "-", given=SPANISH)
    assert result.exit_code == 1, result.output
    assert "2 of 4 messages would go elsewhere; nothing was changed." in result.output
    assert result.output.count("Spanish") == 2
    assert "Spanish" not in offline("flows", "list").output


def test_json_has_every_step(offline: Cli) -> None:
    """With --json each moved message has both flows and the new route's steps."""
    result = offline("explain", "--since", "1h", "--flows", "-", "--json", given=ORDERS)
    found = json.loads(result.output)
    assert (result.exit_code, found["messages"], found["without_body"]) == (1, 4, 0)
    (moved,) = found["moved"]
    assert (moved["sid"], moved["before"]["friendly_name"], moved["after"]["friendly_name"]) == (
        f"SM{3:032x}",
        f"To {OURS}",
        "Orders",
    )
    assert moved["after"]["steps"]


def test_prune_counts_messages_of_removed_flows_as_moved(offline: Cli) -> None:
    """With --prune, messages of flows that the file does not have count as moved."""
    result = offline(
        "explain", "--since", "1h", "--flows", "-", "--prune", given=external(OTHER, "https://example.com")
    )
    assert result.exit_code == 1
    assert "4 of 4 messages would go elsewhere" in result.output


@pytest.mark.parametrize(
    ("args", "given", "code", "said"),
    [
        (("--since", "1h", "--flows", "-"), NOW, 0, "0 of 4 messages would go elsewhere"),
        (("--since", "0s", "--flows", "-"), NOW, 0, "choose an earlier --since"),
        (("--since", "1h", "--flows", "-", "--to", OTHER), SPANISH, 0, "no message with a body"),
        (("--since", "1h"), "", 2, "--since and --flows are used together"),
        (("--flows", "-"), NOW, 2, "--since and --flows are used together"),
        (("--since", "soon", "--flows", "-"), NOW, 2, "neither an age"),
        ((), "", 2, "Add --to with the address"),
        (("--since", "1h", "--flows", "-"), "[[flow]]\n", 1, "friendly_name"),
    ],
)
def test_explain_says_what_to_change(offline: Cli, args: tuple[str, ...], given: str, code: int, said: str) -> None:
    """Wrong arguments, an invalid file, or no messages are each reported with one sentence."""
    result = offline("explain", *args, given=given)
    assert result.exit_code == code, result.output
    assert said in result.output


def test_the_flows_of_a_step_are_named(offline: Cli) -> None:
    """The explanation names flows by their FriendlyName, and the language."""
    assert offline("flows", "apply", "-", given=SPANISH + ORDERS).exit_code == 0
    result = offline("explain", "--to", OURS, "--from", "+34600111222", "--body", "Quiero saber dónde está mi pedido")
    assert result.exit_code == 0, result.output
    assert "“Orders” not taken: its Match is false" in result.output
    assert "“Spanish” in es" in result.output
