"""The `task` integration with a local Twilio."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from router.flow.flex_flow import FlexFlow
from router.integrations.base import AttemptError, Failure
from router.integrations.codes import SENTENCES
from tests.integrations.sending import ACCOUNT_SID, FLOW_SID, TOKEN, flow, settings
from tests.twilio.driver import LANE, Driver
from tests.twilio.local import LocalTwilio, busy
from tests.twilio.wire import problem

WORKSPACE = "WS" + "1" * 32
WORKFLOW = "WW" + "2" * 32


@pytest.fixture
def driver() -> Iterator[Driver]:
    """A driver with a Twilio that has one workspace."""
    with LocalTwilio(ACCOUNT_SID, TOKEN) as twilio:
        twilio.tasks.workspaces[WORKSPACE] = {WORKFLOW}
        yield Driver(twilio, settings(ROUTER_TWILIO_API_URL=twilio.url, ROUTER_PUBLIC_URL="https://router.example.com"))


def to_task(**more: Any) -> FlexFlow:
    """Make a flow that creates tasks in the workspace."""
    return flow("task", workspace_sid=WORKSPACE, workflow_sid=WORKFLOW, **more)


def test_a_task_has_default_attributes_and_the_flows_own(driver: Driver) -> None:
    """A task has the default attributes; the flow's own win, but cannot replace the router's."""
    own = {"name": "VIP", "said": "{{Body}}", "routerMessageId": "mine", "skills": ["es"]}
    to = to_task(task_attributes=json.dumps(own), channel="sms", timeout=3600, priority=5)
    assert driver.send(driver.attempt(to, "Hola 👋", language="es-MX")) == f"made task WT{0:032x}"
    (attributes,) = driver.tasks
    sid = f"SM{1:032x}"
    assert attributes == {
        "channelType": "sms", "name": "VIP", "from": "+15551230001", "to": "+15551230002",
        "customerAddress": "+15551230001", "customerName": "+15551230001", "direction": "inbound",
        "initiatedBy": "customer", "messageSid": sid, "language": "es-MX", "said": "Hola 👋", "skills": ["es"],
        "router": {"lane": LANE, "flow": FLOW_SID}, "routerMessageId": sid, "lastMessageSid": sid, "messageCount": 1,
        "routerMessageIds": [sid],
    }  # fmt: skip
    (task,) = driver.twilio.tasks.tasks.values()
    assert (task["task_channel_unique_name"], task["timeout"], task["priority"]) == ("sms", 3600, 5)


def to_chat(**more: Any) -> FlexFlow:
    """Make a web flow that creates tasks; it still names a Studio flow from before."""
    return replace(to_task(flow_sid="FW" + "5" * 32, **more), channel_type="web")


@pytest.mark.parametrize("lost", [True, False])
@pytest.mark.parametrize("request_number", range(9))
def test_a_crash_at_any_request_of_a_web_chat_makes_one_task_of_one_conversation(
    driver: Driver, lost: bool, request_number: int
) -> None:
    """After a crash at any request a web chat has one Conversation and one task that counts each message once."""
    (driver.twilio.lost if lost else driver.twilio.unsent).add(request_number)
    for body in ("one", "two"):
        driver.persist(driver.of_chat(to_chat(), body))
    conversations = driver.twilio.conversations
    assert (conversations.texts_of("visitor"), conversations.studio) == (["one", "two"], [])
    ((sid, found),) = conversations.found.items()
    assert (len(found["webhooks"]), len(found["participants"])) == (1, 1)
    (attributes,) = driver.tasks
    assert (attributes["conversationSid"], attributes["messageCount"]) == (sid, 2)


def test_a_visitors_next_chat_has_a_task_of_its_own(driver: Driver) -> None:
    """A visitor's next chat gets its own task, though the last chat's is still open."""
    for chat in ("a", "b"):
        driver.send(driver.of_chat(to_chat(), chat=chat))
        driver.send(driver.of_chat(to_chat(), chat=chat))
    assert [each["messageCount"] for each in driver.tasks] == [2, 2]
    assert [each["conversationSid"] for each in driver.tasks] == list(driver.twilio.conversations.found)


def test_each_message_of_a_web_chat_is_a_task_where_the_flow_says_so(driver: Driver) -> None:
    """With TaskPerConversation=false each message of a web chat makes a task that names its one Conversation."""
    to = to_chat(task_per_conversation=False)
    for body in ("one", "two"):
        driver.send(driver.of_chat(to, body))
    (sid,) = driver.twilio.conversations.found
    assert [(each["messageCount"], each["conversationSid"]) for each in driver.tasks] == [(1, sid), (1, sid)]


def test_a_refused_task_leaves_the_message_in_the_conversation_once(driver: Driver) -> None:
    """If the task is refused after the message was added, the next attempt only makes the task."""
    given = driver.of_chat(to_chat(), "one")
    driver.twilio.fault = lambda request: busy(1) if request == "POST Tasks" else None
    with pytest.raises(AttemptError, match="too many requests") as raised:
        driver.send(given)
    assert raised.value.failure is Failure.REFUSED
    driver.twilio.fault = lambda _: None
    note = driver.send(replace(given, number=2))
    (sid,) = driver.twilio.conversations.found
    assert note == f"{sid} has it already; made task WT{0:032x}"
    assert driver.twilio.conversations.texts_of("visitor") == ["one"]


@pytest.mark.parametrize("code", SENTENCES)
def test_every_known_code_has_its_sentence_on_the_delivery(driver: Driver, code: int) -> None:
    """A known error code has its sentence in the reason, which quotes nothing of Twilio's answer."""
    driver.twilio.fault = lambda _: problem(400, code, "the address +15551230001")
    with pytest.raises(AttemptError) as raised:
        driver.send(driver.attempt(to_task()))
    assert f"answered 400 ({code}): {SENTENCES[code]}" in raised.value.reason
    assert "+1555" not in raised.value.reason


