"""How a message is answered: acknowledged, relayed, redirected; and what its duplicates are told."""

from collections.abc import Iterator

import pytest
from twilio.request_validator import RequestValidator

from router.flow.flex_flow import Integration
from tests.e2e.service import ACCOUNT, TOKEN
from tests.e2e.world import EMPTY, FORM, Gate, World, arrived, sid_in, twiml
from tests.integrations.target import Behaviour, Target, answer, close, in_turn
from tests.valkey import ValkeyServer
from tests.waiting import wait_until

FALLBACK = twiml("we will be back")
HELLO = twiml("hello")
# Twilio calls the fallback URL with the same message and with the error that the first call ended in.
UNREACHED = {"ErrorCode": "11200", "ErrorUrl": "https://router.example.com/webhooks/sms"}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Two processes over one store, with time enough to wait for a relayed answer even where the machine is busy."""
    valkey = ValkeyServer()
    folder = tmp_path_factory.mktemp("world")
    config = '[handlers]\necho = "router.demo:handle"'
    world = World(folder, valkey, processes=2, config=config, ROUTER_LEASE_SECONDS="16", ROUTER_RELAY_SECONDS="6")
    yield world
    world.close()
    valkey.close()


@pytest.fixture(scope="module")
def hurried(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A process that waits 0.3 s for a relayed answer, and ends attempts after 2 s."""
    valkey = ValkeyServer()
    folder = tmp_path_factory.mktemp("hurried")
    world = World(folder, valkey, ROUTER_LEASE_SECONDS="10", ROUTER_RELAY_SECONDS="0.3")
    yield world
    world.close()
    valkey.close()


@pytest.fixture
def target() -> Iterator[Target]:
    """A target of the test's own."""
    with Target() as running:
        yield running


# -- accept -----------------------------------------------------------------------------------------------------------


def test_accept_does_not_wait(world: World, target: Target) -> None:
    """The empty TwiML goes out while the target still works; what the target answers is not used."""
    target.script["/hook"] = gate = Gate(answer(body=HELLO))
    reply = world.text(world.flow(target.url("/hook"), response="accept"))
    assert (reply.status, reply.body) == (200, EMPTY)
    gate.wait_for(1)
    assert world.delivery(reply.sid)["status"] == "sending"
    gate.open()
    delivery = world.ends(reply.sid)
    assert (delivery["status"], delivery["answer"], delivery["answered_by"]) == ("delivered", None, None)


def test_a_target_receives_the_message_as_twilio_sent_it(world: World, target: Target) -> None:
    """Byte for byte, with a signature for the target's own URL that the official validator accepts."""
    flow = world.flow(target.url("/hook?x=%41&y"))
    fields = world.fields(flow, Body="Ünïcode & 100 % + \n", Unknown="kept")
    reply = world.post(fields, Cookie="session=1", I_Twilio_Idempotency_Token="the-token")
    assert reply.status == 200
    (request,) = target.requests
    assert RequestValidator(TOKEN).validate(target.url("/hook?x=%41&y"), fields, request.header("X-Twilio-Signature"))
    assert request.header("Cookie") == "session=1"
    assert request.header("Content-Type") == FORM
    assert request.header("I-Twilio-Idempotency-Token") == "the-token"
    assert request.header("X-Router-Attempt") == "1"
    assert request.header("X-Router-Flex-Flow-Sid") == flow.sid
    assert request.header("X-Router-Replay") is None


