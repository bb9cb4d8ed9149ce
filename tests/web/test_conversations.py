"""Flows that share an address, over real processes: rules, languages, and conversations that keep their flow."""

from collections.abc import Iterator
from functools import partial
from itertools import count
from typing import Any

import pytest

from router.flow.flex_flow import FlexFlow
from tests.e2e.world import EMPTY, Reply, World, twiml
from tests.integrations.target import Target, answer
from tests.valkey import ValkeyServer
from tests.waiting import wait_until
from tests.web.accounts import CONFIG

_NUMBERS = count(100)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Two routers of one process each over one store: consecutive messages go to different processes."""
    valkey = ValkeyServer()
    world = World(tmp_path_factory.mktemp("world"), valkey, processes=2, config=CONFIG)
    yield world
    world.close()
    valkey.close()


@pytest.fixture(scope="module")
def target() -> Iterator[Target]:
    """A target with its own path for each flow."""
    with Target() as running:
        yield running


class Driver:
    """An address with flows for two languages, and a default flow."""

    def __init__(self, world: World, target: Target, **more: bool) -> None:
        self.world, self.target = world, target
        self.ours, self.theirs = world.address(), world.address()
        self.spanish = self.flow("es", language=("es",), **more)
        self.french = self.flow("fr", language=("fr",))
        self.rest = self.flow("rest")

    def flow(self, name: str, **more: Any) -> FlexFlow:
        """Add a relaying flow for the address, so that an answer means that the message arrived."""
        path = f"/{name}-{next(_NUMBERS)}"
        self.target.script[path] = answer(200)
        return self.world.flow(self.target.url(path), contact_identity=self.ours, **more)

    def path(self, flow: FlexFlow) -> str:
        """Return the flow's path at the target."""
        return f"/{flow.integration.url.rpartition('/')[2]}"

    def says(self, body: str, *, lang: str = "", process: int = 0, **fields: str) -> Reply:
        """Send a customer's message."""
        path = f"/webhooks/sms?lang={lang}" if lang else "/webhooks/sms"
        reply = self.world.post(self.world.fields(self.ours, self.theirs, Body=body, **fields), path, process=process)
        assert reply.status == 200
        return reply

    def goes(self, body: str, *, lang: str = "", process: int = 0, **fields: str) -> str | None:
        """Send a customer's message and return the SID of its flow."""
        sid = self.says(body, lang=lang, process=process, **fields).sid
        went: str | None = self.world.ends(sid)["flex_flow_sid"]
        return went

    def explained(self, body: str, lang: str = "") -> dict[str, object]:
        """Return what /v1/Routes answers for a customer's message."""
        form = {"To": self.ours, "From": self.theirs, "Body": body, "lang": lang, "FromCountry": "JP"}
        found: dict[str, object] = self.world.rest("POST", "/v1/Routes", form).json
        return found


@pytest.fixture
def driver(world: World, target: Target) -> Driver:
    """An address and a customer for this test alone."""
    return Driver(world, target)


def test_a_conversation_keeps_its_flow_on_every_process(driver: Driver) -> None:
    """After one Spanish message, "ok", "1" and a link go to the Spanish flow on either process."""
    assert driver.goes("Hola", lang="es", FromCountry="JP") == driver.spanish.sid
    for body, process in (("ok", 1), ("1", 0), ("https://example.com", 1), ("", 0)):
        assert driver.goes(body, process=process, FromCountry="JP") == driver.spanish.sid
    assert dict(driver.target.requests[-1].headers)["X-Router-Language"] == "es"
    sid = driver.says("ok", FromCountry="JP").sid
    delivery = driver.world.ends(sid)
    assert delivery["language"] == "es"
    assert delivery["route"][-1] == f"The conversation stays with {driver.spanish.sid} in es"
    assert driver.world.log("webhook", message_sid=sid)[0]["kept"] is True


def test_another_customer_is_decided_apart(driver: Driver) -> None:
    """One customer's conversation does not affect another customer's routing."""
    assert driver.goes("Hola", lang="es", FromCountry="JP") == driver.spanish.sid
    driver.theirs = driver.world.address()
    assert driver.goes("ok", FromCountry="JP") == driver.rest.sid


def test_a_conversation_leaves_a_flow_that_is_disabled(driver: Driver) -> None:
    """The first message after a flow was disabled goes to another flow."""
    assert driver.goes("Hola", lang="fr", process=1, FromCountry="JP") == driver.french.sid
    assert driver.goes("ok", process=1, FromCountry="JP") == driver.french.sid
    driver.world.change(driver.french, enabled=False)
    assert driver.goes("ok", process=1, FromCountry="JP") == driver.rest.sid


def test_a_match_on_the_text_moves_the_conversation(driver: Driver) -> None:
    """A Match on the text moves a conversation to its flow, and it stays there."""
    assert driver.goes("Hola", lang="es", FromCountry="JP") == driver.spanish.sid
    sales = driver.flow("sales", match='body.startsWith("#")')
    assert driver.goes("#42", process=1, FromCountry="JP") == sales.sid
    assert driver.goes("ok", FromCountry="JP") == sales.sid


