"""`router flows web` makes the flow for a website's chat."""

from pathlib import Path

import pytest

from router.flow.flex_flow import FlexFlow
from router.store.client import Client
from router.store.flows import FlowStore
from tests.e2e.commands import Cli, invoke
from tests.integrations.sending import ACCOUNT_SID, settings
from tests.valkey import ValkeyServer


@pytest.fixture
def cli(valkey: ValkeyServer, tmp_path: Path) -> Cli:
    """Run a command over an empty store, with one account and the handler `echo`."""
    config = tmp_path / "router.toml"
    account = settings().accounts[0]
    config.write_text(
        f"""redis_url = "{valkey.url}"
public_url = "https://router.example.com"
[handlers]
echo = "router.demo:handle"
[[account]]
sid = "{account.sid}"
auth_tokens = ["{account.auth_tokens[0]}"]
"""
    )
    return lambda *args, given="": invoke(*args, given=given, ROUTER_CONFIG=str(config))


def flows(valkey: ValkeyServer) -> list[FlexFlow]:
    """Return all flows of the store."""
    store = FlowStore(Client(valkey.url))
    try:
        return store.page(ACCOUNT_SID, 0, 10)
    finally:
        store.close()


def test_a_web_flow_is_made_and_its_pages_are_shown(cli: Cli, valkey: ValkeyServer) -> None:
    """`flows web` makes a web flow that closes idle chats, and prints its test page and the website's snippet."""
    made = cli("flows", "web", "https://example.com/chat", "--origin", "https://shop.example", "--name", "Shop")
    assert made.exit_code == 0, made.output
    (flow,) = flows(valkey)
    assert (flow.friendly_name, flow.channel_type, flow.integration.url) == ("Shop", "web", "https://example.com/chat")
    assert flow.janitor_enabled
    assert flow.has_own_address
    assert flow.web_chat.allowed_origins == ("https://shop.example",)
    shown = "".join(made.output.split())
    assert f"https://router.example.com/chat?accountSid={ACCOUNT_SID}&flexFlowSid={flow.sid}" in shown
    assert f'data-address="IG{flow.sid[2:]}"' in shown


def test_a_target_that_is_no_url_is_a_handler(cli: Cli, valkey: ValkeyServer) -> None:
    """A target that is not a URL is a handler; an unknown handler or an invalid origin makes no flow."""
    assert cli("flows", "web", "echo").exit_code == 0
    for wrong in (("ecko",), ("echo", "--origin", "shop.example")):
        refused = cli("flows", "web", *wrong)
        assert refused.exit_code == 2
        assert "echo" in refused.output or "origin" in refused.output
    assert [flow.integration.handler for flow in flows(valkey)] == ["echo"]
