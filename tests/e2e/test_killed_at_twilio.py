"""Processes that are killed while they write tasks and Conversations at Twilio, and while contacts leave Proxy."""

import itertools
import json
import os
import random
import signal
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException
from urllib.parse import parse_qsl, urlsplit

import pytest

from router.flow.flex_flow import Integration
from router.store.keys import PROXY_TURN, AccountKeys
from tests.e2e.service import ACCOUNT, TOKEN
from tests.e2e.world import World
from tests.twilio.local import LocalTwilio
from tests.twilio.wire import Record
from tests.valkey import ValkeyServer
from tests.waiting import wait_until
from tests.web.visitor import Visitor, web_flow

WORKSPACE, WORKFLOW, STUDIO, PROXY = "WS" + "1" * 32, "WW" + "2" * 32, "FW" + "3" * 32, "KS" + "4" * 32
ROUTING = json.dumps({"properties": {"workspace_sid": WORKSPACE, "workflow_sid": WORKFLOW}})
# Shorter than the 30 s by which a captured message and its webhook may differ, as `pass_time` moves only the webhook.
LEASE = 20
KEYS = AccountKeys(ACCOUNT)


class ConcurrentTwilio(LocalTwilio):
    """A fake Twilio that can stop requests of chosen contacts, with Proxy's webhook.

    `hold` maps a contact to the request that is stopped, and to whether it is carried out before that: it is answered
    after `let_go`. `proxied` has all messages that Proxy received, by contact; the first one opens a session.
    """

    def __init__(self) -> None:
        super().__init__(ACCOUNT, TOKEN)
        self.tasks.workspaces[WORKSPACE] = {WORKFLOW}
        self.sessions.services.add(PROXY)
        self.lock = threading.RLock()
        self.hold: dict[str, tuple[str, bool]] = {}
        self.held: list[str] = []
        self.let_go = threading.Event()
        self.proxied: dict[str, list[str]] = defaultdict(list)
        self.session_of: dict[str, str] = {}

    def respond(
        self, method: str, target: str, body: bytes, headers: Mapping[str, str]
    ) -> tuple[int, Record | None, dict[str, str]]:
        """Answer the requests one after the other, except for those that are stopped."""
        path = urlsplit(target).path
        form = dict(parse_qsl(body.decode() or urlsplit(target).query))
        if "/Proxy/" in path:
            return self._proxy(form)
        with self.lock:
            theirs = self._customer_of(path, form)
            at, after = self.hold.get(theirs, ("", False))
            stops = at == f"{method} {_resource(path)}"
            if not stops or after:
                answered = super().respond(method, target, body, headers)
            if not stops:
                return answered
            del self.hold[theirs]
            self.held.append(theirs)
        self.let_go.wait(10)
        return 0, None, {}

    def _proxy(self, form: Mapping[str, str]) -> tuple[int, Record | None, dict[str, str]]:
        with self.lock:
            theirs = form["From"]
            self.proxied[theirs].append(form["Body"])
            if theirs not in self.session_of:
                self.session_of[theirs] = self.sessions.open(PROXY, theirs, form["To"])
        return 200, {}, {}

    def _customer_of(self, path: str, form: Mapping[str, str]) -> str:
        """Return the contact that a request concerns, "" for none."""
        sid = json.loads(form["Channel"])["properties"]["media_channel_sid"] if "Channel" in form else ""
        for part in [*path.split("/"), sid]:
            if part in self.conversations.found:
                return _named(self.conversations.found[part]["form"])
            if part in self.tasks.tasks:
                return str(json.loads(self.tasks.tasks[part]["attributes"])["from"])
        attributes = json.loads(form.get("Attributes") or "{}")
        if (of_chat := attributes.get("conversationSid")) in self.conversations.found:
            return _named(self.conversations.found[of_chat]["form"])
        return form.get("Address") or _named(form) or str(attributes.get("from", ""))


def _named(form: Mapping[str, str]) -> str:
    """Return the contact that a Conversation is made for; for a web chat, the chat's unique name."""
    unique = form.get("UniqueName", "")
    return unique if unique.startswith("router-chat-") else form.get("FriendlyName", "")


def _resource(path: str) -> str:
    """Return the resource of a path: `Tasks`, or `Tasks/WT` for one task."""
    *_, before, last = path.split("/")
    return f"{before}/{last[:2]}" if len(last) == 34 else last


