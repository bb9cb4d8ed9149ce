"""Web chats while processes are killed: a visitor's message is never lost, never doubled, and never out of order."""

import os
import random
import signal
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from router.flow.web_chat import WebChat
from router.store.keys import TURN
from tests.e2e.service import Service
from tests.e2e.store_gate import StoreGate
from tests.e2e.world import Reply, World, arrived, twiml
from tests.integrations.target import Target, answer
from tests.valkey import ValkeyServer
from tests.waiting import wait_until
from tests.web.visitor import Visitor, web_flow

VISITORS = 6
EACH = 16  # of the 30 that a chat may have in a minute


class Writer(threading.Thread):
    """A visitor who repeats each message, with its id, until the answer is 200 or 201."""

    def __init__(self, visitor: Visitor, number: int) -> None:
        super().__init__(daemon=True)
        self.visitor = visitor
        self.sids: list[str] = []
        self.repeated = 0
        self._random = random.Random(number)  # noqa: S311 - not a secret
        self.start()

    def run(self) -> None:
        """Send the messages, one after the other, to any of the processes."""
        for number in range(EACH):
            while len(self.sids) == number:
                self.visitor.process = self._random.randrange(2)
                try:
                    reply = self.visitor.say(f"{number}", f"id {number}")
                except (OSError, HTTPException):  # cut short: sent again with the same id
                    self.repeated += 1
                    continue
                if reply.status in (200, 201):
                    assert reply.json["index"] >= number
                    self.sids.append(reply.json["sid"])
                else:
                    assert reply.status == 503, reply.body
                    self.repeated += 1


def test_kills_lose_and_double_no_chat_message(tmp_path: Path, spare_valkey: Callable[..., ValkeyServer]) -> None:
    """While visitors write, no kill -9 of workers, a master or the store loses, doubles or reorders a message."""
    valkey = spare_valkey()
    world = World(tmp_path, valkey, processes=2)
    try:
        with Target() as target:
            target.script["/hook"] = answer(200, twiml("answered"), "text/xml")
            flow = web_flow(world, target.url("/hook"))
            visitors = [Visitor(world, flow) for _ in range(VISITORS)]
            for each in visitors:
                assert each.begin().status == 201
            writers = [Writer(each, number) for number, each in enumerate(visitors)]
            first, second = world.services

            def kill_workers(service: Service) -> None:
                for pid in service.workers():
                    os.kill(pid, signal.SIGKILL)

            def kill_master() -> None:
                second.kill()
                second.start()

            def kill_store() -> None:
                valkey.kill()
                valkey.start()

            kills: list[Callable[[], None]] = [partial(kill_workers, first), kill_master, kill_store]
            kills.append(partial(kill_workers, second))
            for number, kill in enumerate(kills):
                aim = VISITORS * EACH * (1 + 2 * number) // 8
                wait_until(partial(_reached, writers, aim), what=f"{aim} messages are sent", within=60)
                kill()
            for writer in writers:
                writer.join(60)
                assert not writer.is_alive()
            _check(writers, target)
    finally:
        world.close()


def _reached(writers: list[Writer], aim: int) -> bool:
    return sum(len(writer.sids) for writer in writers) >= aim


def _answered(visitor: Visitor) -> list[dict[str, Any]]:
    """Wait by long polls, whose number is limited, until every message of a visitor is answered."""
    found: list[dict[str, Any]] = []

    def all_there() -> bool:
        after = found[-1]["index"] if found else -1
        reply = visitor.ask("GET", f"/chat/events?wait=5&after={after}")
        found.extend(reply.json["messages"] if reply.status == 200 else ())  # 503 while the store is slow
        return sum(not each["own"] for each in found) >= EACH

    wait_until(all_there, what="every message is answered", within=60)
    return found


def _check(writers: list[Writer], target: Target) -> None:
    expected = [f"{number}" for number in range(EACH)]
    for writer in writers:
        visitor = writer.visitor

        messages = _answered(visitor)
        own = [each for each in messages if each["own"]]
        assert [each["body"] for each in own] == expected
        assert [each["sid"] for each in own] == writer.sids
        assert sum(not each["own"] for each in messages) == EACH
        assert [each["index"] for each in messages] == list(range(2 * EACH))
    received: dict[str, list[str]] = defaultdict(list)
    for request in list(target.requests):
        fields = parse_qs(request.body.decode())
        if fields["MessageSid"][0] not in received[fields["From"][0]]:
            received[fields["From"][0]].append(fields["MessageSid"][0])
    for writer in writers:
        assert received[f"web:{writer.visitor.began['identity']}"] == writer.sids


