"""`router deliveries tail`: messages of all routers and their changes, each printed once and in order."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from router.flow.flex_flow import FlexFlow
from router.queries.delivery_filter import Wanted
from router.queries.watch import NEW_MOST, WATCHED, Watch
from router.settings import load
from router.store import Store, connect
from router.store.lanes import new_token
from tests.e2e.commands import invoke
from tests.e2e.running import ROUTER, clean_environ
from tests.e2e.service import ACCOUNT, TOKEN
from tests.e2e.world import World, twiml
from tests.integrations.target import Target, answer, in_turn
from tests.valkey import ValkeyServer
from tests.waiting import wait_until

ALL = Wanted()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Two routers over one store."""
    valkey = ValkeyServer()
    world = World(tmp_path_factory.mktemp("world"), valkey, processes=2)
    yield world
    world.close()
    valkey.close()


@pytest.fixture
def target() -> Iterator[Target]:
    """A target that answers with a message."""
    with Target({"/hook": answer(body=twiml("Hello"))}) as target:
        yield target


def open_store(valkey: ValkeyServer) -> Store:
    """Open the store as the command does."""
    environ = {"ROUTER_REDIS_URL": valkey.url, "TWILIO_ACCOUNT_SID": ACCOUNT, "TWILIO_AUTH_TOKEN": TOKEN}
    return connect(load(environ))


def new_watch(world: World) -> Watch:
    """Make a watch, without beginning it."""
    return Watch(open_store(world.valkey), load({"TWILIO_ACCOUNT_SID": ACCOUNT, "TWILIO_AUTH_TOKEN": TOKEN}).accounts)


def begun_watch(world: World) -> Watch:
    """Make a watch, and begin it now."""
    watch = new_watch(world)
    watch.begin(ALL, 0)
    return watch


def watch_for(watch: Watch, wanted: int) -> list[tuple[str, str]]:
    """Look until the watch has reported so many changes; return SIDs and states."""
    reported: list[tuple[str, str]] = []

    def enough() -> bool:
        reported.extend((each.message_sid, each.state) for each in watch.look())
        return len(reported) >= wanted

    wait_until(enough, what=f"{wanted} lines")
    return reported


def test_messages_of_all_routers_are_printed_once(world: World, target: Target) -> None:
    """Messages that two routers accept at the same time are all reported, each once."""
    flow = world.flow(target.url("/hook"), response="relay")
    watch = begun_watch(world)
    with ThreadPoolExecutor(8) as pool:
        sids = {
            each.result().sid for each in [pool.submit(world.text, flow, process=n % 2) for n in range(40)]
        }  # each is delivered before it is answered, because the flow relays

    reported = watch_for(watch, 40)

    assert sorted(reported) == sorted((sid, "delivered") for sid in sids)
    assert watch.look() == []


def test_changes_are_reported(world: World, target: Target) -> None:
    """A message is reported when it is queued, delivered after a retry, received a second time, and replayed."""
    target.script["/fails"] = in_turn(answer(status=500), answer())
    flow = world.flow(target.url("/fails"), response="accept", paused=True)
    watch = begun_watch(world)
    fields = world.fields(flow)
    sid = world.post(fields).sid
    assert watch_for(watch, 1) == [(sid, "queued")]

    world.change(flow, paused=False)
    world.ends(sid)

    assert watch_for(watch, 1)[-1] == (sid, "delivered")
    world.post(fields)
    assert watch_for(watch, 1) == [(sid, "delivered")]
    assert watch.look() == []
    assert world.rest("POST", f"/v1/Deliveries/{sid}", {"Status": "queued"}).status == 200
    world.ends(sid)
    assert watch_for(watch, 1)[-1] == (sid, "delivered")


def test_the_newest_messages_are_printed_first(world: World, target: Target) -> None:
    """`tail` begins with the newest messages that match the filter, oldest first."""
    flow = world.flow(target.url("/hook"), response="relay")
    sids = [world.text(flow).sid for _ in range(5)]
    world.text(world.address())
    watch = new_watch(world)
    assert [each.message_sid for each in watch.begin(Wanted(to=flow.contact_identity), 3)] == sids[-3:]


class Command:
    """A `router deliveries tail` that runs."""

    def __init__(self, world: World, folder: Path, *options: str) -> None:
        environ = clean_environ(ROUTER_REDIS_URL=world.valkey.url, TWILIO_ACCOUNT_SID=ACCOUNT, TWILIO_AUTH_TOKEN=TOKEN)
        self._errors = folder / "errors"
        self._output = folder / "output"
        with self._errors.open("wb") as errors, self._output.open("wb") as output:
            self.process = subprocess.Popen(
                [ROUTER, "deliveries", "tail", *options], env=environ, stdout=output, stderr=errors
            )
        wait_until(lambda: "Watching" in self.errors or self.process.poll() is not None, what="it watches")

    @property
    def errors(self) -> str:
        """Return what it printed on stderr."""
        return self._errors.read_text()

    @property
    def lines(self) -> list[str]:
        """The lines that it has printed so far."""
        return self._output.read_text().splitlines()

    def ended(self) -> int:
        """Wait for its end."""
        return self.process.wait(20)


