"""Web chats of flows to Studio, a Conversation or a task: they are at Twilio, behind the visitor's API."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from router.flow.flex_flow import FlexFlow, Integration
from tests.e2e.service import ACCOUNT, TOKEN
from tests.e2e.world import World
from tests.twilio.local import LocalTwilio
from tests.valkey import ValkeyServer
from tests.waiting import wait_until
from tests.web.visitor import Visitor, web_flow

STUDIO, WORKSPACE, WORKFLOW = "FW" + "1" * 32, "WS" + "2" * 32, "WW" + "3" * 32


@pytest.fixture(scope="module")
def twilio() -> Iterator[LocalTwilio]:
    """A local Twilio with the account."""
    with LocalTwilio(ACCOUNT, TOKEN) as running:
        yield running


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, twilio: LocalTwilio) -> Iterator[World]:
    """One process that uses this Twilio."""
    valkey = ValkeyServer()
    world = World(tmp_path_factory.mktemp("world"), valkey, ROUTER_TWILIO_API_URL=twilio.url)
    yield world
    world.close()
    valkey.close()


class Talk:
    """A visitor, and the chat's Conversation at Twilio."""

    def __init__(self, world: World, twilio: LocalTwilio, flow: FlexFlow) -> None:
        self.world, self.twilio = world, twilio
        self.visitor = Visitor(world, flow)
        self.visitor.begin()
        self.chat = str(self.visitor.began["conversation_sid"])
        self.identity = str(self.visitor.began["identity"])

    @property
    def conversation(self) -> dict[str, Any]:
        """The Conversation of the chat, empty if there is none."""
        name = f"router-chat-{self.chat}"
        found = [each for each in list(self.twilio.conversations.found.values()) if each["unique_name"] == name]
        return found[0] if found else {}

    def say(self, body: str) -> None:
        """Send a visitor's message and wait until it is at Twilio."""
        sid = self.visitor.say(body).json["sid"]
        assert self.world.ends(sid)["status"] == "delivered"
        assert self.conversation["messages"][-1]["body"] == body

    def agent(self, body: str, *, tells: bool = True) -> dict[str, str]:
        """Add an agent's message, with a webhook or (as Studio) without; return the webhook's fields."""
        form = {"Author": "agent" if tells else "Studio", "Body": body}
        message = self.twilio.conversations._say(self.conversation, form, webhooks=False)
        fields = self.event("onMessageAdded", Author=form["Author"], Body=body, MessageSid=str(message["sid"]))
        if tells:
            assert self.post(fields) == 204
        return fields

    def event(self, kind: str, **fields: str) -> dict[str, str]:
        """Make the fields of a webhook of the Conversation."""
        return {"EventType": kind, "AccountSid": ACCOUNT, "ConversationSid": self.conversation["sid"], **fields}

    def post(self, fields: dict[str, str], chat: str | None = None) -> int:
        """Send a webhook signed as by Twilio; return the status."""
        return self.world.post(fields, f"/webhooks/web?chat={self.chat if chat is None else chat}").status


def studio(world: World) -> FlexFlow:
    """Write a web flow to the Studio flow."""
    return web_flow(world, integration=Integration("studio", flow_sid=STUDIO))


def test_a_visitor_talks_with_studio_and_an_agent(world: World, twilio: LocalTwilio) -> None:
    """Studio starts with the first message; each message of Studio and of the agent is shown once."""
    talk = Talk(world, twilio, studio(world))
    talk.say("Hello")
    (member,) = talk.conversation["participants"]
    assert member["identity"] == talk.identity
    targets = {each["target"]: each["configuration"] for each in talk.conversation["webhooks"]}
    assert targets["studio"]["flow_sid"] == STUDIO
    assert targets["webhook"]["url"] == f"https://router.example.com/webhooks/web?chat={talk.chat}"
    assert (STUDIO, talk.conversation["messages"][0]["sid"]) in twilio.conversations.studio
    talk.agent("How can I help?", tells=False)
    talk.visitor.sees("Hello", "How can I help?")
    reported = talk.agent("An agent is here")
    talk.visitor.sees("Hello", "How can I help?", "An agent is here")
    assert talk.post(reported) == 204
    talk.say("Thanks")
    talk.visitor.sees("Hello", "How can I help?", "An agent is here", "Thanks")
    assert [each["own"] for each in talk.visitor.news()["messages"]] == [True, False, False, True]


def test_a_visitor_talks_with_the_agent_of_a_task(world: World, twilio: LocalTwilio) -> None:
    """A task names the Conversation; the agent's messages there are shown, and the visitor's end closes it."""
    twilio.tasks.workspaces[WORKSPACE] = {WORKFLOW}
    task = Integration("task", workspace_sid=WORKSPACE, workflow_sid=WORKFLOW)
    talk = Talk(world, twilio, web_flow(world, integration=task))
    talk.say("Hello")
    talk.say("Anyone?")
    (made,) = (json.loads(each["attributes"]) for each in twilio.tasks.tasks.values())
    assert (made["conversationSid"], made["messageCount"]) == (talk.conversation["sid"], 2)
    assert [each["target"] for each in talk.conversation["webhooks"]] == ["webhook"]
    talk.agent("How can I help?")
    talk.visitor.sees("Hello", "Anyone?", "How can I help?")
    form = {"Author": "agent", "Body": "Here?"}
    assert world.rest("POST", f"/v1/Conversations/{talk.chat}/Messages", form).status == 409
    talk.visitor.ask("POST", "/chat/end", {})
    wait_until(lambda: talk.conversation["state"] == "closed", what="the Conversation is closed")