# -- relay ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("behaviour", "body"),
    [
        pytest.param(answer(body=HELLO), HELLO, id="twiml"),
        pytest.param(answer(body=HELLO, content_type="text/html"), HELLO, id="twiml-as-html"),
        pytest.param(answer(body=b"1 < 2", content_type="text/plain"), twiml("1 &lt; 2"), id="text-becomes-a-message"),
        pytest.param(answer(body=b'{"a": 1}', content_type="application/json"), EMPTY, id="json-becomes-nothing"),
        pytest.param(answer(body=b"<html/>", content_type="text/html"), EMPTY, id="html-becomes-nothing"),
        pytest.param(answer(body=b"<Response>", content_type="text/xml"), EMPTY, id="broken-xml-becomes-nothing"),
        pytest.param(answer(204, b""), EMPTY, id="no-content"),
        pytest.param(answer(body=b"x" * 70_000, content_type="text/plain"), EMPTY, id="over-64-kib-becomes-nothing"),
    ],
)
def test_what_the_target_answers_is_relayed(world: World, target: Target, behaviour: Behaviour, body: bytes) -> None:
    """TwiML as it is, text as a message, everything else as the empty answer; the message is delivered all the same."""
    target.script["/hook"] = behaviour
    reply = world.text(world.flow(target.url("/hook"), fallback_twiml=FALLBACK.decode()))
    assert (reply.status, reply.body) == (200, body)
    assert reply.headers["Content-Type"] == "text/xml"
    assert "Set-Cookie" not in reply.headers
    delivery = world.ends(reply.sid)
    assert delivery["status"] == "delivered"
    assert (delivery["answer"] or EMPTY.decode()).encode() == body
    assert delivery["answered_by"] == ("webhook" if body != EMPTY else None)


def test_an_answer_that_is_no_twiml_is_kept(world: World, target: Target) -> None:
    """Delivered, but nothing for Twilio: the delivery says so with the answer's beginning, the log with its type."""
    target.script["/hook"] = in_turn(
        answer(body=b'{"customer": "Zoe"}', content_type="application/json"), answer(body=HELLO)
    )
    flow = world.flow(target.url("/hook"))
    bad, good = (world.ends(world.text(flow).sid) for _ in range(2))
    assert bad["status"] == good["status"] == "delivered"
    assert bad["target_said"] == {"type": "application/json", "text": '{"customer": "Zoe"}'}
    assert bad["history"][0]["reason"] == "not TwiML: it is application/json"
    assert good["target_said"] is None
    (line,) = world.log("attempt", message_sid=bad["sid"])
    assert (line["reason"], line["content_type"]) == ("not TwiML: it is application/json", "application/json")
    assert "Zoe" not in str(line)
    (line,) = world.log("attempt", message_sid=good["sid"])
    assert not {"reason", "content_type"} & line.keys()


def test_where_no_answer_is_wanted_none_is_kept(world: World, target: Target) -> None:
    """A flow that does not relay may be answered anything; what a failure says is kept of it, too."""
    target.script["/hook"] = in_turn(answer(body=b"done", content_type="application/json"), answer(404, b"Who is Zoe?"))
    flow = world.flow(target.url("/hook"), response="accept")
    good, bad = (world.ends(world.text(flow).sid) for _ in range(2))
    assert (good["status"], good["target_said"]) == ("delivered", None)
    assert (bad["status"], bad["target_said"]["text"]) == ("undelivered", "Who is Zoe?")
    assert "Zoe" not in str(world.log("attempt", message_sid=bad["sid"]))


def test_the_targets_cookie_is_relayed(world: World, target: Target) -> None:
    """Twilio keeps a cookie for each pair of addresses: the target's goes to Twilio as it is."""
    target.script["/hook"] = answer(body=HELLO, set_cookie="session=abc; Path=/; HttpOnly")
    reply = world.text(world.flow(target.url("/hook")))
    assert reply.headers["Set-Cookie"] == "session=abc; Path=/; HttpOnly"


def test_relative_urls_are_the_targets(world: World, target: Target) -> None:
    """A relative URL in TwiML is relative to the target, where Twilio would take it for the router's."""
    target.script["/one/hook"] = answer(body=b"<Response><Redirect>../two</Redirect></Response>")
    reply = world.text(world.flow(target.url("/one/hook")))
    assert target.url("/two").encode() in reply.body


def test_a_slow_target_gets_the_fallback_answered(hurried: World, target: Target) -> None:
    """What comes too late is no answer: Twilio has FallbackTwiml in time, and the delivery records the TwiML."""
    target.script["/hook"] = gate = Gate(answer(body=HELLO))
    reply = hurried.text(hurried.flow(target.url("/hook"), fallback_twiml=FALLBACK.decode()))
    assert (reply.status, reply.body) == (200, FALLBACK)
    assert 0.3 <= reply.seconds < 1.5
    gate.open()
    delivery = hurried.ends(reply.sid)
    assert (delivery["status"], delivery["attempts"]) == ("delivered", 1)
    assert (delivery["answer"], delivery["answered_by"]) == (HELLO.decode(), None)


