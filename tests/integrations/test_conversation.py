"""The `conversation` integration with a local Twilio."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given as drawn
from hypothesis import settings as tuned
from hypothesis import strategies as st

from router.flow.flex_flow import FlexFlow
from router.integrations.base import Attempt, AttemptError, Failure
from tests.integrations.sending import ACCOUNT_SID, STUDIO_SID, TOKEN, flow, settings
from tests.twilio.driver import LANE, Driver
from tests.twilio.local import LocalTwilio, busy
from tests.twilio.wire import Answered, problem

THEIRS, OURS = "+15551230001", "+15551230002"
WORKSPACE = "WS" + "1" * 32
ROUTING = json.dumps({"properties": {"workspace_sid": WORKSPACE, "workflow_sid": "WW" + "2" * 32}})


@pytest.fixture
def driver() -> Iterator[Driver]:
    """A driver with a Twilio that has a workspace."""
    with LocalTwilio(ACCOUNT_SID, TOKEN) as twilio:
        twilio.tasks.workspaces[WORKSPACE] = {"WW" + "2" * 32}
        yield Driver(twilio, settings(ROUTER_TWILIO_API_URL=twilio.url, ROUTER_PUBLIC_URL="https://router.example.com"))


def to_conversation(capture: str = "auto", *, janitor: bool = False, **more: Any) -> FlexFlow:
    """Make a flow to Conversations."""
    return replace(flow("conversation", **more), capture=capture, janitor_enabled=janitor)


def later(driver: Driver) -> None:
    """Set the time at which each pair was bound back by an hour."""
    for known in driver.kept.found.values():
        known["bound"] = str(float(known["bound"]) - 3600)


def hear(driver: Driver, to: FlexFlow, body: str, **changes: Any) -> Attempt:
    """Let a customer write: Twilio may capture the message and then calls the webhook; return the attempt."""
    driver.twilio.conversations.receive(THEIRS, OURS, body)
    return driver.attempt(to, body, **changes)


def said(driver: Driver) -> list[str]:
    """Return the customer's messages in all Conversations."""
    return driver.twilio.conversations.texts_of(THEIRS)


def test_a_new_conversation_is_created_in_order_with_all_its_parts(driver: Driver) -> None:
    """A new Conversation gets timers, attributes, webhook, participant, message and Interaction, in this order."""
    to = to_conversation(janitor=True, flow_sid=STUDIO_SID, interaction=ROUTING)
    note = driver.send(hear(driver, to, "Hola", language="es"))
    (found,) = driver.twilio.conversations.found.values()
    form = found["form"]
    assert (form["Timers.Closed"], form["FriendlyName"]) == ("PT1440M", THEIRS)
    assert form["UniqueName"] == f"router-{LANE}-SM{1:032x}"
    assert json.loads(form["Attributes"])["language"] == "es"
    (message,) = found["messages"]
    assert (message["author"], message["body"]) == (THEIRS, "Hola")
    assert json.loads(message["attributes"]) == {"routerMessageId": f"SM{1:032x}"}
    assert driver.twilio.conversations.studio == [(STUDIO_SID, message["sid"])]
    (interaction,) = driver.twilio.conversations.interactions
    assert interaction["channel"]["properties"] == {"media_channel_sid": found["sid"]}
    assert note == f"started {found['sid']}, added {message['sid']}; Interaction {interaction['sid']}"
    assert driver.twilio.writes() == [
        "POST Conversations", "POST Webhooks", "POST Participants", "POST Messages", "POST Interactions"
    ]  # fmt: skip


def test_the_messaging_service_of_the_message_is_pinned(driver: Driver) -> None:
    """The participant is created with the Messaging Service that the message came by."""
    given = driver.attempt(to_conversation())
    service = "MG" + "3" * 32
    driver.send(replace(given, message=replace(given.message, messaging_service_sid=service)))
    assert driver.twilio.forms[1]["MessagingServiceSid"] == service


def test_integration_url_is_attached_as_a_webhook(driver: Driver) -> None:
    """With Integration.Url the Conversation has a webhook to it for new messages."""
    driver.send(hear(driver, to_conversation(url="https://bot.example/in"), "Hola"))
    (found,) = driver.twilio.conversations.found.values()
    (webhook,) = found["webhooks"]
    assert webhook["target"] == "webhook"
    assert webhook["configuration"] == {
        "url": "https://bot.example/in", "flow_sid": None, "filters": ["onMessageAdded"]
    }  # fmt: skip


