"""TwiML that comes after Twilio stopped waiting is sent by REST, once or not at all."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import parse_qs

import pytest

from router.delivery.late_reply import AT_ONCE
from tests.e2e.service import ACCOUNT
from tests.e2e.world import EMPTY, Gate, World, twiml
from tests.integrations.target import Target, answer
from tests.valkey import ValkeyServer
from tests.waiting import wait_until

MESSAGES = f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json"
CREATED = "SM" + "c" * 32


@pytest.fixture(scope="module")
def twilio() -> Iterator[Target]:
    """Twilio's REST API for sending messages."""
    with Target() as running:
        running.script[MESSAGES] = answer(201, f'{{"sid": "{CREATED}"}}'.encode(), Content_Type="application/json")
        yield running


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, twilio: Target) -> Iterator[World]:
    """A router that waits 0.3 s for an answer."""
    valkey = ValkeyServer()
    config = f'relay_seconds = 0.3\nlate_answer_seconds = 20\ntwilio_api_url = "{twilio.url("")}"\n'
    world = World(tmp_path_factory.mktemp("world"), valkey, config=config)
    yield world
    world.close()
    valkey.close()


@pytest.fixture
def target() -> Iterator[Target]:
    """A target for this test alone."""
    with Target() as running:
        yield running


def _replied(world: World, sid: str) -> str:
    """Wait until the outcome of a late answer is recorded, and return it."""
    wait_until(lambda: world.delivery(sid)["late_answer"], what="the late answer is recorded")
    return str(world.delivery(sid)["late_answer"])


def test_a_late_answer_is_sent_by_rest(world: World, target: Target, twilio: Target) -> None:
    """A late answer is sent once by REST from our address to the sender, and a duplicate does not send it again."""
    gate = target.script["/hook"] = Gate(answer(200, twiml("Hola"), Content_Type="text/xml"))
    flow = world.flow(target.url("/hook"))
    reply = world.text(flow, "+15550001111")
    assert reply.body == EMPTY
    gate.open()
    assert _replied(world, reply.sid) == f"sent by REST: {CREATED}"
    (request,) = twilio.requests
    assert parse_qs(request.body.decode()) == {
        "To": ["+15550001111"],
        "From": [flow.contact_identity],
        "Body": ["Hola"],
    }
    assert dict(request.headers)["Authorization"].startswith("Basic ")
    assert world.delivery(reply.sid)["answered_by"] == "rest"
    again = world.post(
        world.fields(flow, "+15550001111", MessageSid=reply.sid, SmsMessageSid=reply.sid, SmsSid=reply.sid)
    )
    assert again.body == EMPTY
    assert len(twilio.requests) == 1
    [line] = world.log("late_answer", message_sid=reply.sid)
    assert (line["flex_flow_sid"], line["target"]) == (world.delivery(reply.sid)["flex_flow_sid"], target.url(""))


def test_an_answer_in_time_is_not_sent_again(world: World, target: Target, twilio: Target) -> None:
    """An answer that the webhook relayed in time is not sent by REST."""
    before = len(twilio.requests)
    target.script["/hook"] = answer(200, twiml("Hola"), Content_Type="text/xml")
    reply = world.text(world.flow(target.url("/hook")))
    assert b"Hola" in reply.body
    assert world.ends(reply.sid)["answered_by"] == "webhook"
    assert world.delivery(reply.sid)["late_answer"] is None
    assert len(twilio.requests) == before


def test_a_late_answer_that_is_not_sent_is_recorded_with_the_reason(
    world: World, target: Target, twilio: Target
) -> None:
    """A late answer to an opt-out, or with another verb than <Message>, is not sent, and the reason is recorded."""
    before = len(twilio.requests)
    bye, elsewhere = twiml("Bye"), b"<Response><Redirect>https://a.example</Redirect></Response>"
    gates = [Gate(answer(200, body, Content_Type="text/xml")) for body in (bye, bye, elsewhere)]
    said = []
    for gate, (name, value) in zip(gates, (("Body", "STOP"), ("OptOutType", "STOP"), ("Body", "Hi")), strict=True):
        target.script["/hook"] = gate
        said.append(world.post(world.fields(world.flow(target.url("/hook"))) | {name: value}).sid)
    for gate in gates:
        gate.open()
    opt_out = "not sent: the message is an opt-out"
    assert [_replied(world, sid) for sid in said] == [opt_out, opt_out, "not carried out: <Redirect>"]
    assert len(twilio.requests) == before


def test_a_late_answer_that_twilio_refuses_is_recorded(world: World, target: Target, twilio: Target) -> None:
    """A late answer that Twilio refuses is recorded with the reason."""
    usual = twilio.script[MESSAGES]
    twilio.script[MESSAGES] = answer(400, b'{"code": 21610}', Content_Type="application/json")
    try:
        gate = target.script["/hook"] = Gate(answer(200, twiml("Hola"), Content_Type="text/xml"))
        reply = world.text(world.flow(target.url("/hook")))
        gate.open()
        assert _replied(world, reply.sid).startswith("1 of 1 not sent: ")
        assert "answered 400" in _replied(world, reply.sid)
    finally:
        twilio.script[MESSAGES] = usual


def test_many_late_answers_take_turns(world: World, target: Target, twilio: Target) -> None:
    """Of many late answers at most AT_ONCE are sent at a time, and each is sent."""
    usual = twilio.script[MESSAGES]
    api = twilio.script[MESSAGES] = Gate(usual)
    gate = target.script["/hook"] = Gate(answer(200, twiml("Hola"), Content_Type="text/xml"))
    flow = world.flow(target.url("/hook"))
    try:
        with ThreadPoolExecutor(AT_ONCE + 8) as pool:
            replies = list(pool.map(lambda n: world.text(flow, f"+1555000{n:04d}"), range(AT_ONCE + 8)))
        gate.open()
        api.wait_for(AT_ONCE)
    finally:
        api.open()
        twilio.script[MESSAGES] = usual
    assert {_replied(world, reply.sid) for reply in replies} == {f"sent by REST: {CREATED}"}
    assert api.most == AT_ONCE


def test_a_graceful_stop_sends_waiting_late_answers(world: World, target: Target) -> None:
    """A graceful stop still sends a late answer that waits."""
    gate = target.script["/hook"] = Gate(answer(200, twiml("Hola"), Content_Type="text/xml"))
    reply = world.text(world.flow(target.url("/hook")))
    gate.open()
    wait_until(lambda: world.delivery(reply.sid)["status"] == "delivered", what="it is delivered")
    (service,) = world.services
    service.stop()
    service.start()
    assert world.delivery(reply.sid)["late_answer"] == f"sent by REST: {CREATED}"