def test_twilios_webhook_about_the_routers_own_message_is_ignored(world: World, twilio: LocalTwilio) -> None:
    """Twilio's webhook about a message that the router wrote does not show it again."""
    talk = Talk(world, twilio, web_flow(world, integration=Integration("conversation")))
    talk.say("Hello")
    own = talk.conversation["messages"][-1]
    echo = talk.event("onMessageAdded", Author=talk.identity, Body="Hello", MessageSid=str(own["sid"]))
    assert talk.post(echo) == 204
    assert talk.post(echo | {"Author": "system", "Attributes": own["attributes"]}) == 204
    talk.visitor.sees("Hello")


def test_an_agents_message_to_the_routers_rest_is_refused_once_the_chat_is_at_twilio(
    world: World, twilio: LocalTwilio
) -> None:
    """Once a chat is at Twilio, an agent's message to the router's REST is 409 and says where to post it."""
    talk = Talk(world, twilio, studio(world))
    path, form = f"/v1/Conversations/{talk.chat}/Messages", {"Author": "agent", "Body": "Welcome"}
    assert world.rest("POST", path, form).status == 201
    talk.say("Hello")
    refused = world.rest("POST", path, form | {"Body": "How can I help?"})
    place = f"/Conversations/{talk.conversation['sid']}/Messages"
    assert (refused.status, refused.json["code"], place in refused.json["message"]) == (409, 20409, True)
    talk.visitor.sees("Welcome", "Hello")


def test_messages_changed_or_removed_at_twilio_change_for_the_visitor(world: World, twilio: LocalTwilio) -> None:
    """A message changed or removed at Twilio changes for the visitor; unknown messages are ignored."""
    talk = Talk(world, twilio, studio(world))
    talk.say("My card is 4242")
    own = talk.conversation["messages"][-1]
    agents = talk.agent("Wellcome")
    event = {"MessageSid": agents["MessageSid"], "Author": "agent"}
    assert talk.post(talk.event("onMessageUpdated", Body="Welcome", **event)) == 204
    talk.visitor.sees("My card is 4242", "Welcome")
    masked = {"MessageSid": str(own["sid"]), "Attributes": own["attributes"], "Body": "My card is ****"}
    assert talk.post(talk.event("onMessageUpdated", Author=talk.identity, **masked)) == 204
    talk.visitor.sees("My card is ****", "Welcome")
    assert talk.post(talk.event("onMessageRemoved", Body="Welcome", **event)) == 204
    assert talk.post(talk.event("onMessageRemoved", **event | {"MessageSid": "IM" + "0" * 32})) == 204
    talk.visitor.sees("My card is ****")


def test_a_chat_ends_on_both_sides(world: World, twilio: LocalTwilio) -> None:
    """A chat closed at Twilio is closed for the visitor, and the reverse."""
    talk = Talk(world, twilio, studio(world))
    talk.say("Hello")
    assert talk.post(talk.event("onConversationStateUpdated", StateTo="inactive")) == 204
    assert talk.visitor.news()["state"] == "active"
    assert talk.post(talk.event("onConversationStateUpdated", StateTo="closed")) == 204
    assert talk.visitor.news()["state"] == "closed"
    other = Talk(world, twilio, studio(world))
    other.say("Hello")
    other.visitor.ask("POST", "/chat/end", {})
    wait_until(lambda: other.conversation["state"] == "closed", what="the Conversation is closed")


def test_only_events_of_its_own_conversation_are_accepted(world: World, twilio: LocalTwilio) -> None:
    """A webhook without signature is 403, and one of another chat, Conversation or kind is 400; none is shown."""
    talk, other = (Talk(world, twilio, studio(world)) for _ in range(2))
    talk.say("Hello")
    other.say("Hello")
    fields = talk.event("onMessageAdded", Author="agent", Body="x", MessageSid="IM" + "1" * 32)
    headers = {"X-Twilio-Signature": "bm90IHNpZ25lZA=="}
    assert (
        world.send("POST", f"/webhooks/web?chat={talk.chat}", b"AccountSid=" + ACCOUNT.encode(), headers).status == 403
    )
    assert talk.post(fields, chat=other.chat) == 400
    assert talk.post(fields | {"ConversationSid": other.conversation["sid"]}) == 400
    assert talk.post(fields, chat="") == 400
    assert talk.post(fields, chat="CH" + "0" * 32) == 400
    assert talk.post(talk.event("onParticipantAdded")) == 400
    assert world.post(fields, "/webhooks/message").status == 400
    talk.visitor.sees("Hello")
    other.visitor.sees("Hello")