@pytest.fixture(scope="module")
def twilio() -> Iterator[ConcurrentTwilio]:
    """The account's Twilio."""
    with ConcurrentTwilio() as running:
        yield running


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, twilio: ConcurrentTwilio) -> Iterator[World]:
    """Two processes that reach that Twilio."""
    valkey, urls = ValkeyServer(), {"ROUTER_TWILIO_API_URL": twilio.url, "ROUTER_TWILIO_WEBHOOKS_URL": twilio.url}
    folder = tmp_path_factory.mktemp("world")
    world = World(folder, valkey, processes=2, ROUTER_LEASE_SECONDS=str(LEASE), **urls)
    yield world
    world.close()
    valkey.close()


def kill(world: World, process: int) -> None:
    """Kill a router's worker with -9; its master starts another one."""
    for pid in world.services[process].workers():
        os.kill(pid, signal.SIGKILL)


WRITES = ("POST Conversations", "POST Webhooks", "POST Participants", "POST Messages", "POST Interactions")
TO_CONVERSATION = [("GET ParticipantConversations", False), *itertools.product(WRITES, (False, True))]
TO_TASK = [("POST Tasks", False), ("POST Tasks", True)]
OF_CHAT = list(itertools.product((*WRITES[:4], "POST Tasks"), (False, True)))
TO_OPEN_TASK = [("GET Tasks/WT", False), ("POST Tasks/WT", False), ("POST Tasks/WT", True)]


def test_writes_of_a_killed_process_are_finished_once(world: World, twilio: ConcurrentTwilio) -> None:
    """After a kill before or after each write for a task, a Conversation or a web chat, each object exists once."""
    attached = Integration("conversation", flow_sid=STUDIO, interaction=ROUTING)
    talk = world.flow(integration=attached)
    task = world.flow(integration=Integration("task", workspace_sid=WORKSPACE, workflow_sid=WORKFLOW))
    web = web_flow(world, integration=task.integration)
    visitors = [Visitor(world, web) for _ in OF_CHAT]
    for visitor in visitors:
        visitor.begin()
    chats = {
        f"router-chat-{each.began['conversation_sid']}": case for each, case in zip(visitors, OF_CHAT, strict=True)
    }
    talks, tasks, opened = (
        {world.address(): case for case in cases} for cases in (TO_CONVERSATION, TO_TASK, TO_OPEN_TASK)
    )
    for theirs in opened:
        assert world.ends(world.text(task, theirs).sid)["status"] == "delivered"
    twilio.hold |= talks | tasks | opened | chats
    sent = {theirs: world.text(talk, theirs).sid for theirs in talks}
    sent |= {theirs: world.text(task, theirs).sid for theirs in (*tasks, *opened)}
    sent |= {theirs: each.say("Hello").json["sid"] for theirs, each in zip(chats, visitors, strict=True)}
    wait_until(lambda: len(twilio.held) == len(sent), what="each request is stopped", within=10)
    kill(world, 0)
    twilio.let_go.set()
    world.pass_time(LEASE + 1)
    for sid in sent.values():
        assert world.ends(sid, within=20)["status"] == "delivered"
    _check_conversations(twilio, list(talks))
    of_chats = [each for each in twilio.conversations.found.values() if each["unique_name"] in chats]
    assert [_sizes(each) for each in of_chats] == [[1, 1, 1]] * len(chats)
    named = [json.loads(each["attributes"]).get("conversationSid") for each in twilio.tasks.tasks.values()]
    assert {*named} >= {each["sid"] for each in of_chats}
    counts = Counter[str]()
    for record in twilio.tasks.tasks.values():
        attributes = json.loads(record["attributes"])
        if "from" in attributes:  # others are of Interactions
            counts[attributes["from"]] += 1
            assert attributes["messageCount"] == 1 + (attributes["from"] in opened)
    assert counts == Counter([*tasks, *opened, *(f"web:{each.began['identity']}" for each in visitors)])


def _check_conversations(twilio: ConcurrentTwilio, talks: list[str]) -> None:
    found = [each for each in twilio.conversations.found.values() if each["form"]["FriendlyName"] in talks]
    assert sorted(each["form"]["FriendlyName"] for each in found) == sorted(talks)
    for each in found:
        assert _sizes(each) == [1, 1, 1], each["form"]
    asked = Counter(each["channel"]["properties"]["media_channel_sid"] for each in twilio.conversations.interactions)
    assert asked == Counter(each["sid"] for each in found)


def _sizes(conversation: Record) -> list[int]:
    return [len(conversation[name]) for name in ("webhooks", "participants", "messages")]


