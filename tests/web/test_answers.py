"""How a webhook is answered: acknowledged, relayed or redirected; and the answers to duplicates."""

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
# Twilio calls the fallback URL with the same message and the error of the first call.
UNREACHED = {"ErrorCode": "11200", "ErrorUrl": "https://router.example.com/webhooks/sms"}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Two processes over one store that wait long enough for a relayed answer on a busy machine."""
    valkey = ValkeyServer()
    folder = tmp_path_factory.mktemp("world")
    config = '[handlers]\necho = "router.demo:handle"'
    world = World(folder, valkey, processes=2, config=config, ROUTER_LEASE_SECONDS="16", ROUTER_RELAY_SECONDS="6")
    yield world
    world.close()
    valkey.close()


@pytest.fixture(scope="module")
def hurried(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A process that waits 0.3 s for a relayed answer and ends attempts after 2 s."""
    valkey = ValkeyServer()
    folder = tmp_path_factory.mktemp("hurried")
    world = World(folder, valkey, ROUTER_LEASE_SECONDS="10", ROUTER_RELAY_SECONDS="0.3")
    yield world
    world.close()
    valkey.close()


@pytest.fixture
def target() -> Iterator[Target]:
    """A target for this test alone."""
    with Target() as running:
        yield running


# -- accept -----------------------------------------------------------------------------------------------------------


def test_accept_does_not_wait(world: World, target: Target) -> None:
    """An `accept` flow answers empty TwiML while the target still works, and the target's answer is not used."""
    target.script["/hook"] = gate = Gate(answer(body=HELLO))
    reply = world.text(world.flow(target.url("/hook"), response="accept"))
    assert (reply.status, reply.body) == (200, EMPTY)
    gate.wait_for(1)
    assert world.delivery(reply.sid)["status"] == "sending"
    gate.open()
    delivery = world.ends(reply.sid)
    assert (delivery["status"], delivery["answer"], delivery["answered_by"]) == ("delivered", None, None)


def test_a_target_receives_the_message_as_twilio_sent_it(world: World, target: Target) -> None:
    """A target gets the form, cookie and idempotency token that Twilio sent, signed for the target's own URL."""
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
    """TwiML is relayed unchanged, text as a message, all else as empty TwiML; the message is delivered in each case."""
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
    """The delivery keeps an answer that is not TwiML and the reason; the log has its type, not its text."""
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


def test_an_accept_flow_keeps_only_the_answer_of_a_failure(world: World, target: Target) -> None:
    """A flow that does not relay keeps no answer of a success, but the answer of a failure."""
    target.script["/hook"] = in_turn(answer(body=b"done", content_type="application/json"), answer(404, b"Who is Zoe?"))
    flow = world.flow(target.url("/hook"), response="accept")
    good, bad = (world.ends(world.text(flow).sid) for _ in range(2))
    assert (good["status"], good["target_said"]) == ("delivered", None)
    assert (bad["status"], bad["target_said"]["text"]) == ("undelivered", "Who is Zoe?")
    assert "Zoe" not in str(world.log("attempt", message_sid=bad["sid"]))


def test_the_targets_cookie_is_relayed(world: World, target: Target) -> None:
    """The target's Set-Cookie is relayed to Twilio unchanged."""
    target.script["/hook"] = answer(body=HELLO, set_cookie="session=abc; Path=/; HttpOnly")
    reply = world.text(world.flow(target.url("/hook")))
    assert reply.headers["Set-Cookie"] == "session=abc; Path=/; HttpOnly"


def test_relative_urls_are_the_targets(world: World, target: Target) -> None:
    """A relative URL in relayed TwiML becomes absolute against the target."""
    target.script["/one/hook"] = answer(body=b"<Response><Redirect>../two</Redirect></Response>")
    reply = world.text(world.flow(target.url("/one/hook")))
    assert target.url("/two").encode() in reply.body


def test_a_slow_targets_answer_is_replaced_by_fallback_twiml(hurried: World, target: Target) -> None:
    """If the target is too slow, Twilio gets FallbackTwiml in time, and the delivery records the late TwiML."""
    target.script["/hook"] = gate = Gate(answer(body=HELLO))
    reply = hurried.text(hurried.flow(target.url("/hook"), fallback_twiml=FALLBACK.decode()))
    assert (reply.status, reply.body) == (200, FALLBACK)
    assert 0.3 <= reply.seconds < 1.5
    gate.open()
    delivery = hurried.ends(reply.sid)
    assert (delivery["status"], delivery["attempts"]) == ("delivered", 1)
    assert (delivery["answer"], delivery["answered_by"]) == (HELLO.decode(), None)


