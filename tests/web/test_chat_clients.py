"""Twilio's client libraries with web chats, with only their base URL changed."""

import json
import os
import shutil
import subprocess
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from twilio.base.exceptions import TwilioRestException

from tests.e2e.service import ACCOUNT, TOKEN
from tests.valkey import ValkeyServer
from tests.waiting import wait_until
from tests.web.test_clients import Local, client

NODE = Path(__file__).parents[1] / "node"
IS = "IS" + "1" * 32


@pytest.fixture(scope="module")
def router(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Local]:
    """One live router with the echo handler."""
    valkey = ValkeyServer()
    config = '[handlers]\necho = "router.demo:handle"\n'
    service = Local(tmp_path_factory.mktemp("clients"), valkey.url, config=config)
    yield service
    service.close()
    valkey.close()


@pytest.fixture(scope="module")
def address(router: Local) -> str:
    """The SID of a web address."""
    flow = client(router).flex_api.v1.flex_flow.create("Web", IS, "web", integration_url="https://a.example")
    body = "IntegrationType=handler&Integration.Handler=echo"
    headers = {"Authorization": _basic(), "Content-Type": "application/x-www-form-urlencoded"}
    assert router.request("POST", f"/v1/FlexFlows/{flow.sid}", body.encode(), headers)[0] == 200
    return f"IG{flow.sid[2:]}"


def _basic() -> str:
    return "Basic " + b64encode(f"{ACCOUNT}:{TOKEN}".encode()).decode()


def begun(router: Local, address: str, **more: Any) -> Any:
    """Start a chat as Twilio's own web chat server does."""
    return client(router).flex_api.v2.web_channels.create(
        address_sid=address,
        ui_version="1.0.0",
        chat_friendly_name="Webchat widget",
        customer_friendly_name="Ada",
        pre_engagement_data=json.dumps({"friendlyName": "Ada", "question": "When?"}),
        **more,
    )


def test_a_chat_as_twilios_server_begins_it(router: Local, address: str) -> None:
    """The Python library starts a chat, adds a welcome and the visitor's question, and reads the handler's answer."""
    made = begun(router, address)
    chat = client(router).conversations.v1.conversations(made.conversation_sid)
    chat.messages.create(author="Concierge", body="Welcome")
    chat.messages.create(author=made.identity, body="When?", x_twilio_webhook_enabled="true")
    wait_until(lambda: len(chat.messages.list()) == 3, what="the handler has answered")
    assert [(each.author, each.body, each.index) for each in chat.messages.list()] == [
        ("Concierge", "Welcome", 0),
        (made.identity, "When?", 1),
        ("system", "You wrote: When?", 2),
    ]
    found = chat.fetch()
    assert (found.state, found.friendly_name, found.chat_service_sid) == ("active", "Webchat widget", IS)
    (visitor,) = chat.participants.list()
    assert (visitor.identity, visitor.messaging_binding) == (made.identity, None)
    (of,) = client(router).conversations.v1.participant_conversations.list(identity=made.identity)
    assert (of.conversation_sid, of.participant_sid) == (made.conversation_sid, visitor.sid)


def test_messages_in_pages(router: Local, address: str) -> None:
    """The library reads messages page by page in both orders, also under a service."""
    made = begun(router, address)
    chat = client(router).conversations.v1.services(IS).conversations(made.conversation_sid)
    sent = [chat.messages.create(author="agent", body=str(number)).index for number in range(5)]
    assert sent == list(range(5))
    assert [each.body for each in chat.messages.list(page_size=2)] == ["0", "1", "2", "3", "4"]
    assert [each.body for each in chat.messages.list(page_size=2, order="desc")] == ["4", "3", "2", "1", "0"]
    assert chat.messages(chat.messages.list()[3].sid).fetch().body == "3"
    with pytest.raises(TwilioRestException) as caught:
        client(router).conversations.v1.services("IS" + "2" * 32).conversations(made.conversation_sid).fetch()
    assert caught.value.status == 404