@pytest.fixture(scope="module")
def valkey_behind_gate() -> Iterator[ValkeyServer]:
    """The store behind `gate`."""
    valkey = ValkeyServer()
    yield valkey
    valkey.close()


@pytest.fixture(scope="module")
def gate(valkey_behind_gate: ValkeyServer) -> Iterator[StoreGate]:
    """A proxy before the store, which can stop a call."""
    gate = StoreGate(valkey_behind_gate)
    yield gate
    gate.close()


@pytest.fixture(scope="module")
def gated(
    tmp_path_factory: pytest.TempPathFactory, valkey_behind_gate: ValkeyServer, gate: StoreGate
) -> Iterator[World]:
    """A router of one process behind the gate."""
    world = World(tmp_path_factory.mktemp("gated"), valkey_behind_gate, ROUTER_REDIS_URL=gate.url)
    yield world
    world.close()


def kill(world: World) -> None:
    """Kill the router's worker, and wait for the next one, which can do the upkeep at once."""
    service = world.services[0]
    (old,) = service.workers()
    world.call("DEL", TURN)
    os.kill(old, signal.SIGKILL)
    wait_until(lambda: service.workers() not in ([old], []), what="another process is there")
    world.pass_time(30)  # until the leases of the killed one have ended


def kill_during(world: World, gate: StoreGate, request: Callable[[], Reply], *, replies: bool) -> None:
    """Kill the router during a request: before the store gets its `accept`, or with `replies` after that."""
    gate.stop_at("accept", replies=replies)
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(request)
        gate.wait()
        kill(world)
        assert isinstance(asking.exception(), (OSError, HTTPException))


def test_the_end_of_a_chat_is_reported_once_after_a_kill(gated: World, gate: StoreGate) -> None:
    """If a router is killed while it ends a chat, the next process reports the end once, after all messages."""
    with Target() as target:
        for replies in (False, True):
            path = f"/{replies}"
            flow = web_flow(gated, target.url(path), web_chat=WebChat(state_events=True), response="accept")
            visitor = Visitor(gated, flow)
            assert visitor.begin().status == 201
            sids = [visitor.say(text).json["sid"] for text in ("one", "two")]
            wait_until(lambda: arrived(target, path) == sids, what="the messages are delivered")  # noqa: B023
            kill_during(gated, gate, lambda: visitor.ask("POST", "/chat/end", {}), replies=replies)  # noqa: B023
            wait_until(lambda: arrived(target, path)[2:], what="the end is reported")  # noqa: B023
            assert visitor.ask("POST", "/chat/end", {}).json == {"state": "closed"}
            event = parse_qs(target.requests[-1].body.decode())
            assert (event["EventType"], event["StateFrom"]) == (["onConversationStateUpdated"], ["active"])
            assert arrived(target, path) == [*sids, event["MessageSid"][0]]
            assert gated.ends(event["MessageSid"][0])["status"] == "delivered"
        # The upkeep of the second process did not report the first chat's end again.
        assert len(target.requests) == 6


def test_a_message_repeated_after_a_kill_is_one_message(gated: World, gate: StoreGate) -> None:
    """If a router is killed while it accepts a visitor's message, the repeated request makes no second message."""
    with Target() as target:
        for replies in (False, True):
            path = f"/{replies}"
            visitor = Visitor(gated, web_flow(gated, target.url(path), response="accept"))
            assert visitor.begin().status == 201
            first = visitor.say("one").json["sid"]
            gated.ends(first)
            kill_during(gated, gate, lambda: visitor.say("two", "its id"), replies=replies)  # noqa: B023
            repeated = visitor.say("two", "its id")
            assert (repeated.status, repeated.json["index"]) == (200 if replies else 201, 1)
            last = visitor.say("three").json["sid"]
            gated.ends(last)
            assert arrived(target, path) == [first, repeated.json["sid"], last]
            visitor.sees("one", "two", "three")