def test_without_a_fallback_the_answer_is_empty(hurried: World, target: Target) -> None:
    """Without FallbackTwiml Twilio gets empty TwiML when the target is too slow."""
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
def test_after_a_failed_attempt_fallback_twiml_is_answered_at_once(
    world: World, target: Target, behaviour: Behaviour, state: str
) -> None:
    """After a failed attempt Twilio gets FallbackTwiml at once; a retry's answer is only recorded."""
    target.script["/hook"] = behaviour
    reply = world.text(world.flow(target.url("/hook"), fallback_twiml=FALLBACK.decode()))
    assert (reply.status, reply.body) == (200, FALLBACK)
    assert reply.seconds < 2
    delivery = world.ends(reply.sid)
    assert (delivery["status"], delivery["answered_by"]) == (state, None)
    assert delivery["answer"] == (HELLO.decode() if state == "delivered" else None)


def test_a_message_behind_a_retry_is_answered_with_the_fallback_at_once(world: World, target: Target) -> None:
    """While a lane waits for a retry, its next message gets FallbackTwiml at once and is delivered in its turn."""
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
def test_a_message_behind_one_being_sent_waits_for_its_own_answer(world: World, target: Target, process: int) -> None:
    """A message whose predecessor is being sent waits for its turn and gets its own answer."""
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
    """If the flow of a waiting message becomes `accept`, the message gets empty TwiML."""
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
    """A handler's answer is relayed; a flow whose handler is not in the settings gets FallbackTwiml."""
    echo, missing = (Integration("handler", handler=name) for name in ("echo", "missing"))
    assert b"<Message>You wrote: Hola</Message>" in world.text(world.flow(integration=echo), Body="Hola").body
    reply = world.text(world.flow(integration=missing, fallback_twiml=FALLBACK.decode()))
    assert (reply.status, reply.body) == (200, FALLBACK)
    assert "no handler is called 'missing'" in world.ends(reply.sid)["error"]


# -- redirect ---------------------------------------------------------------------------------------------------------


def test_redirect_lets_twilio_call_the_target(world: World, target: Target) -> None:
    """A `redirect` flow answers <Redirect> to the target, also to a duplicate, and the target gets no request."""
    flow = world.flow(target.url("/hook?a=1&b=2"), response="redirect")
    url = target.url("/hook?a=1&amp;b=2")
    fields = world.fields(flow)
    for more in ({}, UNREACHED):
        reply = world.post(fields | more)
        assert reply.status == 200
        assert f"<Response><Redirect>{url}</Redirect></Response>" in reply.body.decode()
    assert world.delivery(reply.sid)["status"] == "redirected"
    assert target.requests == []


@pytest.mark.parametrize(
    ("integration", "path"),
    [
        (Integration("studio", flow_sid="FW" + "a" * 32), "Flows/FW" + "a" * 32),
        (Integration("proxy", proxy_service_sid="KS" + "a" * 32), f"Proxy/KS{'a' * 32}/Webhooks/Message"),
    ],
    ids=["studio", "proxy"],
)
def test_redirect_to_studio_or_proxy_names_twilios_url(world: World, integration: Integration, path: str) -> None:
    """A `redirect` flow to Studio or Proxy redirects to the URL at Twilio that the router would have called."""
    reply = world.text(world.flow(integration=integration, response="redirect"))
    url = f"https://webhooks.twilio.com/v1/Accounts/{ACCOUNT}/{path}"
    assert f"<Redirect>{url}</Redirect>" in reply.body.decode()


def test_a_duplicate_in_flight_is_not_redirected(world: World, target: Target) -> None:
    """A duplicate of a message in flight is not redirected, though the flow became `redirect`."""
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
    """A duplicate gets the first answer, or empty TwiML if Twilio could not use it, and is not delivered again."""
    target.script["/hook"] = in_turn(answer(body=HELLO), answer(body=twiml("again")))
    fields = world.fields(world.flow(target.url("/hook")))
    assert world.post(fields).body == HELLO
    duplicate = world.post(fields | more, process=process)
    assert (duplicate.status, duplicate.body) == (200, HELLO if same else EMPTY)
    delivery = world.delivery(duplicate.sid)
    assert (delivery["duplicates"], delivery["attempts"]) == (1, 1)
    assert len(target.requests) == 1


