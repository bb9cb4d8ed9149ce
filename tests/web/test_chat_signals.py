"""What a chat has besides messages: read marks, typing, its end, its history, and its streams."""

import signal
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from urllib.parse import parse_qsl

import pytest
from twilio.request_validator import RequestValidator

from router.chat.streams import OF_CHAT_MOST, STREAMS_MOST
from router.flow.web_chat import WebChat
from router.store.keys import TURN, AccountKeys
from tests.e2e.service import ACCOUNT, TOKEN
from tests.e2e.world import World
from tests.integrations.target import Request, Target, answer, in_turn
from tests.valkey import ValkeyServer
from tests.waiting import wait_until
from tests.web.visitor import Visitor, web_flow

CONFIG = '[handlers]\necho = "router.demo:handle"\n'


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Two processes over one store."""
    valkey = ValkeyServer()
    world = World(tmp_path_factory.mktemp("world"), valkey, processes=2, config=CONFIG)
    yield world
    world.close()
    valkey.close()


@pytest.fixture
def visitor(world: World) -> Visitor:
    """A visitor with a chat that an agent has answered."""
    made = Visitor(world, web_flow(world, response="accept"), form={"friendlyName": "Ada"})
    made.begin()
    made.say("Hello")
    agent(world, made, "Hello Ada")
    return made


def agent(world: World, visitor: Visitor, body: str) -> None:
    """Write to a visitor as an agent's program does."""
    path = f"/v1/Conversations/{visitor.began['conversation_sid']}/Messages"
    assert world.rest("POST", path, {"Author": "agent", "Body": body}).status == 201


def test_an_agents_message_is_the_visitors_only(world: World, visitor: Visitor) -> None:
    """An agent's message is shown to the visitor and is not delivered to the integration."""
    visitor.sees("Hello", "Hello Ada")
    listed = world.rest("GET", f"/v1/Deliveries?From=web:{visitor.began['identity']}").json["deliveries"]
    assert [each["body"] for each in listed] == ["Hello"]


def test_read_marks_only_increase(world: World, visitor: Visitor) -> None:
    """Read marks only increase, and not past the last message; the visitor gets the agent's mark."""
    who = f"/v1/Conversations/{visitor.began['conversation_sid']}/Participants"
    for index, shown in ((0, 0), (1, 1), (0, 1), (700, 1)):
        assert visitor.ask("POST", "/chat/read", {"index": index}).status == 204
        participant = world.rest("GET", f"{who}/{visitor.began['identity']}").json
        assert participant["last_read_message_index"] == shown
    assert visitor.begin().json["read"] == 1
    world.rest("POST", who, {"Identity": "agent"})
    with visitor.stream(after=1) as events:
        world.rest("POST", f"{who}/agent", {"LastReadMessageIndex": "1"})
        assert events.next() == ("read", {"index": 1}, None)
    assert visitor.news(1)["read"] == 1


def test_typing_of_the_visitor_is_no_event_for_the_visitor(world: World, visitor: Visitor) -> None:
    """The visitor's typing is no event for the visitor's own tabs; the agent's is."""
    who = f"/v1/Conversations/{visitor.began['conversation_sid']}/Participants"
    world.rest("POST", who, {"Identity": "agent"})
    with visitor.stream(after=1) as events:
        assert [visitor.ask("POST", "/chat/typing", {}).status for _ in range(3)] == [204] * 3
        assert world.rest("POST", f"{who}/agent", {"Typing": "true"}).status == 200
        assert events.next() == ("typing", {"author": "agent"}, None)
        assert world.rest("POST", f"{who}/agent", {"Typing": "1"}).status == 400
        visitor.say("typed")
        assert events.next()[1]["body"] == "typed"


def test_a_visitor_ends_the_chat(world: World, visitor: Visitor) -> None:
    """A chat that the visitor ends is closed in each tab and takes no message; a new start makes a new chat."""
    with visitor.stream(after=1) as events:
        visitor.process = 1
        assert visitor.ask("POST", "/chat/end", {}).json == {"state": "closed"}
        assert events.next() == ("state", {"state": "closed", "by": "visitor"}, None)
    assert visitor.ask("POST", "/chat/end", {}).json == {"state": "closed"}
    assert visitor.say("more").status == 409
    assert visitor.news()["state"] == "closed"
    path = f"/v1/Conversations/{visitor.began['conversation_sid']}"
    assert world.rest("POST", f"{path}/Messages", {"Body": "late"}).status == 403
    assert world.rest("POST", path, {"State": "active"}).status == 400
    visitor.sees("Hello", "Hello Ada")
    before = visitor.began["conversation_sid"]
    assert visitor.begin().status == 201
    assert visitor.began["conversation_sid"] != before


