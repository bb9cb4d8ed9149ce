"""`router migrate check` with a local Twilio: what a migration needs, and what cannot be known."""

import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from router.message.inbound import conversation_id
from router.message.raw import FORM, Raw
from router.queries.checks.migration import of_account
from router.store import Store, connect
from router.store.lanes import new_token
from tests.cli.test_migrate import FLOWS, OURS
from tests.e2e.commands import invoke
from tests.integrations.sending import ACCOUNT_SID, STUDIO_SID, TOKEN, settings
from tests.twilio.local import LocalTwilio

BASE = "https://router.example.com"
PROXY_SERVICE, SERVICE = "KS" + "1" * 32, "MG" + "1" * 32
WRITTEN = FLOWS.replace('"conversation"\n', f'"conversation"\nintegration.flow_sid = "{STUDIO_SID}"\n', 1)


@dataclass
class Driver:
    """Two flows of one address, a Twilio with all they need, and the command."""

    twilio: LocalTwilio
    store: Store
    environ: dict[str, str]
    sids: dict[str, str] = field(default_factory=dict)

    def check(
        self, old: str = "Proxy", *, to: str = "Conversations", status: int = 0
    ) -> dict[str, list[dict[str, Any]]]:
        """Run the command; return its findings by name."""
        given = ("--to", self.sids[to]) if to else ()
        result = invoke("migrate", "check", self.sids[old], *given, "--json", **self.environ)
        assert result.exit_code == status, result.output
        found: dict[str, list[dict[str, Any]]] = {}
        for each in json.loads(result.output)["checks"]:
            found.setdefault(each["name"], []).append(each)
        return found

    def receive(self, **more: str) -> None:
        """Store a message for the old flow."""
        sid = f"SM{secrets.token_hex(16)}"
        fields = {"AccountSid": ACCOUNT_SID, "MessageSid": sid, "From": "+15551110001", "To": OURS} | more
        self.store.lanes.accept(
            token=new_token(), account_sid=ACCOUNT_SID, message_sid=sid, disposition="queue", lease=False, versions=(),
            lane=conversation_id(ACCOUNT_SID, "sms", OURS, fields["From"]),
            facts={"raw": Raw("POST", FORM, urlencode(fields).encode()).pack(), "why": "", "flow": self.sids["Proxy"]},
        )  # fmt: skip


@pytest.fixture
def driver(redis_url: str, tmp_path: Path) -> Iterator[Driver]:
    """A number whose webhook points here, in one Messaging Service."""
    with LocalTwilio(ACCOUNT_SID, TOKEN) as twilio:
        twilio.sessions.services.add(PROXY_SERVICE)
        twilio.conversations.studio_flows[STUDIO_SID] = {"incomingConversationMessage"}
        twilio.number(OURS, f"{BASE}/webhooks/sms#rc=2")
        twilio.service(SERVICE, None, OURS)
        environ = {"ROUTER_REDIS_URL": redis_url, "ROUTER_DATA_DIR": str(tmp_path), "ROUTER_PUBLIC_URL": BASE}
        environ |= {"TWILIO_ACCOUNT_SID": ACCOUNT_SID, "TWILIO_AUTH_TOKEN": TOKEN, "ROUTER_TWILIO_API_URL": twilio.url}
        made = settings(**environ)
        driver = Driver(twilio, connect(made), environ)
        invoke("flows", "apply", "-", given=WRITTEN, **environ)
        driver.sids = {each.friendly_name: each.sid for each in driver.store.flows.walk(ACCOUNT_SID)}
        yield driver
        driver.store.close()


def test_a_complete_set_up_is_reported_line_by_line(driver: Driver) -> None:
    """Flows, resources, webhook and Messaging Service are good; what Twilio does not tell is reported as unknown."""
    found = driver.check()
    assert {name: [each["state"] for each in checks] for name, checks in found.items()} == {
        "flows": ["good"],
        "resources": ["good", "good"],
        "webhook": ["good"],
        "Messaging Service": ["good"],
        "opt-outs": ["skipped"],
        "sessions": ["look"],
    }
    said = found["resources"][1]["found"]
    assert "the trigger Incoming Conversation, auto-creation of its address is off" in said
    assert "REST API does not say" in found["opt-outs"][0]["found"]
    assert "send STOP from a test phone" in found["opt-outs"][0]["advice"]
    driver.receive(Body="STOP", OptOutType="STOP")
    driver.store.proxied.put(ACCOUNT_SID, (), seconds=60)
    found = driver.check()
    assert "1 recent messages have an OptOutType" in found["opt-outs"][0]["found"]
    assert found["sessions"][0]["state"] == "good"
    text = invoke("migrate", "check", driver.sids["Proxy"], "--to", driver.sids["Conversations"], **driver.environ)
    assert f"{OURS}: its inbound webhook leads here" in text.output
    assert (driver.twilio.writes(), driver.twilio.updates) == ([], [])


def test_each_missing_part_is_bad_and_named(driver: Driver) -> None:
    """A wrong trigger, auto-creation, another webhook, a missing number or an unfit new flow is reported as bad."""
    twilio = driver.twilio
    twilio.conversations.studio_flows[STUDIO_SID] = {"incomingMessage"}
    twilio.conversations.auto_creation[OURS] = True
    twilio.numbers[0]["sms_url"] = "https://user:secret@elsewhere.example/in?key=1"
    twilio.sessions.services.clear()
    found = driver.check(status=1)
    said = [each["found"] for each in found["resources"]]
    assert [each["state"] for each in found["resources"]] == ["bad"] * 3
    assert "no contact moves" in said[0]
    assert "only for incomingMessage" in said[1]
    assert "both Twilio and the router create a Conversation" in said[2]
    assert found["webhook"][0]["found"].endswith("is elsewhere.example/in: the router gets no message")
    assert f"router connect {OURS}" in found["webhook"][0]["advice"]
    twilio.numbers.clear()
    assert "is not a number of" in driver.check(status=1)["webhook"][0]["found"]
    assert "must have the address" in driver.check(to="Another number", status=1)["flows"][0]["found"]
    refused = invoke("migrate", "check", driver.sids["Proxy"], **driver.environ)
    assert (refused.exit_code, "--to FO…" in refused.stderr) == (1, True)


def test_a_number_without_a_messaging_service_is_reported(driver: Driver) -> None:
    """A number in no Messaging Service, or in two, is reported; the doctor checks the same for a begun migration."""
    driver.twilio.service_numbers[SERVICE].clear()
    driver.twilio.conversations.default_service = "MG" + "9" * 32
    found = driver.check()["Messaging Service"][0]
    assert (found["state"], "default one, MG999" in found["found"]) == ("look", True)
    driver.twilio.service(SERVICE.replace("1", "2"), None, OURS)
    driver.twilio.service(SERVICE.replace("1", "3"), None, OURS)
    assert "is in MG222" in driver.check()["Messaging Service"][0]["found"]
    made = settings(**driver.environ)
    assert list(of_account(made, made.accounts[0], driver.store)) == []
    begun = invoke("migrate", "start", driver.sids["Proxy"], "--to", driver.sids["Conversations"], **driver.environ)
    assert begun.exit_code == 0
    assert driver.check(to="")["flows"][0]["state"] == "good"
    names = [each.name for each in of_account(made, made.accounts[0], driver.store)]
    assert names == ["webhook", "Messaging Service", "opt-outs", "sessions"]
