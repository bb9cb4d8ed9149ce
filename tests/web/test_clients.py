"""Twilio's client libraries with a live router, with only their base URL changed."""

import datetime as dt
import json
import os
import shutil
import subprocess
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from twilio.base.exceptions import TwilioRestException
from twilio.rest import Client

from tests.e2e.service import ACCOUNT, TOKEN, Service
from tests.valkey import ValkeyServer

IS, FW, WS, WW = (prefix + "1" * 32 for prefix in ("IS", "FW", "WS", "WW"))
FLOWS = 120
NODE = Path(__file__).parents[1] / "node"


class Local(Service):
    """A router whose public URL is the address where it listens, as on a developer's machine."""

    @property
    def base(self) -> str:
        """The base URL for the clients."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start with its own port in the public URL."""
        self._environ["ROUTER_PUBLIC_URL"] = self.base
        super().start()


@pytest.fixture(scope="module")
def router(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Local]:
    """One live router for this file, with 120 flows that the Python client made."""
    valkey = ValkeyServer()
    service = Local(tmp_path_factory.mktemp("clients"), valkey.url)
    flows = client(service).flex_api.v1.flex_flow
    for number in range(FLOWS):
        flows.create(
            f"Flow {number}", IS, "sms", contact_identity=f"+1555{number:07d}", integration_url="https://a.example"
        )
    yield service
    service.close()
    valkey.close()


def client(router: Local, token: str = TOKEN) -> Any:
    """Make Twilio's client as a script does, with the router as base URL."""
    made = Client(ACCOUNT, token)
    made.flex_api.base_url = router.base
    made.conversations.base_url = router.base
    return made


def test_python_makes_changes_and_removes_a_flow(router: Local) -> None:
    """The Python library creates, fetches, updates and deletes a flow, and reads its properties."""
    flows = client(router).flex_api.v1.flex_flow
    created = flows.create(
        friendly_name="Büro & Co 🌞",
        chat_service_sid=IS,
        channel_type="whatsapp",
        contact_identity="whatsapp:+15551110000",
        enabled=True,
        integration_type="studio",
        integration_flow_sid=FW,
        integration_retry_count=2,
        long_lived=True,
        janitor_enabled=True,
    )
    assert created.sid.startswith("FO")
    assert (created.account_sid, created.friendly_name, created.chat_service_sid) == (ACCOUNT, "Büro & Co 🌞", IS)
    assert (created.channel_type, created.contact_identity) == ("whatsapp", "whatsapp:+15551110000")
    assert (created.enabled, created.long_lived, created.janitor_enabled) == (True, True, True)
    assert created.integration_type == "studio"
    assert {"flow_sid": FW, "retry_count": 2}.items() <= created.integration.items()
    assert abs(dt.datetime.now(dt.UTC) - created.date_created) < dt.timedelta(minutes=1)
    assert created.url == f"{router.base}/v1/FlexFlows/{created.sid}"

    updated = flows(created.sid).update(enabled=False, integration_type="external", integration_url="https://b.example")
    assert (updated.enabled, updated.integration_type, updated.friendly_name) == (False, "external", "Büro & Co 🌞")
    fetched = flows(created.sid).fetch()
    assert fetched.integration["url"] == "https://b.example"
    assert fetched.update(friendly_name="Again").friendly_name == "Again"
    assert flows(created.sid).delete() is True
    with pytest.raises(TwilioRestException) as caught:
        flows(created.sid).fetch()
    assert (caught.value.status, caught.value.code) == (404, 20404)


def test_python_lists_flows_page_by_page(router: Local) -> None:
    """The Python library lists 120 flows once each in pages, with limit, filter and the previous page."""
    flows = client(router).flex_api.v1.flex_flow
    found = flows.list(page_size=50)
    assert [each.friendly_name for each in found] == [f"Flow {number}" for number in reversed(range(FLOWS))]
    assert len(flows.list(limit=70)) == 70
    assert len(list(flows.stream(page_size=7))) == FLOWS
    assert [each.contact_identity for each in flows.list(friendly_name="Flow 7")] == ["+15550000007"]
    first = flows.page(page_size=50)
    second = first.next_page()
    assert [each.sid for each in second.previous_page()] == [each.sid for each in found[:50]]
    again = flows.get_page(second.next_page_url)
    assert [each.sid for each in again] == [each.sid for each in found[100:]]


@pytest.mark.parametrize(
    ("arguments", "status", "code", "says"),
    [
        ({"chat_service_sid": "IS1"}, 400, 45210, "ChatServiceSid"),
        ({"channel_type": "fax"}, 400, 45210, "ChannelType"),
        ({"integration_type": "studio"}, 400, 45210, "Integration.FlowSid"),
        (
            {"integration_type": "studio", "integration_flow_sid": FW, "integration_retry_count": 99},
            400,
            45210,
            "RetryCount",
        ),
        ({"contact_identity": "+15550000007"}, 409, 45212, "ContactIdentity"),
    ],
)
def test_python_raises_its_own_exception(
    router: Local, arguments: dict[str, Any], status: int, code: int, says: str
) -> None:
    """The Python library raises its own exception with status, code and the parameter's name."""
    flow = {
        "friendly_name": "x",
        "chat_service_sid": IS,
        "channel_type": "sms",
        "contact_identity": "+15559",
    } | arguments
    with pytest.raises(TwilioRestException) as caught:
        client(router).flex_api.v1.flex_flow.create(**flow)
    assert (caught.value.status, caught.value.code) == (status, code)
    assert says in caught.value.msg


