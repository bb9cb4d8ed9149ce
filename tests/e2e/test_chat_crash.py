"""Web chats while processes are killed: a visitor's message is never lost, never doubled, and never out of order."""

import os
import random
import signal
import threading
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from tests.e2e.service import Service
from tests.e2e.world import World, twiml
from tests.integrations.target import Target, answer
from tests.valkey import ValkeyServer
from tests.waiting import wait_until
from tests.web.visitor import Visitor, web_flow

VISITORS = 6
EACH = 16  # of the 30 that a chat may have in a minute


class Talker(threading.Thread):
    """A visitor who sends each message, with its id, until an answer says that it is kept."""

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


def test_killing_anything_loses_and_doubles_nothing(tmp_path: Path, spare_valkey: Callable[..., ValkeyServer]) -> None:
    """Workers, a master and the store are killed with -9 while visitors write and a webhook answers each message."""
    valkey = spare_valkey()
    world = World(tmp_path, valkey, processes=2)
    try:
        with Target() as target:
            target.script["/hook"] = answer(200, twiml("answered"), "text/xml")
            flow = web_flow(world, target.url("/hook"))
            visitors = [Visitor(world, flow) for _ in range(VISITORS)]
            for each in visitors:
                assert each.begin().status == 201
            talkers = [Talker(each, number) for number, each in enumerate(visitors)]
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
                wait_until(partial(_reached, talkers, aim), what=f"{aim} messages are sent", within=60)
                kill()
            for talker in talkers:
                talker.join(60)
                assert not talker.is_alive()
            _check(talkers, target)
    finally:
        world.close()


def _reached(talkers: list[Talker], aim: int) -> bool:
    return sum(len(talker.sids) for talker in talkers) >= aim


def _answered(visitor: Visitor) -> list[dict[str, Any]]:
    """Wait until every message of a visitor is answered: by long polls, for there is a limit of them."""
    found: list[dict[str, Any]] = []

    def all_there() -> bool:
        after = found[-1]["index"] if found else -1
        reply = visitor.ask("GET", f"/chat/events?wait=5&after={after}")
        found.extend(reply.json["messages"] if reply.status == 200 else ())  # 503 while the store is slow
        return sum(not each["own"] for each in found) >= EACH

    wait_until(all_there, what="every message is answered", within=60)
    return found


def _check(talkers: list[Talker], target: Target) -> None:
    expected = [f"{number}" for number in range(EACH)]
    for talker in talkers:
        visitor = talker.visitor

        messages = _answered(visitor)
        own = [each for each in messages if each["own"]]
        assert [each["body"] for each in own] == expected
        assert [each["sid"] for each in own] == talker.sids
        assert sum(not each["own"] for each in messages) == EACH
        assert [each["index"] for each in messages] == list(range(2 * EACH))
    arrived: dict[str, list[str]] = defaultdict(list)
    for request in list(target.requests):
        fields = parse_qs(request.body.decode())
        if fields["MessageSid"][0] not in arrived[fields["From"][0]]:
            arrived[fields["From"][0]].append(fields["MessageSid"][0])
    for talker in talkers:
        assert arrived[f"web:{talker.visitor.began['identity']}"] == talker.sids