def test_a_conversation_has_one_open_task_which_counts_its_messages(driver: Driver) -> None:
    """A conversation's messages are counted in its open task; after that is completed, the next one makes another."""
    to = to_task()
    for body in ("one", "two"):
        driver.send(driver.attempt(to, body))
    assert [(each["messageCount"], each["lastMessageSid"]) for each in driver.tasks] == [(2, f"SM{2:032x}")]
    next(iter(driver.twilio.tasks.tasks.values()))["assignment_status"] = "completed"
    driver.send(driver.attempt(to, "three"))
    assert [each["messageCount"] for each in driver.tasks] == [2, 1]


def test_each_message_is_a_task_where_the_flow_says_so(driver: Driver) -> None:
    """With TaskPerConversation=false each message makes a task."""
    for _ in range(3):
        driver.send(driver.attempt(to_task(task_per_conversation=False)))
    assert [each["messageCount"] for each in driver.tasks] == [1, 1, 1]


@pytest.mark.parametrize("times", [1, 2])
def test_a_task_that_another_program_changes_is_read_again_once(driver: Driver, times: int) -> None:
    """After one 412 the task is read again and updated; a second 412 is a failure."""
    to, raced = to_task(), iter(range(times))
    driver.send(driver.attempt(to))
    (task,) = driver.twilio.tasks.tasks.values()

    def race(request: str) -> None:
        if request == "POST Tasks" and next(raced, None) is not None:
            task["attributes"] = json.dumps(json.loads(task["attributes"]) | {"note": "by an agent"})
            driver.twilio.tasks.touch(task)

    driver.twilio.fault = race
    if times == 1:
        driver.send(driver.attempt(to))
        assert (driver.tasks[0]["note"], driver.tasks[0]["messageCount"]) == ("by an agent", 2)
    else:
        with pytest.raises(AttemptError, match="changed by other programs twice") as raised:
            driver.send(driver.attempt(to))
        assert raised.value.failure is Failure.FAILED
        assert driver.tasks[0]["messageCount"] == 1