def test_state_events_sends_one_event_at_the_end_of_a_chat(world: World) -> None:
    """A flow with StateEvents gets one signed onConversationStateUpdated, after all messages."""
    with Target({"/told": in_turn(answer(500), answer(200)), "/silent": answer(200)}) as target:
        chat = WebChat(state_events=True)
        reported = Visitor(world, web_flow(world, target.url("/told"), web_chat=chat, response="accept"))
        silent = Visitor(world, web_flow(world, target.url("/silent"), response="accept"))
        for each in (reported, silent):
            each.begin()
            each.say("Hello")
            each.process = 1
            for _ in range(2):
                assert each.ask("POST", "/chat/end", {}).status == 200
        last = wait_until(lambda: told_of(target, "/told")[2:], what="the message was retried, and the end told")[-1]
        fields = dict(parse_qsl(last.body.decode()))
        assert RequestValidator(TOKEN).validate(target.url("/told"), fields, last.header("X-Twilio-Signature") or "")
        wanted = {
            "EventType": "onConversationStateUpdated",
            "ConversationSid": reported.began["conversation_sid"],
            "StateFrom": "active",
            "StateTo": "closed",
            "Reason": "API",
            "From": f"web:{reported.began['identity']}",
        }
        assert fields.items() >= wanted.items()
        hooks = world.rest("GET", f"/v1/Conversations/{reported.began['conversation_sid']}/Webhooks").json["webhooks"]
        assert hooks[0]["configuration"]["filters"] == ["onMessageAdded", "onConversationStateUpdated"]
        delivery = world.ends(fields["MessageSid"])
        assert delivery["status"] == "delivered"
        assert "because it got the last message" in " ".join(delivery["route"])
    listed = world.rest("GET", f"/v1/Deliveries?From=web:{silent.began['identity']}").json["deliveries"]
    assert [each["body"] for each in listed] == ["Hello"]


def idle_since(world: World, visitor: Visitor, seconds: float) -> None:
    """Set a chat's last activity to so many seconds ago."""
    keys, sid = AccountKeys(ACCOUNT), visitor.began["conversation_sid"]
    at = int((time.time() - seconds) * 1000)
    world.call("HSET", keys.own_chats + sid, "updated", at)
    world.call("ZADD", keys.chats, at, sid)


def told_of(target: Target, path: str) -> list[Request]:
    """Return the requests to a path."""
    return [each for each in list(target.requests) if each.target == path]


def test_an_inactive_chat_becomes_active_with_the_next_message(world: World, visitor: Visitor) -> None:
    """A chat that a program marks as inactive is active for the visitor, and its next message makes it active."""
    path = f"/v1/Conversations/{visitor.began['conversation_sid']}"
    assert world.rest("POST", path, {"State": "inactive"}).json["state"] == "inactive"
    assert visitor.news()["state"] == visitor.begin().json["state"] == "active"
    assert visitor.say("I am back").status == 201
    assert world.rest("GET", path).json["state"] == "active"


def test_a_message_is_changed_and_removed(world: World, visitor: Visitor) -> None:
    """A changed or removed message changes in all streams, in what a page reads, and in the transcript."""
    hello, reply = visitor.news()["messages"]
    path = f"/v1/Conversations/{visitor.began['conversation_sid']}/Messages"
    visitor.process = 1
    with visitor.stream(after=1) as events, visitor.stream(after=1) as others:
        assert world.rest("POST", f"{path}/{reply['sid']}", {"Body": "Hi Ada"}).status == 200
        for each in (events, others):
            assert each.next() == ("changed", {"index": 1, "sid": reply["sid"], "body": "Hi Ada"}, None)
        assert world.rest("DELETE", f"{path}/{hello['sid']}").status == 204
        assert events.next() == ("changed", {"index": 0, "sid": hello["sid"], "body": None}, None)
        agent(world, visitor, "later")
        assert events.next()[1]["body"] == "later"
    visitor.sees("Hi Ada", "later")
    assert visitor.begin().json["more"] is False
    assert "Hello" not in visitor.ask("GET", "/chat/transcript.txt").body.decode()
    for form in ({"Body": " "}, {"Body": "x" * 33_000}, {"Attributes": "{"}):
        assert world.rest("POST", f"{path}/{reply['sid']}", form).status == 400
    assert world.rest("DELETE", f"{path}/{hello['sid']}").status == 404


def test_the_transcript_is_a_file(visitor: Visitor) -> None:
    """The transcript is a plain text download with one line for each message."""
    reply = visitor.ask("GET", "/chat/transcript.txt")
    assert reply.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert reply.headers["Content-Disposition"].startswith("attachment")
    assert [line.partition("  ")[2] for line in reply.body.decode().splitlines()] == ["Ada: Hello", "agent: Hello Ada"]


