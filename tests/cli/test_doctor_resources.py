"""What `router doctor` reports about tasks, Conversations and migrations, with a local Twilio."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

import pytest

from router.flow.flex_flow import FlexFlow
from router.message.inbound import conversation_id
from router.message.raw import FORM, Raw
from router.queries.checks import Check
from router.queries.checks.resources import flows
from router.settings import Settings
from router.store import Store, connect
from router.store.lanes import Room, Settlement, new_token
from tests.integrations.sending import ACCOUNT_SID, STUDIO_SID, TOKEN, flow, settings
from tests.twilio.local import LocalTwilio
from tests.twilio.wire import problem
from tests.valkey import ValkeyServer

WORKSPACE, WORKFLOW, SERVICE = "WS" + "1" * 32, "WW" + "2" * 32, "KS" + "3" * 32
THEIRS, OURS, SID = "+15551230001", "+15551230002", "SM" + "5" * 32
BODY = "I ordered two, and one came"


@dataclass
class Driver:
    """A store, a local Twilio, and the doctor's checks."""

    twilio: LocalTwilio
    store: Store
    made: Settings

    def asked(self, *written: FlexFlow) -> list[Check]:
        """Write flows and return the checks."""
        self.store.flows.put_all([(each, None) for each in written])
        return list(flows(self.made, self.made.accounts[0], self.store))

    def deliver(self, to: FlexFlow, note: str) -> None:
        """Store a message as delivered to a flow, with a note in its history."""
        fields = {"AccountSid": ACCOUNT_SID, "MessageSid": SID, "From": THEIRS, "To": OURS, "Body": BODY}
        raw = Raw("POST", FORM, urlencode(fields).encode()).pack()
        self.store.lanes.accept(
            token=new_token(), account_sid=ACCOUNT_SID, message_sid=SID, disposition="queue", lease=False, versions=(),
            lane=conversation_id(ACCOUNT_SID, "sms", OURS, THEIRS), facts={"raw": raw, "why": "", "flow": to.sid},
        )  # fmt: skip
        (lease,) = self.store.lanes.claim(ACCOUNT_SID[-2:], Room(1)).leases
        settled = Settlement("delivered", history=f"1 delivered 200 0.1 {note}")
        self.store.lanes.settle(lease, settled, next_token="")


@pytest.fixture
def driver(valkey: ValkeyServer) -> Iterator[Driver]:
    """A Twilio with all resources that the flows name."""
    with LocalTwilio(ACCOUNT_SID, TOKEN) as twilio:
        twilio.tasks.workspaces[WORKSPACE] = {WORKFLOW}
        twilio.conversations.studio_flows[STUDIO_SID] = {"incomingConversationMessage"}
        made = settings(ROUTER_REDIS_URL=valkey.url, ROUTER_TWILIO_API_URL=twilio.url)
        store = connect(made)
        yield Driver(twilio, store, made)
        store.close()


def to_task(**more: Any) -> FlexFlow:
    """Make a flow that creates tasks in the workspace."""
    return flow("task", **{"workspace_sid": WORKSPACE, "workflow_sid": WORKFLOW} | more)


def to_conversation(**more: Any) -> FlexFlow:
    """Make a flow to the Studio flow, with an Interaction in the workspace."""
    routing = f'{{"properties": {{"workspace_sid": "{WORKSPACE}"}}}}'
    return flow("conversation", **{"flow_sid": STUDIO_SID, "interaction": routing} | more)


@pytest.mark.parametrize("to", [to_task(), to_conversation()], ids=["task", "conversation"])
def test_a_flow_whose_resources_exist_is_good(driver: Driver, to: FlexFlow) -> None:
    """A flow whose workspace, workflow, chat service and Studio flow exist has one good check."""
    (check,) = driver.asked(to)
    assert (check.state, check.found.endswith("all resources that it names exist")) == ("good", True)