def test_json_is_one_line_per_message(world: World, target: Target, tmp_path: Path) -> None:
    """With --json each line is one message that matches the filter, and --count ends the command."""
    flow = world.flow(target.url("/hook"), response="relay")
    # `tail` may see a message before it is delivered, so only `delivered` is sure to be printed once.
    wanted = ("--to", flow.contact_identity, "--status", "delivered")
    command = Command(world, tmp_path, "--json", *wanted, "--lines", "0", "--count", "2")
    world.text(world.address())
    sids = [world.text(flow, process=n).sid for n in range(2)]
    assert command.ended() == 0, command.errors
    records: list[dict[str, Any]] = [json.loads(line) for line in command.lines]
    assert [(record["sid"], record["status"]) for record in records] == [(sid, "delivered") for sid in sids]


def test_a_line_has_state_sid_addresses_and_text(world: World, target: Target, tmp_path: Path) -> None:
    """A line has state, SID, addresses and text, without control characters; Ctrl-C ends it with exit status 0."""
    flow = world.flow(target.url("/hook"), response="relay")
    command = Command(world, tmp_path, "--lines", "0", "--status", "delivered")
    sid = world.text(flow, "+15550001111", Body="Hola\x1b[31m\nred").sid
    wait_until(lambda: command.lines, what="a line")
    os.kill(command.process.pid, signal.SIGINT)
    assert command.ended() == 0
    (line,) = command.lines
    for shown in ("delivered", sid, "+15550001111", flow.contact_identity, "Hola\N{REPLACEMENT CHARACTER}[31m ⏎ red"):
        assert shown in line
    assert "Traceback" not in command.errors


@pytest.mark.parametrize("command", ["list", "show", "tail"])
def test_no_text_of_a_delivery_controls_the_terminal(world: World, tmp_path: Path, command: str) -> None:
    """`list`, `show` and `tail` print no control character of a stored text."""
    evil = "\x1b[2J\x1b]0;title\x07\u202e\x9b31m\r[red]boo[/red]"
    sid = world.text(world.address(), "+15550002222").sid
    pairs = [(name, evil) for name in ("error", "answer", "why", "history", "said")]
    world.call("HSET", world.record(sid), *(word for pair in pairs for word in pair))
    if command == "tail":
        tail = Command(world, tmp_path, "--lines", "1", "--count", "1", "--from", "+15550002222")
        assert tail.ended() == 0, tail.errors
        shown = "\n".join(tail.lines)
    else:
        environ = {"ROUTER_REDIS_URL": world.valkey.url, "TWILIO_ACCOUNT_SID": ACCOUNT, "TWILIO_AUTH_TOKEN": TOKEN}
        given = ["--from", "+15550002222"] if command == "list" else [sid]
        shown = invoke("deliveries", command, *given, **environ).output
    assert "[red]boo[/red]" in shown
    assert not {"\x1b", "\x07", "\u202e", "\x9b", "\r"} & set(shown)


def test_tail_goes_on_after_an_outage_of_the_store(tmp_path: Path, spare_valkey: Any) -> None:
    """`tail` reports an outage of the store once, and prints the messages after it."""
    valkey = spare_valkey()
    world = World(tmp_path, valkey)
    try:
        flow = world.flow("http://127.0.0.1:9/", response="accept", paused=True)
        command = Command(world, tmp_path, "--lines", "0", "--count", "1", "--json")
        valkey.kill()
        wait_until(lambda: "trying again" in command.errors, what="the outage is reported")
        valkey.start()
        sid = wait_until(lambda: _taken(world, flow), what="a message is accepted")
        assert command.ended() == 0
        assert json.loads(command.lines[0])["sid"] == sid
        assert command.errors.count("trying again") == 1
    finally:
        world.close()


def _taken(world: World, flow: FlexFlow) -> str:
    reply = world.text(flow)
    return reply.sid if reply.status == 200 else ""


def test_too_many_messages_are_counted_instead_of_printed(valkey: ValkeyServer) -> None:
    """Of too many new messages at once, the newest are reported, the others are skipped, and none is reported twice."""
    store = open_store(valkey)
    accounts = load({"TWILIO_ACCOUNT_SID": ACCOUNT, "TWILIO_AUTH_TOKEN": TOKEN}).accounts
    watch = Watch(store, accounts)
    watch.begin(ALL, 10)
    total = NEW_MOST + 50
    for number in range(total):
        store.lanes.accept(
            token=new_token(),
            account_sid=ACCOUNT,
            message_sid=f"SM{number:032x}",
            lane=f"{number:024x}",
            disposition="unrouted",
            lease=False,
            versions=(),
            facts={"raw": b""},
        )
    reported = [each.message_sid for each in watch.look()]
    assert reported == [f"SM{number:032x}" for number in range(total - NEW_MOST, total)]
    assert watch.skipped
    assert watch.look() == []
    assert len(watch._known) <= WATCHED
