"""Errors of Twilio's REST API, and changes by other programs there: the delivery and the doctor name each reason."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from router.flow.flex_flow import FlexFlow, Integration
from router.queries.checks.resources import flows
from router.settings import Settings
from router.store import connect
from tests.e2e.service import ACCOUNT, TOKEN
from tests.e2e.world import World, arrived
from tests.integrations.sending import settings
from tests.integrations.target import Target
from tests.twilio.local import LocalTwilio, busy
from tests.twilio.wire import Answered, problem
from tests.valkey import ValkeyServer
from tests.waiting import wait_until

WORKSPACE, WORKFLOW, STUDIO = "WS" + "1" * 32, "WW" + "2" * 32, "FW" + "3" * 32
ANOTHER = "WS" + "9" * 32
PAUSE = 100.0


@pytest.fixture(scope="module")
def twilio() -> Iterator[LocalTwilio]:
    """A fake Twilio with a workspace, and with a Studio flow without the trigger for Conversations."""
    with LocalTwilio(ACCOUNT, TOKEN) as running:
        running.tasks.workspaces[WORKSPACE] = {WORKFLOW}
        running.conversations.studio_flows[STUDIO] = {"incomingMessage"}
        yield running


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, twilio: LocalTwilio) -> Iterator[World]:
    """A router of one process that uses this Twilio."""
    valkey = ValkeyServer()
    world = World(tmp_path_factory.mktemp("world"), valkey, ROUTER_TWILIO_API_URL=twilio.url)
    yield world
    world.close()
    valkey.close()


@pytest.fixture(scope="module")
def doctor_settings(world: World, twilio: LocalTwilio) -> Settings:
    """The settings of the doctor."""
    environ = {"ROUTER_REDIS_URL": world.valkey.url, "ROUTER_TWILIO_API_URL": twilio.url}
    return settings(TWILIO_ACCOUNT_SID=ACCOUNT, TWILIO_AUTH_TOKEN=TOKEN, **environ)


def task(**more: object) -> Integration:
    """Make an integration to the workspace."""
    return Integration("task", **({"workspace_sid": WORKSPACE, "workflow_sid": WORKFLOW} | more))  # type: ignore[arg-type]


def only(request: str, answered: Answered) -> Callable[[str], Answered | None]:
    """Return a fault that answers one kind of request with an error."""
    return lambda name: answered if name == request else None


@dataclass(frozen=True)
class Mistake:
    """A mistake in a flow or account: Twilio's fault, the reason on the delivery, and the doctor's finding."""

    integration: Integration
    reason: str
    doctor: str
    fault: Callable[[str], Answered | None] = lambda _: None


REFUSED = "a parameter is not accepted"
MISTAKES = {
    "a workspace that is not there": Mistake(
        task(workspace_sid=ANOTHER), "20404): Twilio has no such resource in this", f"no workspace {ANOTHER}"
    ),
    "a workflow that is not there": Mistake(task(workflow_sid="WW" + "9" * 32), "400 (20001)", "no workflow WW999"),
    "attributes over the limit": Mistake(
        task(), REFUSED, REFUSED, only("POST Tasks", problem(400, 20001, "Attributes are too large"))
    ),
    "credentials without rights": Mistake(
        task(), "the account has no access", "Twilio refused access to", lambda _: problem(403, 20403, "Forbidden")
    ),
    "five webhooks already": Mistake(
        Integration("conversation", flow_sid=STUDIO),
        "has five webhooks already",
        "has five webhooks already",
        only("POST Webhooks", problem(400, 50361, "…")),
    ),
    "a chat service of another account": Mistake(Integration("conversation"), "20404", "no chat service IS111"),
    "a Studio flow that is not there": Mistake(
        Integration("conversation", flow_sid="FW" + "9" * 32),
        "20404",
        "no Studio flow FW999",
        only("POST Webhooks", problem(404, 20404, "…")),
    ),
}


def doctor_findings(doctor_settings: Settings, flow: FlexFlow) -> str:
    """Return the doctor's findings about a flow."""
    store = connect(doctor_settings)
    try:
        found = [each for each in flows(doctor_settings, doctor_settings.accounts[0], store) if each.state != "good"]
    finally:
        store.close()
    return "\n".join(f"{each.found} → {each.advice}" for each in found if flow.sid in each.found)


