"""The local Twilio of the tests answers as Twilio's Python client expects."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from twilio.base.exceptions import TwilioRestException

from router.twilio_api.client import Rest
from tests.integrations.sending import ACCOUNT_SID, TOKEN, settings
from tests.twilio.local import LocalTwilio, busy

WORKSPACE, WORKFLOW, SERVICE, PROXY = "WS" + "1" * 32, "WW" + "2" * 32, "IS" + "1" * 32, "KS" + "3" * 32
THEIRS, OURS = "+15551230001", "+15551230002"


@pytest.fixture
def twilio() -> Iterator[LocalTwilio]:
    """A local Twilio with a workspace."""
    with LocalTwilio(ACCOUNT_SID, TOKEN) as running:
        running.tasks.workspaces[WORKSPACE] = {WORKFLOW}
        yield running


@pytest.fixture
def client(twilio: LocalTwilio) -> Any:
    """Twilio's client with the local Twilio as base URL."""
    made = settings(ROUTER_TWILIO_API_URL=twilio.url)
    return Rest(made, made.accounts[0]).client


def test_the_client_creates_lists_and_updates_tasks(client: Any) -> None:
    """The client creates, lists and updates tasks, and raises 412 for a wrong If-Match."""
    tasks = client.taskrouter.v1.workspaces(WORKSPACE).tasks
    made = tasks.create(attributes=json.dumps({"routerMessageId": "SM1"}), workflow_sid=WORKFLOW, task_channel="sms")
    assert (made.assignment_status, made.task_channel_unique_name, made.timeout) == ("pending", "sms", 86_400)
    assert [each.sid for each in tasks.list(evaluate_task_attributes="routerMessageId == 'SM1'")] == [made.sid]
    assert tasks.list(evaluate_task_attributes="routerMessageId == 'SM2'") == []
    assert tasks(made.sid).update(if_match='"0"', attributes="{}").attributes == "{}"
    with pytest.raises(TwilioRestException) as raised:
        tasks(made.sid).update(if_match='"0"', attributes="{}")
    assert (raised.value.status, raised.value.code) == (412, 20412)


def test_the_client_uses_conversations(client: Any, twilio: LocalTwilio) -> None:
    """The client creates, binds, lists, closes and deletes Conversations, and raises Twilio's errors."""
    api = client.conversations.v1.services(SERVICE)
    made = api.conversations.create(unique_name="router-1", x_twilio_webhook_enabled="true")
    assert api.conversations("router-1").fetch().sid == made.sid
    with pytest.raises(TwilioRestException) as raised:
        api.conversations.create(unique_name="router-1")
    assert raised.value.code == 50353
    conversation = api.conversations(made.sid)
    conversation.webhooks.create(target="studio", configuration_flow_sid="FW1")
    binding = {"messaging_binding_address": THEIRS, "messaging_binding_proxy_address": OURS}
    assert conversation.participants.create(**binding).messaging_binding["proxy_address"] == OURS
    other = api.conversations.create(unique_name="router-2")
    with pytest.raises(TwilioRestException, match=made.sid) as raised:
        api.conversations(other.sid).participants.create(**binding)
    assert raised.value.code == 50416
    for silent in ("false", "true"):
        conversation.messages.create(author=THEIRS, body=silent, x_twilio_webhook_enabled=silent)
    assert [flow for flow, _ in twilio.conversations.studio] == ["FW1"]
    assert twilio.conversations.receive(THEIRS, OURS, "captured")
    assert [each.body for each in conversation.messages.list(order="desc", limit=2)] == ["captured", "true"]
    (found,) = api.participant_conversations.list(address=THEIRS)
    assert (found.conversation_sid, found.conversation_state) == (made.sid, "active")
    for _ in range(4):
        conversation.webhooks.create(target="webhook", configuration_url="https://a.example")
    with pytest.raises(TwilioRestException) as raised:
        conversation.webhooks.create(target="webhook", configuration_url="https://a.example")
    assert raised.value.code == 50361
    assert conversation.update(state="closed").state == "closed"
    assert not twilio.conversations.receive(THEIRS, OURS, "not captured")
    assert api.conversations(other.sid).delete()


def test_the_client_uses_interactions_and_sessions(client: Any, twilio: LocalTwilio) -> None:
    """An Interaction makes its task, and Proxy sessions are listed in pages with their participants."""
    routing = {"properties": {"workspace_sid": WORKSPACE}}
    channel = {"type": "sms", "properties": {"media_channel_sid": "CH1"}}
    assert client.flex_api.v1.interaction.create(channel=channel, routing=routing).sid.startswith("KD")
    assert len(twilio.tasks.tasks) == 1
    twilio.sessions.page = 2
    sids = [twilio.sessions.open(PROXY, f"+1555000000{number}", OURS) for number in range(3)]
    sessions = client.proxy.v1.services(PROXY).sessions
    assert [each.sid for each in sessions.list()] == sids
    assert sessions(sids[0]).participants.list()[0].identifier == "+15550000000"


def test_the_client_raises_429(client: Any, twilio: LocalTwilio) -> None:
    """429 is the client's exception with Twilio's code."""
    twilio.fault = lambda _: busy()
    with pytest.raises(TwilioRestException) as raised:
        client.conversations.v1.conversations.create()
    assert (raised.value.status, raised.value.code) == (429, 20429)