@pytest.mark.parametrize("capture", ["auto", "always"])
def test_a_captured_message_is_not_added_again(driver: Driver, capture: str) -> None:
    """Once Twilio captures a pair's messages the router adds none, and the delivery names the Conversation."""
    to = to_conversation(capture)
    driver.send(hear(driver, to, "one"))
    notes = [driver.send(hear(driver, to, "two"))]
    later(driver)
    notes += [driver.send(hear(driver, to, body)) for body in ("three", "four")]
    (found,) = driver.twilio.conversations.found.values()
    assert notes == [f"captured by {found['sid']}"] * 3
    assert said(driver) == ["one", "two", "three", "four"]


def test_capture_always_asks_twilio_every_ten_minutes(driver: Driver) -> None:
    """With Capture=always a message causes no request to Twilio within ten minutes of a look-up, and one after them."""
    to = to_conversation("always")
    driver.send(hear(driver, to, "one"))
    later(driver)
    driver.send(hear(driver, to, "two"))
    before = len(driver.twilio.log)
    driver.send(hear(driver, to, "three"))
    assert len(driver.twilio.log) == before
    for known in driver.kept.found.values():
        known["asked"] = str(float(known["asked"]) - 600)
    driver.send(hear(driver, to, "four"))
    assert len(driver.twilio.log) == before + 1


def test_capture_never_adds_every_message_once(driver: Driver) -> None:
    """With Capture=never each message is added, and only once over replays."""
    to = to_conversation("never")
    sent = [driver.attempt(to, body) for body in ("one", "two", "two")]
    for each in [*sent, *(replace(each, replay=True) for each in sent)]:
        driver.send(each)
    assert said(driver) == ["one", "two", "two"]
    assert len(driver.twilio.conversations.found) == 1


def test_a_message_from_before_the_binding_is_added(driver: Driver) -> None:
    """A message that came before its pair was bound is added, although the next one is captured."""
    to = to_conversation()
    first, second = hear(driver, to, "ok"), hear(driver, to, "ok")
    driver.send(first)
    third = hear(driver, to, "ok")
    driver.send(second)
    driver.send(third)
    assert said(driver) == ["ok", "ok", "ok"]


@pytest.mark.parametrize("how", ["closed", "removed", "deleted"])
def test_an_ended_conversation_frees_the_pair(driver: Driver, how: str) -> None:
    """After a Conversation is closed or deleted, or its participant removed, the next message starts another one."""
    to = to_conversation()
    driver.send(hear(driver, to, "one"))
    later(driver)
    (found,) = driver.twilio.conversations.found.values()
    if how == "closed":
        found["state"] = "closed"
    elif how == "removed":
        found["participants"].clear()
    else:
        del driver.twilio.conversations.found[found["sid"]]
    assert driver.send(hear(driver, to, "two")).startswith("started CH")
    assert said(driver)[-1] == "two"
    bound = driver.twilio.conversations.bound(THEIRS, OURS)
    assert bound is not None
    assert bound["sid"] != found["sid"]


def test_a_message_captured_before_the_closing_is_not_added_again(driver: Driver) -> None:
    """A message that Twilio captured before an agent closed the Conversation is not added again."""
    to = to_conversation()
    driver.send(hear(driver, to, "one"))
    later(driver)
    second = hear(driver, to, "bye")
    next(iter(driver.twilio.conversations.found.values()))["state"] = "closed"
    assert driver.send(second).startswith("captured by CH")
    assert said(driver) == ["one", "bye"]


@pytest.mark.parametrize("state", ["active", "inactive"])
def test_a_pair_that_another_program_has_bound_is_used(driver: Driver, state: str) -> None:
    """A Conversation that another program bound to the pair is used, and gets no Interaction."""
    other = driver.twilio.conversations.make(THEIRS, OURS, state=state)
    note = driver.send(hear(driver, to_conversation(interaction=ROUTING), "Hola"))
    assert note == f"captured by {other['sid']}"
    assert said(driver) == ["Hola"]
    assert driver.twilio.writes() == []


@pytest.mark.parametrize("how", [{"recovered": True}, {"replay": True}])
@pytest.mark.parametrize("captured", [True, False])
def test_a_recovered_or_replayed_message_is_looked_up(driver: Driver, how: dict[str, Any], captured: bool) -> None:
    """A recovered or replayed message is added only if the Conversation does not have it."""
    to = to_conversation()
    driver.send(hear(driver, to, "one"))
    later(driver)
    earlier = hear(driver, to, "two", **how) if captured else driver.attempt(to, "two", **how)
    (found,) = driver.twilio.conversations.found.values()
    found["messages"][-1]["date_created"] = "2020-01-01T00:00:00Z"
    driver.send(earlier)
    assert said(driver) == ["one", "two"]