class Traffic:
    """Customers who each send one message after the other; Twilio adds it to a Conversation, and calls the webhook."""

    def __init__(self, world: World, twilio: ConcurrentTwilio, ours: str, contacts: int) -> None:
        self.world, self.twilio, self.ours = world, twilio, ours
        self.contacts = [world.address() for _ in range(contacts)]
        self.sent: dict[str, list[str]] = defaultdict(list)
        self._numbers = itertools.count(1)
        self._random = random.Random(7)  # noqa: S311 - not a secret

    def write(self, contacts: list[str], *, kills: bool = False) -> None:
        """Let these contacts write two messages each; with `kills` a process is killed meanwhile."""
        with ThreadPoolExecutor(max_workers=4) as pool:
            done = [pool.submit(self._write, theirs) for theirs in contacts]
            if kills:
                wait_until(lambda: sum(each.done() for each in done) > len(done) // 3, what="a third wrote", within=30)
                kill(self.world, 0)
            for each in done:
                each.result()
        self.world.pass_time(LEASE + 1)
        wait_until(self._is_quiet, what="all is delivered", within=20)

    def _write(self, theirs: str) -> None:
        for _ in range(2):
            body = f"message {next(self._numbers)}"
            with self.twilio.lock:
                self.twilio.conversations.receive(theirs, self.ours, body)
            fields, error = self.world.fields(self.ours, theirs, Body=body), dict[str, str]()
            for process in itertools.islice(itertools.cycle((0, 1)), self._random.randrange(2), 40):
                try:
                    status = self.world.post(fields | error, process=process).status
                except (OSError, HTTPException):  # cut short, or refused: Twilio calls the fallback
                    status = 0
                if status == 200:
                    break
                error = {"ErrorCode": "11200", "ErrorUrl": "https://router.example.com/webhooks/sms"}
            assert status == 200
            self.sent[theirs].append(body)

    def _is_quiet(self) -> bool:
        return not int(self.world.call("HGET", KEYS.queued, ACCOUNT) or 0)

    def moved(self) -> set[str]:
        """Return the contacts who have a message in a Conversation."""
        return {theirs for theirs in self.contacts if self.twilio.conversations.texts_of(theirs)}

    def check(self) -> None:
        """Check that each message is in Proxy, or once in a Conversation, and that no contact moves back to Proxy."""
        for theirs, bodies in self.sent.items():
            added, proxied = self.twilio.conversations.texts_of(theirs), self.twilio.proxied[theirs]
            assert sorted(added) == sorted(set(added)), theirs
            assert {*added, *proxied} == {*bodies}, theirs
            assert not {*added} & {*proxied}, theirs
            first = min((bodies.index(body) for body in added), default=len(bodies))
            assert {*proxied} == {*bodies[:first]}, theirs


def list_sessions(world: World) -> None:
    """Start a process that lists Proxy's sessions, and wait until it has listed them."""
    world.call("DEL", PROXY_TURN, KEYS.proxied)
    kill(world, 1)
    wait_until(lambda: world.call("EXISTS", KEYS.proxied), what="the sessions are listed", within=20)
    for key in world.call("KEYS", f"{KEYS.proxying}*"):  # as after five minutes
        world.call("DEL", key)


def test_mixed_traffic_of_proxy_and_conversations_under_kills(world: World, twilio: ConcurrentTwilio) -> None:
    """While contacts migrate and processes are killed, each message is in Proxy or once in a Conversation."""
    twilio.clear()
    proxy = Integration("proxy", proxy_service_sid=PROXY)
    old = world.flow(integration=proxy)
    new = world.flow(integration=Integration("conversation"), contact_identity=old.contact_identity, match="false")
    old = world.change(old, migrate_to=new.sid)
    traffic = Traffic(world, twilio, old.contact_identity, 40)
    talking, others = traffic.contacts[:10], traffic.contacts[10:]
    traffic.write(talking)
    assert {*twilio.session_of} == {*talking}
    list_sessions(world)
    moved: list[set[str]] = []
    for percent in (10, 50, 100):
        old = world.change(old, migrate_percent=percent)
        traffic.write([*talking[:5], *others[: 10 * (1 + percent // 50)]], kills=True)
        moved.append(traffic.moved())
        assert not moved[-1] & {*talking}
    assert len(moved[0]) < len(moved[1]) < len(moved[2])
    assert moved[0] <= moved[1] <= moved[2]
    for sid in twilio.session_of.values():
        twilio.sessions.close(sid)
    list_sessions(world)
    traffic.write(traffic.contacts)
    assert traffic.moved() == {*traffic.contacts}
    traffic.check()