def test_history_comes_in_pages(world: World, visitor: Visitor) -> None:
    """A page gets the last 20 messages, and can ask for those before."""
    for number in range(30):
        agent(world, visitor, str(number))
    began = visitor.begin().json
    assert [each["index"] for each in began["messages"]] == list(range(12, 32))
    assert (began["more"], began["cursor"]) == (True, 31)
    page = visitor.ask("GET", "/chat/messages?before=12&limit=10").json
    assert ([each["index"] for each in page["messages"]], page["more"]) == (list(range(2, 12)), True)
    page = visitor.ask("GET", "/chat/messages?before=2").json
    assert ([each["index"] for each in page["messages"]], page["more"]) == ([0, 1], False)
    assert visitor.ask("GET", "/chat/messages?before=0").json == {"messages": [], "more": False}


def test_a_long_poll_waits_for_a_message(world: World, visitor: Visitor) -> None:
    """A long poll returns a message of another process as soon as it comes."""
    with ThreadPoolExecutor(1) as pool:
        polled = pool.submit(visitor.news, 1, 20)
        began = time.monotonic()
        agent(world, visitor, "news")
        assert [each["body"] for each in polled.result()["messages"]] == ["news"]
        assert time.monotonic() - began < 10


def test_a_chat_has_four_streams(visitor: Visitor) -> None:
    """A fifth stream of a chat ends its oldest."""
    with ExitStack() as stack:
        streams = [stack.enter_context(visitor.stream(after=1)) for _ in range(OF_CHAT_MOST + 1)]
        with pytest.raises(EOFError):
            streams[0].next()
        visitor.say("to the others")
        assert [each.next()[1]["body"] for each in streams[1:]] == ["to the others"] * OF_CHAT_MOST


def test_streams_use_at_most_a_quarter_of_the_connections(world: World) -> None:
    """When streams use a quarter of a process's connections, a further one gets JSON to poll with.

    Streams and long polls whose browsers leave give their places back.
    """
    crowd = [Visitor(world, web_flow(world, response="accept"), process=1) for _ in range(STREAMS_MOST // 4 + 1)]
    for each in crowd:
        each.begin()
    with ExitStack() as stack:
        kinds = []
        waiting = stack.enter_context(closing(polling(crowd[-1])))
        wait_until(lambda: world.metric("router_chat_streams", process=1) == 1, what="the long poll waits")
        for number in range(1, STREAMS_MOST):
            events = stack.enter_context(crowd[number // 4].stream())
            kinds.append(events.response.headers.get_content_type())
        assert set(kinds) == {"text/event-stream"}
        full = stack.enter_context(crowd[-1].stream()).response
        assert full.headers.get_content_type() == "application/json"
        assert crowd[0].say("still taken").status == 201  # one from crowd[-1] would end its long poll
        assert world.metric("router_chat_streams", process=1) == STREAMS_MOST
        waiting.close()
        wait_until(
            lambda: world.metric("router_chat_streams", process=1) == STREAMS_MOST - 1, what="the long poll is left"
        )
    wait_until(lambda: world.metric("router_chat_streams", process=1) == 0, what="the streams are left")


def polling(visitor: Visitor) -> socket.socket:
    """Start a long poll without waiting for its answer."""
    asked = f"GET /chat/events?wait=25 HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {visitor.token}\r\n\r\n"
    connection = socket.create_connection(("127.0.0.1", visitor.world.services[visitor.process].port))
    connection.sendall(asked.encode())
    return connection


def test_a_stop_ends_open_streams_and_a_start_closes_idle_chats(
    tmp_path: Path, spare_valkey: Callable[..., ValkeyServer]
) -> None:
    """TERM ends open streams at once, before their keep-alive of 5 s.

    A process that starts closes idle chats and tells their integration.
    """
    world = World(tmp_path, spare_valkey(), config=CONFIG)
    try:
        flow = web_flow(world, janitor_enabled=True, web_chat=WebChat(state_events=True))
        visitors = [Visitor(world, flow) for _ in range(5)]
        with ExitStack() as stack:
            streams = []
            for each in visitors:
                each.begin()
                streams.append(stack.enter_context(each.stream()))
            visitors[0].say("Hello")
            visitors[0].sees("Hello", "You wrote: Hello")
            began = time.monotonic()
            assert world.services[0].stop(signal.SIGTERM) == 0
            assert time.monotonic() - began < 4
            for events in streams[1:]:
                with pytest.raises(EOFError):
                    events.next()
        visitor = visitors[0]
        idle_since(world, visitor, 48 * 3600)
        world.call("DEL", TURN)
        world.services[0].start()
        wait_until(lambda: visitor.news()["state"] == "closed", what="the janitor has closed the chat")
        listed = f"/v1/Deliveries?From=web:{visitor.began['identity']}"
        wait_until(lambda: len(world.rest("GET", listed).json["deliveries"]) == 2, what="the handler is told")
    finally:
        world.close()