def test_a_binding_found_by_error_50416_is_used(driver: Driver) -> None:
    """If binding fails with 50416, the Conversation that it names is used and the new one is removed."""
    other = driver.twilio.conversations.make(THEIRS, OURS)
    answers: Iterator[Answered] = iter([(200, {"conversations": [], "meta": {}}, {})])
    driver.twilio.fault = lambda name: next(answers, None) if name == "GET ParticipantConversations" else None
    assert driver.send(hear(driver, to_conversation(), "Hola")) == f"captured by {other['sid']}"
    assert list(driver.twilio.conversations.found) == [other["sid"]]
    assert said(driver) == ["Hola"]


def test_a_pair_bound_in_another_service_is_a_permanent_failure(driver: Driver) -> None:
    """A pair that is bound in another service is a permanent failure that names the Conversation."""
    other = driver.twilio.conversations.make(THEIRS, OURS, service="IS" + "1" * 32)
    with pytest.raises(AttemptError, match=f"bound to {other['sid']}.* close it.*50416") as raised:
        driver.send(hear(driver, to_conversation(), "Hola"))
    assert raised.value.failure is Failure.PERMANENT
    assert list(driver.twilio.conversations.found) == [other["sid"]]


@pytest.mark.parametrize("lost", [True, False])
@pytest.mark.parametrize("request_number", range(9))
@pytest.mark.parametrize("captures", [True, False])
def test_a_crash_at_any_request_adds_no_message_twice(
    driver: Driver, lost: bool, request_number: int, captures: bool
) -> None:
    """After a crash or a lost answer at any request, each message, webhook and Interaction exists once."""
    to = to_conversation("auto" if captures else "never", flow_sid=STUDIO_SID, interaction=ROUTING)
    (driver.twilio.lost if lost else driver.twilio.unsent).add(request_number)
    first = hear(driver, to, "one")
    driver.persist(first)
    for body in ("two", "three"):
        driver.persist(hear(driver, to, body) if captures else driver.attempt(to, body))
    assert said(driver) == ["one", "two", "three"]
    (found,) = driver.twilio.conversations.found.values()
    assert len(found["webhooks"]) == len(found["participants"]) == len(driver.twilio.conversations.interactions) == 1
    assert [flow_sid for flow_sid, _ in driver.twilio.conversations.studio] == [STUDIO_SID] * 3


@pytest.mark.parametrize("write", range(4))
def test_a_failed_write_to_the_store_adds_no_message_twice(driver: Driver, write: int) -> None:
    """If the store does not keep what was done, it is found at Twilio, and nothing is done twice."""
    driver.kept.failing = {write}
    to = to_conversation(flow_sid=STUDIO_SID, interaction=ROUTING)
    driver.persist(hear(driver, to, "one"))
    driver.persist(hear(driver, to, "two"))
    assert said(driver) == ["one", "two"]
    assert len(driver.twilio.conversations.found) == len(driver.twilio.conversations.interactions) == 1


EVENT = st.one_of(
    st.tuples(st.sampled_from(["ok", "yes", "no"]), st.integers(0, 8), st.sampled_from(["lost", "unsent", ""])),
    st.just("close"),
    st.just("later"),
)


def test_after_any_sequence_of_events_each_message_is_added_once(driver: Driver) -> None:
    """After any sequence of messages, crashes, closings and time, each message is in one Conversation once."""

    @tuned(max_examples=40)
    @drawn(st.lists(EVENT, max_size=6), st.sampled_from(["auto", "never"]))
    def check(events: list[Any], capture: str) -> None:
        driver.clear()
        to, expected = to_conversation(capture), []
        for event in events:
            if event == "close":
                if bound := driver.twilio.conversations.bound(THEIRS, OURS):
                    bound["state"] = "closed"
            elif event == "later":
                later(driver)
            else:
                body, number, how = event
                if how:
                    lost = driver.twilio.lost if how == "lost" else driver.twilio.unsent
                    lost.add(len(driver.twilio.log) + number)
                driver.persist(hear(driver, to, body) if capture == "auto" else driver.attempt(to, body))
                expected.append(body)
        assert said(driver) == expected

    check()


