"""Web chat from both ends: a visitor's browser and the integration that answers."""

import json
from collections.abc import Iterator
from urllib.parse import parse_qsl

import pytest
from twilio.request_validator import RequestValidator

from tests.e2e.commands import invoke
from tests.e2e.service import ACCOUNT, TOKEN
from tests.e2e.world import World, twiml
from tests.integrations.target import Target, answer
from tests.valkey import ValkeyServer
from tests.waiting import wait_until
from tests.web.visitor import Visitor, web_flow

CONFIG = '[handlers]\necho = "router.demo:handle"\n'


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Two processes over one store, so that each event goes from one process to the other."""
    valkey = ValkeyServer()
    world = World(tmp_path_factory.mktemp("world"), valkey, processes=2, config=CONFIG)
    yield world
    world.close()
    valkey.close()


@pytest.fixture
def target() -> Iterator[Target]:
    """A webhook for this test alone."""
    with Target() as running:
        yield running


def test_a_visitor_talks_with_a_handler(world: World) -> None:
    """A visitor's message is acknowledged, delivered to the handler, and the visitor gets its answer."""
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
    """An external flow gets a signed onMessageAdded with Twilio's fields and those of an SMS."""
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


def test_a_message_sent_twice_with_one_id_is_delivered_once(world: World) -> None:
    """A message that a browser sends again with its id gets the first answer and is not delivered again."""
    visitor = Visitor(world, web_flow(world))
    visitor.begin()
    first = visitor.say("once", "id 1")
    visitor.sees("once", "You wrote: once")
    again = visitor.say("once", "id 1")
    assert (first.status, again.status) == (201, 200)
    assert again.json == first.json
    assert visitor.bodies() == ["once", "You wrote: once"]
    chat = visitor.began["conversation_sid"]
    lines = wait_until(
        lambda: (found := world.log("chat", conversation_sid=chat))[2:] and found, what="the log has them"
    )
    assert [(line["outcome"], line.get("message_sid")) for line in lines] == [
        ("begun", None),
        ("accepted", first.json["sid"]),
        ("duplicate", first.json["sid"]),
    ]
    assert not any("once" in str(line.values()) for line in lines)


def test_a_stream_resumes_and_gets_events_of_another_process(world: World) -> None:
    """A stream resumes after the last event and gets what another process accepts."""
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


def test_a_reloaded_page_shows_the_same_chat(world: World) -> None:
    """A page loaded again shows the same chat; `new` starts another one."""
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
    """A visitor's messages to two processes are shown and delivered in the order in which they were sent."""
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
    """Without JavaScript the test page posts a form and shows the message and its answer."""
    flow = web_flow(world)
    page = world.send("GET", f"/chat?accountSid={ACCOUNT}&flexFlowSid={flow.sid}", b"", {})
    assert page.status == 200
    assert "frame-ancestors 'none'" in page.headers["Content-Security-Policy"]
    form = f"accountSid={ACCOUNT}&flexFlowSid={flow.sid}&body=%3Cb%3E".encode()
    shown = world.send("POST", "/chat", form, {})
    assert shown.status == 200
    assert b"You wrote: &lt;b&gt;" in shown.body


def test_simulate_web_sends_a_chat_message(world: World, target: Target) -> None:
    """`simulate web` starts a chat, sends a message, and shows the answer and the delivery."""
    target.script["/hook"] = answer(200, twiml("Buenos días"), "text/xml")
    flow = web_flow(world, target.url("/hook"), form='[{"name":"email","type":"email","required":true}]')
    config = {"ROUTER_CONFIG": str(world.services[0].folder / "router.toml")}
    arguments = ("simulate", "web", "--to", f"IG{flow.sid[2:]}", "--body", "Hola", "--from", "Ada")
    shown = invoke(*arguments, "--param", "language=es", **config)
    assert shown.exit_code == 0, shown.output
    assert "Buenos días" in shown.output
    fields = dict(parse_qsl(target.requests[-1].body.decode()))
    assert (fields["Body"], fields["ProfileName"]) == ("Hola", "Ada")
    assert json.loads(fields["PreEngagementData"])["language"] == "es"
    found = json.loads(invoke(*arguments, "--json", **config).output)
    assert (found["status"], found["replies"], found["delivery"]) == (201, ["Buenos días"], "delivered")
    gone = invoke("simulate", "web", "--to", "IG" + "0" * 32, **config)
    assert gone.exit_code == 1
    assert "the router answered 404" in gone.output
    explained = invoke("explain", "--to", flow.contact_identity, **config)
    assert explained.exit_code == 0
    assert flow.sid in explained.output


