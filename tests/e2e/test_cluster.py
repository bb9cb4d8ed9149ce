"""Routers over a Cluster while it changes: a node dies, a slot moves; an account on each node sends all the time.

The router logs in as the user of docs/operations.md, which may do what the router needs only.
"""

import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest

from router.flow.flex_flow import FlexFlow, Integration
from router.process.preload import FOUND
from router.store.keys import chat_channel
from tests.cluster import Cluster, Node, accounts_of, slot_of
from tests.e2e.world import Reply, World, arrived, sign, twiml
from tests.integrations.target import Target, answer
from tests.waiting import wait_until
from tests.web.visitor import Visitor, web_flow

# Twilio calls the fallback URL after a 503, and only if there is time: DESIGN 3.
REFUSED_WITHIN = 2.5
ACCOUNTS = [accounts_of(number)[0] for number in range(3)]
TOKENS = dict(zip(ACCOUNTS, ("6" * 32, "7" * 32, "8" * 32), strict=True))


@dataclass
class Talk:
    """A conversation of one account, whose customer sends the next message when the last one was answered."""

    world: World
    flow: FlexFlow
    theirs: str
    target: Target
    replies: list[Reply] = field(default_factory=list)

    @property
    def taken(self) -> list[str]:
        """The messages that were acknowledged, in order."""
        return [reply.sid for reply in list(self.replies) if reply.status == 200]

    def is_delivered(self) -> bool:
        """Say whether all that was acknowledged has come to the target, in order; repeats may have come, too."""
        taken = self.taken
        return [sid for sid in dict.fromkeys(arrived(self.target, f"/{self.flow.sid}")) if sid in set(taken)] == taken

    def send(self) -> Reply:
        """Send one message."""
        fields = self.world.fields(self.flow, self.theirs, AccountSid=self.flow.account_sid)
        signature = sign("/webhooks/sms", fields, key=TOKENS[self.flow.account_sid])
        self.replies.append(self.world.post(fields, X_Twilio_Signature=signature))
        return self.replies[-1]


class Town:
    """A router over a Cluster that waits for a replica, and a conversation of an account on each node."""

    def __init__(self, folder: Any, target: Target) -> None:
        self.cluster = Cluster(user=True)
        config = "redis_replicas = 1\n"
        config += "".join(f'[[account]]\nsid = "{sid}"\nauth_tokens = ["{token}"]\n' for sid, token in TOKENS.items())
        self.world = World(folder, self.cluster, config=config, **{FOUND: ""})  # type: ignore[arg-type]  # it has a URL
        self.target = target

    def talks(self) -> list[Talk]:
        """Begin a conversation of each account."""
        flows = [self.world.flow(self.target.url(""), account=sid, response="accept") for sid in ACCOUNTS]
        for number, flow in enumerate(flows):
            self.target.script[f"/{flow.sid}"] = answer(200)
            integration = Integration("external", url=self.target.url(f"/{flow.sid}"))
            flows[number] = self.world.change(flow, integration=integration)
        return [Talk(self.world, flow, self.world.address(), self.target) for flow in flows]

    def ready(self) -> dict[str, Any]:
        """Return the answer of /readyz, which must be 200."""
        reply = self.world.send("GET", "/readyz", b"", {})
        assert reply.status == 200, reply.body
        return dict(reply.json["store"])

    def close(self) -> None:
        """End everything."""
        self.world.close()
        self.cluster.close()


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """One Cluster for the tests of this file, which leave it whole."""
    with Target() as target:
        made = Town(tmp_path_factory.mktemp("town"), target)
        yield made
        made.close()


@contextmanager
def sending(talks: list[Talk]) -> Iterator[None]:
    """Let all customers send until the end of the block."""
    stop = threading.Event()

    def run(talk: Talk) -> None:
        while not stop.is_set():
            talk.send()

    threads = [threading.Thread(target=run, args=(talk,)) for talk in talks]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def _more(talks: list[Talk], count: int = 10, within: float = 10) -> None:
    """Wait until so many more messages of each are acknowledged."""
    before = [len(talk.taken) for talk in talks]
    wait_until(
        lambda: all(len(talk.taken) >= had + count for talk, had in zip(talks, before, strict=True)),
        what="more messages are acknowledged",
        within=within,
    )


def _are_delivered(talks: list[Talk]) -> None:
    """Wait until nothing that was acknowledged is missing at the targets."""
    wait_until(lambda: all(talk.is_delivered() for talk in talks), what="all is delivered, in order", within=20)