def test_a_conversation_is_changed_closed_and_deleted(router: Local, address: str) -> None:
    """The library names a chat, changes messages and participants, closes it, and deletes it."""
    made = begun(router, address, identity="ada@example.com")
    conversations = client(router).conversations.v1.conversations
    chat = conversations(made.conversation_sid)
    chat.update(unique_name="case-7", attributes='{"case": 7}', timers_closed="P1D")
    found = conversations("case-7").fetch()
    assert (found.sid, found.attributes) == (made.conversation_sid, '{"case": 7}')
    assert "date_closed" in found.timers
    agent = chat.participants.create(identity="agent-1")
    chat.messages.create(author="agent-1", body="Hello")
    written = chat.messages.list()[0]
    assert written.participant_sid == agent.sid
    (of,) = client(router).conversations.v1.participant_conversations.list(identity="agent-1")
    assert (of.conversation_sid, of.participant_sid) == (made.conversation_sid, agent.sid)
    changed = chat.messages(written.sid).update(body="Hello!", attributes='{"edited": true}')
    assert (changed.body, changed.index, changed.author) == ("Hello!", 0, "agent-1")
    assert chat.messages(written.sid).fetch().attributes == '{"edited": true}'
    second = chat.messages.create(author="agent-1", body="by mistake")
    assert chat.messages(second.sid).delete() is True
    assert [each.body for each in chat.messages.list()] == ["Hello!"]
    with pytest.raises(TwilioRestException) as caught:
        chat.messages(second.sid).update(body="gone")
    assert caught.value.status == 404
    assert chat.participants("agent-1").update(last_read_message_index=0).last_read_message_index == 0
    with pytest.raises(TwilioRestException) as caught:
        chat.participants.create(identity="agent-1")
    assert (caught.value.status, caught.value.code) == (409, 50433)
    assert chat.participants(agent.sid).delete() is True
    assert chat.update(state="closed").state == "closed"
    with pytest.raises(TwilioRestException) as caught:
        chat.messages.create(body="too late")
    assert caught.value.code == 50351
    assert made.conversation_sid in {each.sid for each in conversations.list(page_size=1, limit=50)}
    assert chat.delete() is True
    with pytest.raises(TwilioRestException) as caught:
        chat.fetch()
    assert caught.value.status == 404
    assert "Conversations at Twilio are at" in caught.value.msg


def test_web_channels_show_the_same_chat(router: Local, address: str) -> None:
    """WebChannels creates, updates, lists and deletes the same record as Conversations."""
    channels = client(router).flex_api.v1.web_channel
    flow = f"FO{address[2:]}"
    made = channels.create(flow, "visitor-1", "Ada", "Support", chat_unique_name="one")
    assert (made.flex_flow_sid, made.sid[:2]) == (flow, "CH")
    with pytest.raises(TwilioRestException) as caught:
        channels.create(flow, "visitor-2", "Bob", "Support", chat_unique_name="one")
    assert (caught.value.status, caught.value.code) == (409, 45208)
    assert channels(made.sid).update(chat_status="inactive", post_engagement_data='{"ok": true}').sid == made.sid
    assert client(router).conversations.v1.conversations(made.sid).fetch().state == "closed"
    assert made.sid in {each.sid for each in channels.list(page_size=1, limit=50)}
    assert channels(made.sid).delete() is True


@pytest.mark.parametrize(
    ("form", "status", "code"),
    [
        ({}, 400, 45745),
        ({"AddressSid": "IG" + "0" * 32}, 404, 45765),
        ({"AddressSid": "", "PreEngagementData": "{"}, 400, 45745),
        ({"PreEngagementData": "{"}, 400, 45733),
        ({"PreEngagementData": json.dumps("x" * 16_384)}, 400, 45731),
        ({"Identity": "x" * 201}, 400, 20001),
    ],
)
def test_an_invalid_web_chat_is_refused_with_twilios_code(
    router: Local, address: str, form: dict[str, str], status: int, code: int
) -> None:
    """Each mistake in a request to WebChats has Twilio's status and code, and makes no chat."""
    chats = client(router).conversations.v1.conversations
    before = {each.sid for each in chats.list()}
    body = urlencode(({"AddressSid": address} if form else {}) | form).encode()
    headers = {"Authorization": _basic(), "Content-Type": "application/x-www-form-urlencoded"}
    answered, _, content = router.request("POST", "/v2/WebChats", body, headers)
    assert (answered, json.loads(content)["code"]) == (status, code)
    assert {each.sid for each in chats.list()} == before


def test_the_node_library_does_the_same(router: Local, address: str, node_modules: Path) -> None:
    """Twilio's Node library starts a chat, reads and writes it in pages, and closes it."""
    environ = os.environ | {
        "NODE_PATH": str(node_modules),
        "BASE": router.base,
        "ACCOUNT": ACCOUNT,
        "TOKEN": TOKEN,
        "ADDRESS": address,
    }
    ran = subprocess.run(
        [shutil.which("node") or "node", NODE / "chat.js"],
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    seen = json.loads(ran.stdout)
    assert seen["asc"] == ["0", "1", "2", "3", "4"]
    assert seen["desc"] == ["4", "3", "2", "1", "0"]
    assert (seen["changed"], seen["left"]) == ("zero", ["zero", "2", "3", "4"])
    assert seen["participants"] == [seen["identity"], "agent"]
    assert (seen["state"], seen["late"], seen["gone"]) == ("closed", 50351, 404)