def test_an_opt_out_does_not_move_the_conversation(driver: Driver) -> None:
    """An opt-out goes to its own flow, and the conversation keeps its flow."""
    leaving = driver.flow("leaving", match='opt_out_type == "STOP"')
    assert driver.goes("Hola", lang="es", FromCountry="JP") == driver.spanish.sid
    assert driver.goes("STOP", FromCountry="JP") == leaving.sid
    assert driver.goes("ok", process=1, FromCountry="JP") == driver.spanish.sid


def test_a_language_command_moves_the_conversation_and_counts_at_other_addresses(world: World, target: Target) -> None:
    """A language command moves the conversation, and decides the first message to another address."""
    driver = Driver(world, target, language_commands=True)
    assert driver.goes("Bonjour", lang="fr", FromCountry="JP") == driver.french.sid
    assert driver.goes("ESPAÑOL", FromCountry="JP") == driver.spanish.sid
    assert driver.goes("ok", process=1, FromCountry="JP") == driver.spanish.sid
    other = Driver(world, target)
    other.theirs = driver.theirs
    assert other.goes("ok", process=1, FromCountry="JP") == other.spanish.sid


def test_routes_respects_the_conversation_and_changes_nothing(driver: Driver) -> None:
    """`/v1/Routes` names the flow that the conversation stays with, and changes nothing."""
    assert driver.explained("ok")["flex_flow_sid"] == driver.rest.sid
    assert driver.explained("Hola", lang="es")["flex_flow_sid"] == driver.spanish.sid
    assert driver.explained("ok")["flex_flow_sid"] == driver.rest.sid
    driver.goes("Hola", lang="es", FromCountry="JP")
    reported = driver.explained("ok")
    assert (reported["flex_flow_sid"], reported["language"], reported["kept"]) == (driver.spanish.sid, "es", True)


def test_messages_of_one_conversation_keep_their_order_when_it_moves(driver: Driver) -> None:
    """When a conversation moves to another flow, its messages are still sent in order."""
    driver.goes("Hola", lang="es", FromCountry="JP")
    paused = driver.world.change(driver.spanish, paused=True)
    first = driver.says("ok", FromCountry="JP").sid
    rule = driver.flow("rule", match='body == "#"')
    second = driver.says("#", process=1, FromCountry="JP").sid
    assert driver.world.delivery(first)["status"] == driver.world.delivery(second)["status"] == "queued"
    driver.world.change(paused, paused=False)
    assert driver.world.ends(second, within=20)["flex_flow_sid"] == rule.sid
    assert driver.world.delivery(first)["status"] == "delivered"
    at = [request.target for request in driver.target.requests]
    wait_until(lambda: at[-1].startswith("/rule"), what="the second message arrived last")


def test_a_match_that_fails_is_false_shown_and_counted(driver: Driver) -> None:
    """A Match that fails for a message is false, shown on the delivery, and counted by flow."""
    failing = driver.flow("failing", match="int(body) > 3")
    sid = driver.says("not a number", FromCountry="JP").sid
    delivery = driver.world.ends(sid)
    assert delivery["flex_flow_sid"] == driver.rest.sid
    assert any(failing.sid in step and "could not be evaluated" in step for step in delivery["route"])
    assert driver.world.metric("router_match_failed_total", flex_flow_sid=failing.sid) == 1


def test_a_duplicate_is_answered_by_the_flow_that_took_the_message(world: World, target: Target) -> None:
    """A duplicate gets the FallbackTwiml of the message's flow, not of the flow that its text alone selects."""
    driver = Driver(world, target)
    world.change(driver.rest, response="accept")
    assert driver.goes("Hola", lang="es", FromCountry="JP") == driver.spanish.sid
    target.script[driver.path(driver.spanish)] = answer(400)
    world.change(driver.spanish, fallback_twiml=twiml("Un momento").decode())
    fields = world.fields(driver.ours, driver.theirs, Body="ok", FromCountry="JP")
    assert world.post(fields).body == twiml("Un momento")
    assert world.ends(fields["MessageSid"])["flex_flow_sid"] == driver.spanish.sid
    assert world.post(fields, process=1).body == twiml("Un momento")


def test_a_kept_flows_answer_is_relayed_whatever_the_default_flow_does(world: World, target: Target) -> None:
    """The answer of a conversation's flow is relayed, whether the default flow is disabled, paused or redirects."""
    driver = Driver(world, target)
    target.script[driver.path(driver.spanish)] = answer(200, twiml("Hola"))
    assert driver.says("Hola", lang="es", FromCountry="JP").body == twiml("Hola")
    rest = driver.rest
    for change in ({"enabled": False}, {"enabled": True, "paused": True}, {"paused": False, "response": "redirect"}):
        rest = world.change(rest, **change)
        for process in (0, 1):
            assert driver.says("ok", process=process, FromCountry="JP").body == twiml("Hola")
    world.change(driver.spanish, paused=True)
    waits = driver.says("ok", FromCountry="JP")
    assert waits.body == EMPTY
    assert world.delivery(waits.sid)["attempts"] == 0
    for process in (0, 1):
        wait_until(partial(_idle, world, process), what="all slots are free")


def _idle(world: World, process: int) -> bool:
    return world.metric("router_slots_in_use", process=process) == 0