@pytest.mark.parametrize(
    ("to", "says"),
    [
        (to_task(workspace_sid="WS" + "9" * 32), "no workspace WS999"),
        (to_task(workflow_sid="WW" + "9" * 32), "no workflow WW999"),
        (to_conversation(flow_sid="FW" + "9" * 32), "no Studio flow FW999"),
        (to_conversation(interaction='{"properties": {"workspace_sid": "WS9"}}'), "no workspace WS9 of"),
        (replace(to_conversation(), chat_service_sid="IS" + "9" * 32), "no chat service IS999"),
    ],
)
def test_a_resource_that_is_not_in_the_account_is_reported(driver: Driver, to: FlexFlow, says: str) -> None:
    """A flow that names a resource that its account does not have is bad, and the check names the SID."""
    found = [check for check in driver.asked(to) if says in check.found]
    assert [check.state for check in found] == ["bad"]
    assert "another account" in found[0].advice


def test_a_studio_flow_for_another_trigger_is_reported(driver: Driver) -> None:
    """A Studio flow without the trigger for Conversations is bad."""
    driver.twilio.conversations.studio_flows[STUDIO_SID] = {"incomingMessage"}
    (check,) = driver.asked(to_conversation())
    assert (check.state, "only for incomingMessage" in check.found) == ("bad", True)


def test_auto_creation_at_the_same_address_is_reported(driver: Driver) -> None:
    """Auto-creation at an address with a conversation flow is reported; switched off, it is good."""
    driver.twilio.conversations.auto_creation["+15551230002"] = True
    assert "both Twilio and the router create a Conversation" in driver.asked(to_conversation())[0].found
    driver.twilio.conversations.auto_creation["+15551230002"] = False
    (check,) = driver.asked()
    assert check.state == "good"


def test_credentials_without_rights_are_reported(driver: Driver) -> None:
    """A 403 is reported with the resource that Twilio refused."""
    driver.twilio.fault = lambda name: problem(403, 20403, "Forbidden") if name == "GET Workspaces" else None
    (check,) = [each for each in driver.asked(to_task()) if each.state != "good"]
    assert (check.state, f"Twilio refused access to workspace {WORKSPACE}" in check.found) == ("bad", True)


def test_a_proxy_service_that_cannot_be_read_moves_no_contact(driver: Driver) -> None:
    """A migrating flow whose Proxy service cannot be read is bad, as its sessions must be known."""
    old = replace(flow("proxy", proxy_service_sid=SERVICE), migrate_to="FO" + "8" * 32)
    (check,) = driver.asked(old)
    assert (check.state, check.found.endswith("no contact moves")) == ("bad", True)
    driver.twilio.sessions.services.add(SERVICE)
    (check,) = driver.asked()
    assert check.state == "good"


@pytest.mark.parametrize(
    ("captured", "added", "says"),
    [
        (True, False, "once: Twilio captured it"),
        (False, True, "once: the router added it"),
        (True, True, "twice"),
        (False, False, "is not in CH"),
    ],
)
def test_a_message_is_compared_with_its_conversation(driver: Driver, captured: bool, added: bool, says: str) -> None:
    """The doctor says whether Twilio, the router, both or neither added a message, and if Capture must change."""
    to = to_conversation()
    conversation = driver.twilio.conversations.make(THEIRS, OURS)
    if captured:
        driver.twilio.conversations.receive(THEIRS, OURS, BODY)
    if added:
        form = {"Author": THEIRS, "Body": BODY, "Attributes": f'{{"routerMessageId": "{SID}"}}'}
        driver.twilio.conversations._say(conversation, form, webhooks=False)
    driver.store.flows.put(to)
    driver.deliver(to, f"captured by {conversation['sid']}")
    check, *_ = list(flows(driver.made, driver.made.accounts[0], driver.store))
    assert says in check.found
    assert check.state == ("good" if captured != added else "bad")
    assert ("set Capture to" in check.advice) == (captured == added)


def test_five_webhooks_are_reported(driver: Driver) -> None:
    """A Conversation with five webhooks, the most that Twilio allows, is reported."""
    to = to_conversation()
    conversation = driver.twilio.conversations.make(THEIRS, OURS)
    driver.twilio.conversations.receive(THEIRS, OURS, BODY)
    conversation["webhooks"] += [{"sid": f"WH{n:032x}", "target": "webhook"} for n in range(5)]
    driver.store.flows.put(to)
    driver.deliver(to, f"captured by {conversation['sid']}")
    _, check = list(flows(driver.made, driver.made.accounts[0], driver.store))
    assert (check.state, "has 5 webhooks" in check.found) == ("look", True)
