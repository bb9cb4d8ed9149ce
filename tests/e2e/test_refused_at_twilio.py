"""What Twilio refuses, and what other programs change there: the delivery and the doctor name each reason."""

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
    """A Twilio with a workspace and a Studio flow that another trigger starts."""
    with LocalTwilio(ACCOUNT, TOKEN) as running:
        running.tasks.workspaces[WORKSPACE] = {WORKFLOW}
        running.conversations.studio_flows[STUDIO] = {"incomingMessage"}
        yield running


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, twilio: LocalTwilio) -> Iterator[World]:
    """One process that reaches that Twilio."""
    valkey = ValkeyServer()
    world = World(tmp_path_factory.mktemp("world"), valkey, ROUTER_TWILIO_API_URL=twilio.url)
    yield world
    world.close()
    valkey.close()


@pytest.fixture(scope="module")
def made(world: World, twilio: LocalTwilio) -> Settings:
    """The settings of the doctor."""
    environ = {"ROUTER_REDIS_URL": world.valkey.url, "ROUTER_TWILIO_API_URL": twilio.url}
    return settings(TWILIO_ACCOUNT_SID=ACCOUNT, TWILIO_AUTH_TOKEN=TOKEN, **environ)


def task(**more: object) -> Integration:
    """Make an integration to the workspace."""
    return Integration("task", **({"workspace_sid": WORKSPACE, "workflow_sid": WORKFLOW} | more))  # type: ignore[arg-type]


def only(request: str, answered: Answered) -> Callable[[str], Answered | None]:
    """Answer one kind of request with an error."""
    return lambda name: answered if name == request else None


@dataclass(frozen=True)
class Row:
    """A bad input: the flow, what Twilio does, the reason on the delivery, and what the doctor says beside it."""

    integration: Integration
    reason: str
    doctor: str
    fault: Callable[[str], Answered | None] = lambda _: None


TOO_LARGE = problem(400, 20001, "Attributes are too large")
FORBIDDEN = problem(403, 20403, "Forbidden")
REFUSED = "a parameter is not accepted"
ROWS = {
    "a workspace that is not there": Row(
        task(workspace_sid=ANOTHER), "20404): Twilio has no such resource in this", f"no workspace {ANOTHER}"
    ),
    "a workflow that is not there": Row(task(workflow_sid="WW" + "9" * 32), "400 (20001)", "no workflow WW999"),
    "attributes over the limit": Row(
        task(), REFUSED, REFUSED, only("POST Tasks", problem(400, 20001, "Attributes are too large"))
    ),
    "credentials without rights": Row(
        task(), "the account has no access", "Twilio refused access to", lambda _: problem(403, 20403, "Forbidden")
    ),
    "five webhooks already": Row(
        Integration("conversation", flow_sid=STUDIO),
        "has five webhooks already",
        "has five webhooks already",
        only("POST Webhooks", problem(400, 50361, "…")),
    ),
    "a chat service of another account": Row(Integration("conversation"), "20404", "no chat service IS111"),
    "a Studio flow that is not there": Row(
        Integration("conversation", flow_sid="FW" + "9" * 32),
        "20404",
        "no Studio flow FW999",
        only("POST Webhooks", problem(404, 20404, "…")),
    ),
}


def said(made: Settings, flow: FlexFlow) -> str:
    """Return the doctor's findings about a flow."""
    store = connect(made)
    try:
        found = [each for each in flows(made, made.accounts[0], store) if each.state != "good"]
    finally:
        store.close()
    return "\n".join(f"{each.found} → {each.advice}" for each in found if flow.sid in each.found)


def test_every_bad_input_has_its_reason_on_the_delivery_and_in_the_doctor(
    world: World, twilio: LocalTwilio, made: Settings
) -> None:
    """Each mistake in flow or account ends its message at once, with a reason on the delivery and in the doctor."""
    for name, row in ROWS.items():
        twilio.conversations.services = {"IS" + "0e" * 16} | (
            {"IS" + "1" * 32} if "chat service" not in name else set()
        )
        twilio.fault = row.fault
        flow = world.flow(integration=row.integration)
        ended = world.ends(world.text(flow).sid)
        assert (ended["status"], row.reason in ended["error"]) == ("undelivered", True), (name, ended["error"])
        reported = said(made, flow)
        assert row.doctor in reported, (name, reported)
        assert row.reason in reported, (name, reported)
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


def test_what_another_person_ended_at_twilio_is_begun_again(world: World, twilio: LocalTwilio, made: Settings) -> None:
    """After a Conversation was deleted, or its participant removed, the next message starts another one."""
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
    assert "does nothing for a Conversation, only for incomingMessage" in said(made, flow)


def test_what_comes_during_a_hand_over_is_in_its_conversation_once(world: World, twilio: LocalTwilio) -> None:
    """While the flow is paused, Twilio creates one contact's Conversation by itself, and not another contact's."""
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
    assert [twilio.conversations.said(theirs) for theirs in (both, ours)] == [["Hello"], ["Hello"]]


def test_answers_of_429_delay_nothing_else(world: World, twilio: LocalTwilio, made: Settings) -> None:
    """Other targets are served at once, `router doctor` says why these messages wait, and each becomes one task."""
    refused = iter(range(4))
    twilio.fault = lambda name: busy() if name == "POST Tasks" and next(refused, None) is not None else None
    slow = world.flow(integration=task(task_attributes=json.dumps({"row": "429"})))
    sids = [world.text(slow).sid for _ in range(6)]
    wait_until(lambda: "too many requests" in str(world.delivery(sids[0])["error"]), what="it is refused")
    assert "waiting: " in said(made, slow)
    with Target() as target:
        healthy = world.text(world.flow(target.url("/hook"), response="accept")).sid
        wait_until(lambda: healthy in arrived(target, "/hook"), what="another flow's message arrives", within=2)
    assert all(world.ends(sid, within=20)["status"] == "delivered" for sid in sids)
    rows = [json.loads(each["attributes"]) for each in list(twilio.tasks.tasks.values())]
    assert sorted(each["messageSid"] for each in rows if each.get("row") == "429") == sorted(sids)
    assert next(refused, None) is None