def test_without_a_fallback_the_answer_is_empty(hurried: World, target: Target) -> None:
    """A flow that says no FallbackTwiml says nothing."""
    target.script["/hook"] = gate = Gate(answer(body=HELLO))
    reply = hurried.text(hurried.flow(target.url("/hook")))
    assert (reply.status, reply.body) == (200, EMPTY)
    gate.open()


@pytest.mark.parametrize(
    ("behaviour", "state"),
    [
        pytest.param(in_turn(answer(500), answer(body=HELLO)), "delivered", id="failed-once"),
        pytest.param(in_turn(close, answer(body=HELLO)), "delivered", id="no-answer-once"),
        pytest.param(in_turn(answer(503), answer(body=HELLO)), "delivered", id="refused-once"),
        pytest.param(answer(404), "undelivered", id="permanent"),
    ],
)
def test_a_failing_target_gets_the_fallback_answered_at_once(
    world: World, target: Target, behaviour: Behaviour, state: str
) -> None:
    """The view does not wait for a retry; what a retry answers is recorded and not said."""
    target.script["/hook"] = behaviour
    reply = world.text(world.flow(target.url("/hook"), fallback_twiml=FALLBACK.decode()))
    assert (reply.status, reply.body) == (200, FALLBACK)
    assert reply.seconds < 2
    delivery = world.ends(reply.sid)
    assert (delivery["status"], delivery["answered_by"]) == (state, None)
    assert delivery["answer"] == (HELLO.decode() if state == "delivered" else None)


def test_behind_a_retry_nobody_waits(world: World, target: Target) -> None:
    """While the lane waits for a retry its next message gets the fallback at once, and is delivered in its turn."""
    target.script["/hook"] = in_turn(answer(503, retry_after="1"), answer(body=HELLO))
    flow, theirs = world.flow(target.url("/hook"), fallback_twiml=FALLBACK.decode()), world.address()
    first = world.text(flow, theirs)
    for process in (0, 1):
        second = world.text(flow, theirs, process=process)
        assert (second.status, second.body) == (200, FALLBACK)
        assert second.seconds < 0.8
    world.ends(second.sid)
    assert arrived(target)[:2] == [first.sid, first.sid]


@pytest.mark.parametrize("process", [0, 1], ids=["same-process", "other-process"])
def test_behind_a_message_that_is_being_sent_one_waits(world: World, target: Target, process: int) -> None:
    """A message whose predecessor is on its way waits for its turn, and gets its own answer."""
    target.script["/hook"] = gate = Gate(answer(body=HELLO))
    flow, theirs = world.flow(target.url("/hook"), fallback_twiml=FALLBACK.decode()), world.address()
    with world.sending(lambda: world.text(flow, theirs)) as (first,):
        gate.wait_for(1)
        with world.sending(lambda: world.text(flow, theirs, process=process)) as (second,):
            wait_until(lambda: world.metric("router_views_waiting", process=process) >= 2 - process, what="it waits")
            gate.open()
            assert first.reply().body == second.reply().body == HELLO
    assert arrived(target) == [first.reply().sid, second.reply().sid]


def test_the_flow_of_a_waiting_message_may_stop_relaying(world: World, target: Target) -> None:
    """A queued message goes to its flow as it is now: where that is `accept`, the target's answer goes to no one."""
    target.script["/hook"] = gate = Gate(answer(body=HELLO))
    flow, theirs = world.flow(target.url("/hook"), fallback_twiml=FALLBACK.decode()), world.address()
    with world.sending(lambda: world.text(flow, theirs)) as (first,):
        gate.wait_for(1)
        with world.sending(lambda: world.text(flow, theirs)) as (second,):
            wait_until(lambda: world.metric("router_views_waiting") >= 2, what="the second waits")
            world.change(flow, response="accept")
            gate.open()
            assert first.reply().body == HELLO
            assert second.reply().body == EMPTY


def test_a_handler_answers_too(world: World) -> None:
    """A Python function's answer is relayed like any other; one that is not in the settings gets the fallback."""
    echo, missing = (Integration("handler", handler=name) for name in ("echo", "missing"))
    assert b"<Message>You wrote: Hola</Message>" in world.text(world.flow(integration=echo), Body="Hola").body
    reply = world.text(world.flow(integration=missing, fallback_twiml=FALLBACK.decode()))
    assert (reply.status, reply.body) == (200, FALLBACK)
    assert "no handler is called 'missing'" in world.ends(reply.sid)["error"]


