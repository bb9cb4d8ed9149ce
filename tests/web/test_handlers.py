"""Handlers behind a running router: a handler that blocks or fails does not affect webhooks or other handlers."""

import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from router.flow.flex_flow import FlexFlow, Integration
from tests.e2e.running import is_alive
from tests.e2e.service import ROOT
from tests.e2e.world import World
from tests.integrations.target import Target
from tests.valkey import ValkeyServer
from tests.waiting import wait_until

PATH = "tests.integrations.handlers"
NAMES = ("pid", "blocks", "raises", "holds")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A router of one process with attempts of 2 s and relays of 0.3 s."""
    valkey = ValkeyServer()
    config = "[handlers]\n" + "".join(f'{name} = "{PATH}:{name}"\n' for name in NAMES)
    folder = tmp_path_factory.mktemp("world")
    world = World(
        folder, valkey, config=config, ROUTER_LEASE_SECONDS="10", ROUTER_RELAY_SECONDS="0.3", PYTHONPATH=str(ROOT)
    )
    yield world
    world.close()
    valkey.close()


@pytest.fixture
def target() -> Iterator[Target]:
    """A target for this test alone."""
    with Target() as running:
        yield running


def _flow(world: World, name: str, retry_count: int = 3) -> FlexFlow:
    return world.flow(integration=Integration("handler", handler=name, retry_count=retry_count))


def _children(world: World) -> list[int]:
    (worker,) = world.services[0].workers()
    return [int(pid) for pid in Path(f"/proc/{worker}/task/{worker}/children").read_text().split()]


def test_a_handler_that_blocks_does_not_stop_webhooks_or_other_handlers(world: World, target: Target) -> None:
    """While a handler blocks, webhooks and other handlers answer; after two lost processes its message is given up."""
    blocking = world.text(_flow(world, "blocks", retry_count=20))
    assert world.delivery(blocking.sid)["status"] == "sending"
    flow, pid = world.flow(target.url("/hook"), response="accept"), _flow(world, "pid")
    with world.sending(*[lambda: world.text(flow)] * 20) as sent:
        assert [each.reply().status for each in sent] == [200] * 20
    answered = world.text(pid)
    delivery = world.ends(blocking.sid, within=30)
    assert delivery["status"] == "undelivered"
    assert delivery["attempts"] == 2
    lost = rf"handler {PATH}:blocks blocked for [\d.]+ s; its process was replaced"
    assert re.fullmatch(rf"{lost}; given up after its process was lost 2 times", delivery["error"])
    wait_until(lambda: len(world.log("attempt", message_sid=blocking.sid)) == 2, what="both attempts are logged")
    logged = [line["reason"] for line in world.log("attempt", message_sid=blocking.sid)]
    assert re.fullmatch(lost, logged[0])
    assert logged[1:] == [delivery["error"]]
    assert world.ends(answered.sid)["status"] == "delivered"


def test_an_exception_of_a_handler_is_kept_and_logged_without_its_text(world: World) -> None:
    """The delivery keeps a handler's exception with its frames; the log has the frames without the exception's text."""
    sid = world.text(_flow(world, "raises", retry_count=0), "+15551239876", Body="the customer").sid
    delivery = world.ends(sid)
    assert delivery["error"].startswith(f"handler {PATH}:raises raised ValueError: +15•••76")
    said = delivery["target_said"]
    assert said["type"] == "traceback"
    assert [line.rpartition(":")[0] for line in said["text"].splitlines()] == ["tests/integrations/handlers.py"] * 2
    (line,) = world.log("attempt", message_sid=sid)
    assert line["frames"] == said["text"]
    assert line["reason"].startswith(f"handler {PATH}:raises raised ValueError (tests/integrations/handlers.py:")
    assert "+15•••76" not in line["reason"]


def test_a_stop_waits_for_a_handler(tmp_path: Path, spare_valkey: Callable[..., ValkeyServer]) -> None:
    """TERM waits until a running handler ends, settles its message, and leaves no process."""
    config = f'[handlers]\nholds = "{PATH}:holds"\n'
    world = World(
        tmp_path,
        spare_valkey(),
        config=config,
        ROUTER_LEASE_SECONDS="30",
        ROUTER_RELAY_SECONDS="0.3",
        PYTHONPATH=str(ROOT),
    )
    try:
        go_on = tmp_path / "go on"
        sid = world.text(_flow(world, "holds"), Body=str(go_on)).sid
        (child,) = wait_until(lambda: _children(world), what="the handler's process is there")
        service = world.services[0]
        assert service.process is not None
        service.process.send_signal(signal.SIGTERM)
        wait_until(lambda: "Handling signal: term" in service.log.read_text(), what="it stops")
        assert is_alive(child)
        go_on.touch()
        assert service.process.wait(60) == 0
        assert not is_alive(child)
        service.start()
        assert world.delivery(sid)["status"] == "delivered"
    finally:
        world.close()