@pytest.mark.parametrize("per_conversation", [True, False])
@pytest.mark.parametrize("already", [0, 1])
@pytest.mark.parametrize("lost", [True, False])
@pytest.mark.parametrize("request_number", range(3))
def test_an_unanswered_request_makes_no_second_task(
    driver: Driver, per_conversation: bool, already: int, lost: bool, request_number: int
) -> None:
    """If any request gets no answer, the next attempt makes no second task and counts each message once."""
    to = to_task(task_per_conversation=per_conversation)
    for _ in range(already):
        driver.send(driver.attempt(to))
    (driver.twilio.lost if lost else driver.twilio.unsent).add(len(driver.twilio.log) + request_number)
    given = driver.attempt(to)
    for failed in driver.persist(given):
        assert failed.failure is Failure.REFUSED or (failed.failure is Failure.UNKNOWN and failed.retry_after == 5)
    assert sum(each["messageCount"] for each in driver.tasks) == already + 1
    assert len(driver.tasks) == (1 if per_conversation else already + 1)


def test_a_task_is_found_although_the_store_forgot_it(driver: Driver) -> None:
    """A task that the store did not keep is found at Twilio by the next attempt."""
    driver.kept.failing = {0}
    to = to_task()
    given = driver.attempt(to)
    with pytest.raises(AttemptError, match="the store did not keep"):
        driver.send(given)
    assert driver.send(driver.attempt(to, sid=given.message.message_sid, number=2)).endswith("was made for it before")
    driver.send(driver.attempt(to))
    assert [each["messageCount"] for each in driver.tasks] == [2]


def test_a_replay_counts_no_message_twice(driver: Driver) -> None:
    """A replayed message is recognized in its task's attributes and not counted again."""
    to = to_task()
    first, second = driver.attempt(to), driver.attempt(to)
    for each in (first, second):
        driver.send(each)
    for each in (first, second):
        driver.send(driver.attempt(to, sid=each.message.message_sid, replay=True))
    assert [each["messageCount"] for each in driver.tasks] == [2]


REFUSALS = {
    "too many requests": (busy(7), Failure.REFUSED, "answered 429 (20429): too many requests"),
    "not available": (problem(503, 20503, "…"), Failure.REFUSED, "Twilio is not available"),
    "an error at Twilio": (problem(500, 20500, "…"), Failure.FAILED, "an error at Twilio"),
    "no such workspace": (problem(404, 20404, "…"), Failure.PERMANENT, "no such resource in this account"),
    "no right": (problem(403, 20403, "…"), Failure.PERMANENT, "the account has no access"),
    "not authorized": (problem(401, 20003, "Authenticate"), Failure.PERMANENT, "auth token is not accepted"),
    "bad attributes": (problem(400, 20001, "…"), Failure.PERMANENT, "a parameter is not accepted"),
    "unknown to us": (problem(400, 99999, "…"), Failure.PERMANENT, "answered 400 (99999)"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_each_refusal_of_twilio_has_its_failure_and_reason(driver: Driver, name: str) -> None:
    """Each error of Twilio has its kind of failure, a reason with the code, and an excerpt."""
    answered, failure, reason = REFUSALS[name]
    driver.twilio.fault = lambda _: answered
    with pytest.raises(AttemptError) as raised:
        driver.send(driver.attempt(to_task()))
    assert (raised.value.failure, raised.value.status) == (failure, answered[0])
    assert reason in raised.value.reason
    assert raised.value.excerpt is not None
    if name == "too many requests":
        assert raised.value.retry_after == 7


def test_the_next_auth_token_counts_after_a_rotation(driver: Driver) -> None:
    """After a 401 the account's second auth token is tried."""
    driver.twilio.tokens = {"the-token-to-come"}
    assert driver.send(driver.attempt(to_task())).startswith("made task")


def test_many_refusals_in_a_row_lose_nothing(driver: Driver) -> None:
    """After 20 times 429 the task is made, once."""
    given = driver.attempt(to_task())
    driver.twilio.fault = lambda _: busy()
    for number in range(1, 21):
        with pytest.raises(AttemptError) as raised:
            driver.send(driver.attempt(to_task(), sid=given.message.message_sid, number=number))
        assert raised.value.failure is Failure.REFUSED
    driver.twilio.fault = lambda _: None
    driver.send(driver.attempt(to_task(), sid=given.message.message_sid, number=21))
    assert len(driver.tasks) == 1