@pytest.mark.parametrize("kind", ["studio", "conversation"])
@pytest.mark.parametrize("lost", [True, False])
@pytest.mark.parametrize("request_number", range(7))
def test_a_crash_at_any_request_of_a_web_chat_adds_no_message_twice(
    driver: Driver, kind: str, lost: bool, request_number: int
) -> None:
    """After a crash at any request, a web chat's messages, participant and webhooks exist once, in one Conversation."""
    to = replace(flow(kind, flow_sid=STUDIO_SID), channel_type="web")
    (driver.twilio.lost if lost else driver.twilio.unsent).add(request_number)
    for body in ("one", "two"):
        driver.persist(driver.of_chat(to, body))
    assert driver.twilio.conversations.texts_of("visitor") == ["one", "two"]
    (found,) = driver.twilio.conversations.found.values()
    assert (len(found["webhooks"]), len(found["participants"])) == (2, 1)
    assert len(driver.twilio.conversations.studio) == 2


def test_a_web_chats_conversation_that_was_deleted_is_made_again(driver: Driver) -> None:
    """If a web chat's Conversation was deleted, the attempt fails and the next one makes another."""
    to = replace(flow("conversation"), channel_type="web")
    driver.persist(driver.of_chat(to, "one"))
    driver.twilio.conversations.found.clear()
    (failed,) = driver.persist(driver.of_chat(to, "two"))
    assert failed.failure is Failure.FAILED
    assert driver.twilio.conversations.texts_of("visitor") == ["two"]


def test_an_unanswered_interaction_without_a_workspace_is_not_repeated(driver: Driver) -> None:
    """An unanswered Interaction without a workspace, which cannot be looked up, is not requested again."""
    to = to_conversation(interaction=json.dumps({"properties": {"queue_sid": "WQ"}}))
    driver.twilio.lost = {4}
    failures = driver.persist(hear(driver, to, "Hola"))
    assert [each.failure for each in failures] == [Failure.UNKNOWN]
    assert "it is not asked for again" in driver.notes[0]
    assert len(driver.twilio.conversations.interactions) == 1


def test_an_interaction_that_flex_refuses_is_asked_for_again_with_the_replay(driver: Driver) -> None:
    """A refused Interaction is a permanent failure; the replay requests it again and adds no message."""
    given = hear(driver, to_conversation(interaction="{}"), "Hola")
    with pytest.raises(AttemptError, match=r"45004.*Integration\.Interaction") as raised:
        driver.send(given)
    assert raised.value.failure is Failure.PERMANENT
    driver.send(replace(given, replay=True, flow=to_conversation(interaction=ROUTING)))
    assert said(driver) == ["Hola"]
    assert len(driver.twilio.conversations.interactions) == 1


def test_a_conversation_with_five_webhooks_is_a_permanent_failure(driver: Driver) -> None:
    """Error 50361 (five webhooks) is a permanent failure with that reason, and the pair is not bound."""
    driver.twilio.fault = lambda name: problem(400, 50361, "…") if name == "POST Webhooks" else None
    with pytest.raises(AttemptError, match="has five webhooks already") as raised:
        driver.send(hear(driver, to_conversation(flow_sid=STUDIO_SID), "Hola"))
    assert raised.value.failure is Failure.PERMANENT
    assert driver.twilio.conversations.bound(THEIRS, OURS) is None


def test_refusals_wait_and_permanent_errors_do_not(driver: Driver) -> None:
    """429 is a refusal with Twilio's Retry-After; a chat service of another account is a permanent failure."""
    driver.twilio.fault = lambda _: busy(3)
    with pytest.raises(AttemptError) as raised:
        driver.send(hear(driver, to_conversation(), "Hola"))
    assert (raised.value.failure, raised.value.retry_after) == (Failure.REFUSED, 3)
    driver.twilio.fault = lambda _: None
    driver.twilio.conversations.services.clear()
    with pytest.raises(AttemptError, match=r"20404.*of another account") as raised:
        driver.send(hear(driver, to_conversation(), "Hola"))
    assert raised.value.failure is Failure.PERMANENT


def test_media_and_locations_are_added_as_text(driver: Driver) -> None:
    """Media URLs and locations are added as text; a message without either gets a placeholder text."""
    fields = {"NumMedia": "1", "MediaUrl0": "https://api.twilio.com/ME1", "MediaContentType0": "image/png"}
    for number, params in enumerate((fields, {"Latitude": "1.5", "Longitude": "2", "Label": "Home"}, {})):
        given = driver.attempt(to_conversation("never"), "")
        message = replace(given.message, num_media=int(not number), params={**given.message.params, **params})
        driver.send(replace(given, message=message))
    assert said(driver) == ["https://api.twilio.com/ME1", "geo:1.5,2 Home", "(a message without text)"]
    (found,) = driver.twilio.conversations.found.values()
    attributes = json.loads(found["messages"][0]["attributes"])
    assert attributes["media"] == [{"url": "https://api.twilio.com/ME1", "contentType": "image/png"}]