def test_resources_and_figures_are_those_of_all_nodes(town: Town) -> None:
    """REST creates flows and shows messages for accounts of any node; /readyz lists three nodes."""
    for account in ACCOUNTS:
        town.target.script["/said"] = answer(200, twiml(account), "text/xml")
        ours, rest = town.world.address(), partial(town.world.rest, user=account, secret=TOKENS[account])
        form = {"FriendlyName": "by REST", "ChatServiceSid": "IS" + "1" * 32, "ChannelType": "sms"}
        form |= {"ContactIdentity": ours, "IntegrationType": "external", "Integration.Url": town.target.url("/said")}
        made = rest("POST", "/v1/FlexFlows", form)
        assert made.status == 201, made.body
        fields = town.world.fields(ours, AccountSid=account)
        reply = town.world.post(fields, X_Twilio_Signature=sign("/webhooks/sms", fields, key=TOKENS[account]))
        assert (reply.status, reply.body) == (200, twiml(account))
        assert rest("GET", f"/v1/Deliveries/{reply.sid}").json["status"] == "delivered"
        assert rest("DELETE", f"/v1/FlexFlows/{made.json['sid']}").status == 204
        assert town.world.metric("router_messages_kept", account_sid=account) == 1
        assert town.world.metric("router_store_node_up", node=town.cluster.owner(account).name) == 1
    said = town.ready()
    assert said["nodes"] == {"value": "3 of 3 answer, 16,384 of 16,384 slots have a node", "good": True}
    assert said["replicas"] == {"value": "1 connected, 1 must confirm a message", "good": True}


def test_a_chat_is_heard_on_its_node_and_where_its_slot_moves(town: Town) -> None:
    """Events of a chat are published on its account's node only; a stream also receives them after a slot was moved."""
    account, (source, target) = ACCOUNTS[0], town.cluster.nodes[:2]
    visitor = Visitor(town.world, web_flow(town.world, account_sid=account, response="accept"))
    assert visitor.begin().status == 201
    path = f"/v1/Conversations/{visitor.began['conversation_sid']}/Messages"

    def heard_on(node: Node) -> set[str]:
        channels = node.call("PUBSUB", "SHARDCHANNELS", "*")
        return {channel.decode() for channel in channels} & {chat_channel(sid[-2:]) for sid in ACCOUNTS}

    mine, other = chat_channel(account[-2:]), chat_channel(ACCOUNTS[1][-2:])
    assert (heard_on(source), heard_on(target)) == ({mine}, {other})
    with visitor.stream() as events:
        for body, move in (("here", False), ("there", True)):
            if move:
                town.cluster.move(slot_of(account), source, target)
                wait_until(lambda: heard_on(target) == {mine, other}, what="the channel is heard on the new node")
            form = {"Author": "agent", "Body": body}
            assert town.world.rest("POST", path, form, user=account, secret=TOKENS[account]).status == 201
            while (event := events.next())[0] != "message":
                pass
            assert event[1]["body"] == body
    town.cluster.move(slot_of(account), target, source)


def test_a_slot_that_moves_costs_no_message(town: Town) -> None:
    """While an account's slot moves to another node and back, each message is acknowledged and delivered in order."""
    talks, nodes = town.talks(), town.cluster.nodes
    with sending(talks):
        for source, target in itertools.pairwise((nodes[0], nodes[1], nodes[0])):
            _more(talks)
            town.cluster.move(slot_of(ACCOUNTS[0]), source, target)
        _more(talks)
    assert {reply.status for talk in talks for reply in talk.replies} == {200}
    assert max(reply.seconds for talk in talks for reply in talk.replies) < REFUSED_WITHIN
    _are_delivered(talks)


def _kill(town: Town, node: Node) -> Callable[[], None]:
    node.server.kill()

    def heal() -> None:
        node.server.start()
        town.cluster.admit(node)

    return heal


def _hang(town: Town, node: Node) -> Callable[[], None]:  # noqa: ARG001 - as the other one
    node.server.pause()
    return node.server.resume


@pytest.mark.parametrize(("harm", "number"), [(_kill, 0), (_hang, 1)], ids=["it is killed", "it hangs"])
def test_a_node_is_away_and_others_do_not_notice(
    town: Town, harm: Callable[[Town, Node], Callable[[], None]], number: int
) -> None:
    """While a node is away only its account gets 503, in time; later all acknowledged messages come in order."""
    talks, nodes = town.talks(), town.cluster.nodes
    mine, others = talks[number], [talk for talk in talks if talk is not talks[number]]
    with sending(talks):
        _more(talks)
        heal = harm(town, nodes[number])
        wait_until(lambda: any(reply.status == 503 for reply in mine.replies), what="a message is refused")
        _more(others)
        said = town.ready()
        assert not (said["nodes"]["good"] and said["replicas"]["good"])
        theirs = others[0].flow.account_sid
        wait_until(lambda: town.world.metric("router_messages_kept", account_sid=theirs), what="others have figures")
        wait_until(lambda: nodes[number + 3].info("replication")["role"] == "master", what="the replica takes over")
        heal()
        _more(talks, within=20)
    town.cluster.wait_for_replicas()
    assert {reply.status for talk in others for reply in talk.replies} == {200}
    assert max(reply.seconds for reply in mine.replies) < REFUSED_WITHIN
    _are_delivered(talks)