def test_the_delivery_and_the_doctor_name_each_mistake(
    world: World, twilio: LocalTwilio, doctor_settings: Settings
) -> None:
    """A mistake in a flow or account ends the message at once, with its reason on the delivery and in the doctor."""
    for name, mistake in MISTAKES.items():
        twilio.conversations.services = {"IS" + "0e" * 16} | (
            {"IS" + "1" * 32} if "chat service" not in name else set()
        )
        twilio.fault = mistake.fault
        flow = world.flow(integration=mistake.integration)
        ended = world.ends(world.text(flow).sid)
        assert (ended["status"], mistake.reason in ended["error"]) == ("undelivered", True), (name, ended["error"])
        reported = doctor_findings(doctor_settings, flow)
        assert mistake.doctor in reported, (name, reported)
        assert mistake.reason in reported, (name, reported)
        assert f"replay --flow {flow.sid}" in reported, name
        world.change(flow, enabled=False)
    twilio.fault = lambda _: None
    form = {
        "FriendlyName": "x",
        "ChatServiceSid": "IS" + "1" * 32,
        "ChannelType": "sms",
        "ContactIdentity": world.address(),
        "IntegrationType": "task",
        "Integration.WorkspaceSid": WORKSPACE,
        "Integration.WorkflowSid": WORKFLOW,
        "Integration.TaskAttributes": "{no JSON",
    }
    bad = world.rest("POST", "/v1/FlexFlows", form)
    assert (bad.status, "Integration.TaskAttributes" in bad.json["message"]) == (400, True)


def test_a_conversation_that_ended_at_twilio_is_started_again(
    world: World, twilio: LocalTwilio, doctor_settings: Settings
) -> None:
    """After a Conversation was deleted at Twilio, or its participant removed, the next message starts another one."""
    flow = world.flow(integration=Integration("conversation", flow_sid=STUDIO))
    for how in ("deleted", "removed"):
        theirs = world.address()
        first = world.ends(world.text(flow, theirs, Body="one").sid)
        (found,) = [each for each in twilio.conversations.found.values() if each["form"]["FriendlyName"] == theirs]
        if how == "deleted":
            del twilio.conversations.found[found["sid"]]
        else:
            found["participants"].clear()
        second = world.ends(world.text(flow, theirs, Body="two").sid)
        notes = [str(each["history"][-1]["reason"]) for each in (first, second)]
        assert all(each.startswith("started CH") for each in notes), notes
        assert notes[0] != notes[1]
    assert "does nothing for a Conversation, only for incomingMessage" in doctor_findings(doctor_settings, flow)


def test_a_message_that_twilio_captured_is_not_written_twice(world: World, twilio: LocalTwilio) -> None:
    """A waiting message that Twilio itself put into a Conversation is not written again; another message is written."""
    flow = world.flow(integration=Integration("conversation"), paused=True)
    both, ours = world.address(), world.address()
    conversation = twilio.conversations.make(both, flow.contact_identity, service="IS" + "1" * 32)
    twilio.conversations.receive(both, flow.contact_identity, "Hello")
    sids = [world.text(flow, theirs, Body="Hello").sid for theirs in (both, ours)]
    world.pass_time(PAUSE)
    then = datetime.now(UTC) - timedelta(seconds=PAUSE)
    conversation["messages"][0]["date_created"] = then.isoformat()
    world.change(flow, paused=False)
    notes = [str(world.ends(sid)["history"][-1]["reason"]) for sid in sids]
    assert (notes[0], notes[1].startswith("started CH")) == (f"captured by {conversation['sid']}", True)
    assert [twilio.conversations.texts_of(theirs) for theirs in (both, ours)] == [["Hello"], ["Hello"]]


def test_answers_of_429_do_not_delay_other_targets(
    world: World, twilio: LocalTwilio, doctor_settings: Settings
) -> None:
    """While Twilio answers 429, other targets are served at once, the doctor has the reason; each task is made once."""
    refused = iter(range(4))
    twilio.fault = lambda name: busy() if name == "POST Tasks" and next(refused, None) is not None else None
    slow = world.flow(integration=task(task_attributes=json.dumps({"case": "429"})))
    sids = [world.text(slow).sid for _ in range(6)]
    wait_until(lambda: "too many requests" in str(world.delivery(sids[0])["error"]), what="it is refused")
    assert "waiting: " in doctor_findings(doctor_settings, slow)
    with Target() as target:
        healthy = world.text(world.flow(target.url("/hook"), response="accept")).sid
        wait_until(lambda: healthy in arrived(target, "/hook"), what="another flow's message arrives", within=2)
    assert all(world.ends(sid, within=20)["status"] == "delivered" for sid in sids)
    rows = [json.loads(each["attributes"]) for each in list(twilio.tasks.tasks.values())]
    assert sorted(each["messageSid"] for each in rows if each.get("case") == "429") == sorted(sids)
    assert next(refused, None) is None