def test_a_visitors_language_selects_the_flow(world: World, target: Target) -> None:
    """Of flows that share a web address, the widget's language or the form's selects the flow."""
    shared = f"web:shop-{world.sid()}"
    for tag in ("es", "en"):
        target.script[f"/{tag}"] = answer(200, twiml(f"in {tag}"), "text/xml")
    default = web_flow(world, target.url("/en"), contact_identity=shared)
    web_flow(world, target.url("/es"), contact_identity=shared, language=("es",))
    spanish = Visitor(world, default)
    assert spanish.ask("GET", f"/chat/address?address={spanish.address}").json["languages"] == ["es"]
    spanish.begin(language="es-MX")
    spanish.say("ok")
    spanish.sees("ok", "in es")
    reported = Visitor(world, default, form={"language": "es"})
    reported.begin()
    reported.say("ok")
    reported.sees("ok", "in es")
    other = Visitor(world, default)
    other.begin()
    other.say("ok")
    other.sees("ok", "in en")


def test_the_test_page_pins_its_flow(world: World, target: Target) -> None:
    """The test page talks to the flow in its URL, whatever the language of the message."""
    shared = f"web:shop-{world.sid()}"
    target.script["/es"] = answer(200, twiml("in es"), "text/xml")
    web_flow(world, target.url("/en"), contact_identity=shared)
    spanish = web_flow(world, target.url("/es"), contact_identity=shared, language=("es",))
    visitor = Visitor(world, spanish)
    visitor.begin(address=None, account_sid=ACCOUNT, flex_flow_sid=spanish.sid)
    sid = visitor.say("This is clearly English, and long enough").json["sid"]
    visitor.sees("This is clearly English, and long enough", "in es")
    assert "pinned" in " ".join(world.delivery(sid)["route"])


def test_the_messages_of_a_paused_flow_wait(world: World) -> None:
    """Messages to a paused flow wait, and are delivered in order when it is resumed."""
    flow = web_flow(world, paused=True)
    visitor = Visitor(world, flow)
    visitor.begin()
    sids = [visitor.say(text).json["sid"] for text in ("one", "two")]
    assert [world.delivery(sid)["status"] for sid in sids] == ["queued"] * 2
    assert world.rest("POST", f"/v1/FlexFlows/{flow.sid}", {"Paused": "false"}).status == 200
    visitor.sees("one", "two", "You wrote: one", "You wrote: two")


@pytest.mark.parametrize(
    ("form", "says"),
    [
        ({"IntegrationType": "proxy"}, "IntegrationType: web cannot use Proxy"),
        ({"Integration.Url": "https://a.example", "Response": "redirect"}, "Response: redirect needs a webhook"),
    ],
)
def test_an_impossible_web_flow_is_refused(world: World, form: dict[str, str], says: str) -> None:
    """A web flow to Proxy, or one that redirects without a webhook of Twilio, is 400."""
    flow = {"FriendlyName": "A", "ChatServiceSid": "IS" + "1" * 32, "ChannelType": "web"}
    refused = world.rest("POST", "/v1/FlexFlows", flow | form)
    assert refused.status == 400
    assert refused.json["message"].startswith(says)


def test_a_webhook_to_a_web_address_is_refused(world: World) -> None:
    """A signed message to a web address, or to /webhooks/web, which is for events of Conversations, is 400."""
    flow = web_flow(world)
    fields = world.fields(flow.contact_identity, "web:ada")
    assert world.post(fields, "/webhooks/message").status == 400
    assert world.post(fields, "/webhooks/web").status == 400