# -- redirect ---------------------------------------------------------------------------------------------------------


def test_redirect_lets_twilio_call_the_target(world: World, target: Target) -> None:
    """The answer is a `<Redirect>` to the target; it is kept as `redirected`; a duplicate is told the same."""
    flow = world.flow(target.url("/hook?a=1&b=2"), response="redirect")
    url = target.url("/hook?a=1&amp;b=2")
    fields = world.fields(flow)
    for more in ({}, UNREACHED):
        reply = world.post(fields | more)
        assert reply.status == 200
        assert f"<Response><Redirect>{url}</Redirect></Response>" in reply.body.decode()
    assert world.delivery(reply.sid)["status"] == "redirected"
    assert target.requests == []


def test_redirect_knows_where_proxy_and_studio_are(world: World) -> None:
    """Twilio is redirected to the address that the router would have sent to."""
    integration = Integration("studio", flow_sid="FW" + "a" * 32)
    reply = world.text(world.flow(integration=integration, response="redirect"))
    url = f"https://webhooks.twilio.com/v1/Accounts/{ACCOUNT}/Flows/{integration.flow_sid}"
    assert f"<Redirect>{url}</Redirect>" in reply.body.decode()


def test_a_duplicate_in_flight_is_not_redirected(world: World, target: Target) -> None:
    """A message that is on its way stays with the router though its flow became `redirect`: else it comes twice."""
    target.script["/hook"] = gate = Gate(answer())
    flow = world.flow(target.url("/hook"), response="accept")
    fields = world.fields(flow)
    world.post(fields)
    gate.wait_for(1)
    world.change(flow, response="redirect")
    for process in (0, 1):
        assert world.post(fields | UNREACHED, process=process).body == EMPTY
    gate.open()


# -- duplicates -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "same"),
    [
        pytest.param({}, True, id="the-same-request"),
        pytest.param(UNREACHED, True, id="fallback-we-did-not-answer"),
        pytest.param({"ErrorCode": "11205"}, True, id="fallback-connection-failed"),
        pytest.param({"ErrorCode": "11750"}, False, id="fallback-too-large"),
        pytest.param({"ErrorCode": "12100"}, False, id="fallback-not-xml"),
        pytest.param({"ErrorCode": "12300"}, False, id="fallback-content-type"),
    ],
)
@pytest.mark.parametrize("process", [0, 1], ids=["same-process", "other-process"])
def test_a_duplicate_gets_the_first_answer(
    world: World, target: Target, more: dict[str, str], same: bool, process: int
) -> None:
    """After delivery: the first answer again, unless Twilio said that it could not use it; and no second delivery."""
    target.script["/hook"] = in_turn(answer(body=HELLO), answer(body=twiml("again")))
    fields = world.fields(world.flow(target.url("/hook")))
    assert world.post(fields).body == HELLO
    duplicate = world.post(fields | more, process=process)
    assert (duplicate.status, duplicate.body) == (200, HELLO if same else EMPTY)
    delivery = world.delivery(duplicate.sid)
    assert (delivery["duplicates"], delivery["attempts"]) == (1, 1)
    assert len(target.requests) == 1


def test_a_recorded_request_is_worth_nothing_when_its_record_has_expired(world: World, target: Target) -> None:
    """The same signed request, sent again much later, gets an empty answer, is not delivered, and is counted."""
    target.script["/hook"] = answer(body=HELLO)
    fields = world.fields(world.flow(target.url("/hook"), fallback_twiml=FALLBACK.decode()))
    assert world.post(fields).body == HELLO
    assert world.call("DEL", world.record(fields["MessageSid"])) == 1  # as the store does, a day later
    for process in (0, 1):
        before = world.metric("router_webhooks_total", process=process, answer="expired")
        again = world.post(fields, process=process)
        assert (again.status, again.body) == (200, EMPTY)
        assert world.metric("router_webhooks_total", process=process, answer="expired") == before + 1
    assert len(world.log("webhook", outcome="expired", message_sid=fields["MessageSid"])) == 2
    assert len(target.requests) == 1
    assert not world.kept(fields["MessageSid"])