def test_a_request_replayed_after_its_record_expired_is_not_delivered(world: World, target: Target) -> None:
    """A signed request sent again after its record expired gets empty TwiML, is not delivered, and is counted."""
    target.script["/hook"] = answer(body=HELLO)
    fields = world.fields(world.flow(target.url("/hook"), fallback_twiml=FALLBACK.decode()))
    assert world.post(fields).body == HELLO
    assert world.call("DEL", world.record(fields["MessageSid"])) == 1  # as the store does after a day
    for process in (0, 1):
        before = world.metric("router_webhooks_total", process=process, answer="expired")
        again = world.post(fields, process=process)
        assert (again.status, again.body) == (200, EMPTY)
        assert world.metric("router_webhooks_total", process=process, answer="expired") == before + 1
    assert len(world.log("webhook", outcome="expired", message_sid=fields["MessageSid"])) == 2
    assert len(target.requests) == 1
    assert not world.kept(fields["MessageSid"])


@pytest.mark.parametrize("code", ["11750", "12100", "12300"])
def test_a_first_request_with_an_error_code_is_answered_normally(world: World, target: Target, code: str) -> None:
    """A message's first request is answered normally, though its ErrorCode says that another URL failed."""
    target.script["/hook"] = answer(body=HELLO)
    assert world.text(world.flow(target.url("/hook")), ErrorCode=code).body == HELLO


def test_twenty_equal_requests_are_one_delivery(world: World, target: Target) -> None:
    """Of 20 equal requests at two processes one is delivered, and all get its TwiML."""
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


def test_twenty_equal_requests_are_one_acceptance(world: World, target: Target) -> None:
    """20 equal requests to an `accept` flow are acknowledged at once and delivered once."""
    target.script["/hook"] = gate = Gate(answer(body=HELLO))
    fields = world.fields(world.flow(target.url("/hook"), response="accept"))
    sends = [lambda process=process: world.post(fields, process=process) for process in (0, 1) for _ in range(10)]
    with world.sending(*sends) as sent:
        assert {each.reply().body for each in sent} == {EMPTY}
    gate.open()
    assert world.ends(fields["MessageSid"])["duplicates"] == 19
    assert len(target.requests) == 1


def test_a_duplicate_of_a_failed_message_gets_fallback_twiml_again(world: World, target: Target) -> None:
    """A duplicate of a message that failed gets FallbackTwiml again."""
    target.script["/hook"] = answer(404)
    fields = world.fields(world.flow(target.url("/hook"), fallback_twiml=FALLBACK.decode()))
    assert world.post(fields).body == FALLBACK
    assert world.ends(fields["MessageSid"])["status"] == "undelivered"
    assert world.post(fields | UNREACHED).body == FALLBACK
    assert len(target.requests) == 1


def test_a_duplicate_of_a_message_between_retries_does_not_wait(world: World, target: Target) -> None:
    """A duplicate of a message that waits for a retry gets FallbackTwiml at once."""
    target.script["/hook"] = in_turn(answer(503, retry_after="1"), answer(body=HELLO))
    fields = world.fields(world.flow(target.url("/hook"), fallback_twiml=FALLBACK.decode()))
    assert world.post(fields).body == FALLBACK
    duplicate = world.post(fields | UNREACHED, process=1)
    assert duplicate.body == FALLBACK
    assert duplicate.seconds < 0.8
    assert world.ends(fields["MessageSid"])["attempts"] == 2


def test_a_duplicate_of_an_unrouted_message_stays_unrouted(world: World, target: Target) -> None:
    """A duplicate of an unrouted message stays unrouted, though a flow takes its address now."""
    fields = world.fields(ours := world.address())
    assert world.post(fields).body == EMPTY
    world.flow(target.url("/hook"), contact_identity=ours)
    assert world.post(fields | UNREACHED).body == EMPTY
    delivery = world.delivery(fields["MessageSid"])
    assert (delivery["status"], delivery["duplicates"]) == ("unrouted", 1)
    assert target.requests == []


def test_the_same_sid_with_another_body_is_a_duplicate(world: World, target: Target) -> None:
    """A request with a known MessageSid and another body is a duplicate: the first body is delivered."""
    fields = world.fields(world.flow(target.url("/hook")))
    world.post(fields | {"Body": "first"})
    world.post(fields | {"Body": "second", "From": world.address()})
    (request,) = target.requests
    assert sid_in(request) == fields["MessageSid"]
    assert b"Body=first" in request.body