def test_python_is_refused_with_a_wrong_token(router: Local) -> None:
    """With a wrong token the Python library raises 401 (20003)."""
    with pytest.raises(TwilioRestException) as caught:
        client(router, "wrong").flex_api.v1.flex_flow("FO" + "1" * 32).fetch()
    assert (caught.value.status, caught.value.code) == (401, 20003)


def test_python_configures_addresses(router: Local) -> None:
    """The Python library creates, fetches, updates, lists and deletes an address configuration."""
    addresses = client(router).conversations.v1.address_configurations
    created = addresses.create(
        type="rcs",
        address="rcs:brand_agent",
        friendly_name="Brand",
        auto_creation_enabled=True,
        auto_creation_type="webhook",
        auto_creation_webhook_url="https://example.com/in",
        auto_creation_webhook_method="get",
        auto_creation_webhook_filters=["onMessageAdded", "onMessageRemoved"],
    )
    assert created.auto_creation == {
        "enabled": True,
        "type": "webhook",
        "conversation_service_sid": None,
        "webhook_url": "https://example.com/in",
        "webhook_method": "GET",
        "webhook_filters": ["onMessageAdded", "onMessageRemoved"],
    }
    assert addresses("rcs:brand_agent").fetch().sid == created.sid
    assert addresses(created.sid).update(auto_creation_enabled=False).auto_creation["enabled"] is False
    assert [each.sid for each in addresses.list(type="rcs")] == [created.sid]
    assert len(addresses.list(limit=100)) == 100
    assert addresses("rcs:brand_agent").delete() is True
    with pytest.raises(TwilioRestException) as caught:
        addresses(created.sid).fetch()
    assert caught.value.status == 404


def test_the_node_library_does_the_same(router: Local, node_modules: Path) -> None:
    """Twilio's Node library creates, lists, updates and deletes flows and addresses, and raises its own errors."""
    environ = os.environ | {"NODE_PATH": str(node_modules), "BASE": router.base, "ACCOUNT": ACCOUNT, "TOKEN": TOKEN}
    ran = subprocess.run(
        [shutil.which("node") or "node", NODE / "rest.js"],
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    seen = json.loads(ran.stdout)
    assert len(set(seen["listed"])) == FLOWS
    assert (seen["limited"], seen["named"], seen["back"]) == (70, ["Flow 7"], seen["listed"][:50])
    created = seen["created"]
    assert (created["friendlyName"], created["channelType"]) == ("From Node & Büro 🌞", "whatsapp")
    assert (created["integrationType"], created["enabled"], created["longLived"]) == ("task", True, True)
    integration = {"workspace_sid": WS, "workflow_sid": WW, "creation_on_message": True, "retry_count": 2}
    assert integration.items() <= created["integration"].items()
    assert seen["dates"] is True
    assert (seen["updated"]["friendlyName"], seen["updated"]["enabled"]) == ("Renamed", False)
    assert seen["fetched"] == seen["updated"]

    def refused(status: int, code: int) -> dict[str, Any]:
        url = f"https://www.twilio.com/docs/errors/{code}"
        return {"name": "RestException", "status": status, "code": code, "moreInfo": url}

    assert seen["invalid"] == refused(400, 45210)
    assert seen["conflict"] == refused(409, 45212)
    assert seen["gone"] == seen["addressGone"] == refused(404, 20404)
    assert seen["unauthenticated"] == refused(401, 20003)
    assert (seen["removed"], seen["addressRemoved"]) == (True, True)
    address = seen["address"]
    assert (address["type"], address["address"]) == ("messenger", "messenger:1234567")
    assert address["autoCreation"]["webhook_filters"] == ["onMessageAdded", "onMessageUpdated"]
    assert (seen["byAddress"], seen["messengers"]) == (address["sid"], [address["sid"]])
    assert (seen["addressUpdated"], seen["addresses"]) == ("Page", 120)


def test_twilios_curl_works_as_printed(router: Local) -> None:
    """The curl request that Twilio's page shows for a new Flex Flow makes the flow."""
    body = (
        "ChannelType=web&Enabled=True&IntegrationType=studio&FriendlyName=Flex%20Web%20Channel%20Flow"
        f"&Integration.FlowSid={FW}&ChatServiceSid={IS}"
    )
    headers = {
        "Authorization": "Basic " + b64encode(f"{ACCOUNT}:{TOKEN}".encode()).decode(),
        "User-Agent": "curl/8.5.0",
        "Accept": "*/*",
        "Content-Type": "application/x-www-form-urlencoded",
    }
    status, _, answer = router.request("POST", "/v1/FlexFlows", body.encode(), headers)
    flow = json.loads(answer)
    assert status == 201, flow
    assert (flow["friendly_name"], flow["channel_type"], flow["enabled"]) == ("Flex Web Channel Flow", "web", True)
    assert (flow["integration_type"], flow["integration"]["flow_sid"]) == ("studio", FW)
    assert router.request("DELETE", f"/v1/FlexFlows/{flow['sid']}", headers=headers)[0] == 204