@pytest.mark.parametrize("code", ["11750", "12100", "12300"])
def test_a_first_call_is_answered_whatever_went_wrong_before(world: World, target: Target, code: str) -> None:
    """Where only the fallback URL is ours, a message whose first call ended elsewhere is as new as any."""
    target.script["/hook"] = answer(body=HELLO)
    assert world.text(world.flow(target.url("/hook")), ErrorCode=code).body == HELLO


def test_twenty_at_once_are_one_delivery(world: World, target: Target) -> None:
    """While the first is on its way, duplicates at two processes wait for it, and all get the same TwiML."""
    target.script["/hook"] = gate = Gate(in_turn(answer(body=HELLO), answer(body=twiml("again"))))
    fields = world.fields(world.flow(target.url("/hook")))
    sends = [lambda process=process: world.post(fields, process=process) for process in (0, 1) for _ in range(10)]
    with world.sending(*sends) as sent:
        gate.wait_for(1)
        sid = fields["MessageSid"]
        wait_until(lambda: world.delivery(sid)["duplicates"] == 19, what="all have arrived")
        assert not any(each.done for each in sent)
        gate.open()
        assert {each.reply().body for each in sent} == {HELLO}
    assert arrived(target) == [sid]
    assert gate.most == 1


def test_twenty_at_once_are_one_acceptance(world: World, target: Target) -> None:
    """Duplicates of an `accept` flow's message are acknowledged at once, while the first is on its way."""
    target.script["/hook"] = gate = Gate(answer(body=HELLO))
    fields = world.fields(world.flow(target.url("/hook"), response="accept"))
    sends = [lambda process=process: world.post(fields, process=process) for process in (0, 1) for _ in range(10)]
    with world.sending(*sends) as sent:
        assert {each.reply().body for each in sent} == {EMPTY}
    gate.open()
    assert world.ends(fields["MessageSid"])["duplicates"] == 19
    assert len(target.requests) == 1


def test_a_duplicate_of_what_failed_gets_the_fallback_again(world: World, target: Target) -> None:
    """The first answer was FallbackTwiml: a Twilio that did not hear it is told the same, and not nothing."""
    target.script["/hook"] = answer(404)
    fields = world.fields(world.flow(target.url("/hook"), fallback_twiml=FALLBACK.decode()))
    assert world.post(fields).body == FALLBACK
    assert world.ends(fields["MessageSid"])["status"] == "undelivered"
    assert world.post(fields | UNREACHED).body == FALLBACK
    assert len(target.requests) == 1


def test_a_duplicate_of_what_waits_for_a_retry_does_not_wait(world: World, target: Target) -> None:
    """Between two attempts a duplicate gets the fallback at once, as the first did."""
    target.script["/hook"] = in_turn(answer(503, retry_after="1"), answer(body=HELLO))
    fields = world.fields(world.flow(target.url("/hook"), fallback_twiml=FALLBACK.decode()))
    assert world.post(fields).body == FALLBACK
    duplicate = world.post(fields | UNREACHED, process=1)
    assert duplicate.body == FALLBACK
    assert duplicate.seconds < 0.8
    assert world.ends(fields["MessageSid"])["attempts"] == 2


def test_a_duplicate_of_an_unrouted_message_stays_unrouted(world: World, target: Target) -> None:
    """A flow that was made meanwhile does not take a duplicate: the message is replayed by people, and once."""
    fields = world.fields(ours := world.address())
    assert world.post(fields).body == EMPTY
    world.flow(target.url("/hook"), contact_identity=ours)
    assert world.post(fields | UNREACHED).body == EMPTY
    delivery = world.delivery(fields["MessageSid"])
    assert (delivery["status"], delivery["duplicates"]) == ("unrouted", 1)
    assert target.requests == []


def test_the_same_sid_of_another_body_is_a_duplicate(world: World, target: Target) -> None:
    """AccountSid and MessageSid say what a message is; what came first is what is delivered."""
    fields = world.fields(world.flow(target.url("/hook")))
    world.post(fields | {"Body": "first"})
    world.post(fields | {"Body": "second", "From": world.address()})
    (request,) = target.requests
    assert sid_in(request) == fields["MessageSid"]
    assert b"Body=first" in request.body
