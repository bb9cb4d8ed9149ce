"""Web chat from both ends: a visitor's browser, and the integration that answers."""

from collections.abc import Iterator
from urllib.parse import parse_qsl

import pytest
from twilio.request_validator import RequestValidator

from tests.e2e.service import ACCOUNT, TOKEN
from tests.e2e.world import World, twiml
from tests.integrations.target import Target, answer
from tests.valkey import ValkeyServer
from tests.waiting import wait_until
from tests.web.visitor import Visitor, web_flow

CONFIG = '[handlers]\necho = "router.demo:handle"\n'


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Two processes over one store, so that every wake-up crosses from one to the other."""
    valkey = ValkeyServer()
    world = World(tmp_path_factory.mktemp("world"), valkey, processes=2, config=CONFIG)
    yield world
    world.close()
    valkey.close()


@pytest.fixture
def target() -> Iterator[Target]:
    """A webhook of the test's own."""
    with Target() as running:
        yield running


def test_a_visitor_talks_with_a_handler(world: World) -> None:
    """A message is acknowledged when it is kept, delivered like any other, and its answer reaches the visitor."""
    visitor = Visitor(world, web_flow(world))
    assert visitor.begin().status == 201
    sent = visitor.say("Hello")
    assert (sent.status, sent.json["index"]) == (201, 0)
    visitor.sees("Hello", "You wrote: Hello")
    delivery = world.ends(sent.json["sid"])
    assert (delivery["status"], delivery["channel"]) == ("delivered", "web")
    assert delivery["from"] == f"web:{visitor.began['identity']}"
    own, theirs = visitor.news()["messages"]
    assert (own["own"], own["author"]) == (True, visitor.began["identity"])
    assert (theirs["own"], theirs["author"], theirs["index"]) == (False, "system", 1)


def test_a_webhook_gets_what_twilio_sends(world: World, target: Target) -> None:
    """An external flow gets a signed onMessageAdded, with what a webhook of an SMS has beside it."""
    target.script["/hook"] = answer(200, twiml("Welcome"), "text/xml")
    visitor = Visitor(world, web_flow(world, target.url("/hook")), form={"friendlyName": "Ada", "order": "17"})
    visitor.begin(language="es")
    sid = visitor.say("Hola").json["sid"]
    visitor.sees("Hola", "Welcome")
    (request,) = target.requests
    fields = dict(parse_qsl(request.body.decode(), keep_blank_values=True))
    signature = request.header("X-Twilio-Signature") or ""
    assert RequestValidator(TOKEN).validate(target.url("/hook"), fields, signature)
    assert (
        fields.items()
        >= {
            "EventType": "onMessageAdded",
            "AccountSid": ACCOUNT,
            "MessageSid": sid,
            "Index": "0",
            "Body": "Hola",
            "Source": "SDK",
            "Author": visitor.began["identity"],
            "ClientIdentity": visitor.began["identity"],
            "From": f"web:{visitor.began['identity']}",
            "ProfileName": "Ada",
            "PreEngagementData": '{"friendlyName": "Ada", "order": "17", "language": "es"}',
        }.items()
    )
    assert fields["ConversationSid"] == fields["ChannelSid"] == visitor.began["conversation_sid"]
    assert request.header("I-Twilio-Idempotency-Token") == sid


def test_the_same_message_again_is_the_same_message(world: World) -> None:
    """A browser that heard no answer sends again with its id: the first answer, and no second delivery."""
    visitor = Visitor(world, web_flow(world))
    visitor.begin()
    first = visitor.say("once", "id 1")
    visitor.sees("once", "You wrote: once")
    again = visitor.say("once", "id 1")
    assert (first.status, again.status) == (201, 200)
    assert again.json == first.json
    assert visitor.bodies() == ["once", "You wrote: once"]


def test_a_stream_tells_what_happens(world: World) -> None:
    """A stream resumes after the last event seen, and hears what another process accepts at once."""
    visitor = Visitor(world, web_flow(world))
    visitor.begin()
    visitor.say("one")
    visitor.sees("one", "You wrote: one")
    with visitor.stream(after=0) as events:
        name, message, id_ = events.next()
        assert (name, message["body"], id_) == ("message", "You wrote: one", 1)
        visitor.process = 1
        visitor.say("two")
        assert [events.next()[1]["body"] for _ in range(2)] == ["two", "You wrote: two"]


def test_a_visitor_goes_on_with_the_chat(world: World) -> None:
    """A page that is loaded again shows the chat as it was; a new chat is begun where the visitor wants one."""
    visitor = Visitor(world, web_flow(world))
    visitor.begin()
    visitor.say("one")
    visitor.sees("one", "You wrote: one")
    before = visitor.began["conversation_sid"]
    again = visitor.begin()
    assert again.status == 200
    assert again.json["conversation_sid"] == before
    assert [each["body"] for each in again.json["messages"]] == ["one", "You wrote: one"]
    assert (again.json["cursor"], again.json["more"]) == (1, False)
    assert visitor.begin(new=True).status == 201
    assert visitor.began["conversation_sid"] != before
    assert visitor.bodies() == []


def test_messages_of_two_processes_keep_their_order(world: World, target: Target) -> None:
    """The list that the visitor sees and the order of delivery are one, whichever process takes a message."""
    visitor = Visitor(world, web_flow(world, target.url("/hook")))
    visitor.begin()
    texts = [f"{number}" for number in range(20)]
    for number, text in enumerate(texts):
        visitor.process = number % 2
        assert visitor.say(text).status == 201
    assert visitor.bodies() == texts
    wait_until(lambda: len(target.requests) == len(texts), what="all are delivered")
    arrived = [dict(parse_qsl(each.body.decode())) for each in target.requests]
    assert [(each["Body"], each["Index"]) for each in arrived] == [(text, text) for text in texts]


def test_without_javascript_the_page_posts_a_form(world: World) -> None:
    """The test page is a plain form as well: what is sent and answered is on the page that comes back."""
    flow = web_flow(world)
    page = world.send("GET", f"/chat?accountSid={ACCOUNT}&flexFlowSid={flow.sid}", b"", {})
    assert page.status == 200
    assert "frame-ancestors 'none'" in page.headers["Content-Security-Policy"]
    form = f"accountSid={ACCOUNT}&flexFlowSid={flow.sid}&body=%3Cb%3E".encode()
    shown = world.send("POST", "/chat", form, {})
    assert shown.status == 200
    assert b"You wrote: &lt;b&gt;" in shown.body
