"""A router over a Cluster while nodes die and slots move, and while one account on each node receives messages.

The router logs in as the user of docs/operations.md, which has only the permissions that the router needs.
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

# Seconds within which a 503 must be answered, so that Twilio still has time to call the fallback URL.
REFUSED_WITHIN = 2.5
ACCOUNTS = [accounts_of(number)[0] for number in range(3)]
TOKENS = dict(zip(ACCOUNTS, ("6" * 32, "7" * 32, "8" * 32), strict=True))


@dataclass
class Conversation:
    """A conversation of one account, whose customer sends the next message when the last one is answered."""

    world: World
    flow: FlexFlow
    theirs: str
    target: Target
    replies: list[Reply] = field(default_factory=list)

    @property
    def acknowledged(self) -> list[str]:
        """The messages that were acknowledged, in order."""
        return [reply.sid for reply in list(self.replies) if reply.status == 200]

    def is_delivered(self) -> bool:
        """Say whether the target has all acknowledged messages in order; it may have some of them twice."""
        acknowledged = self.acknowledged
        return [
            sid for sid in dict.fromkeys(arrived(self.target, f"/{self.flow.sid}")) if sid in set(acknowledged)
        ] == acknowledged

    def send(self) -> Reply:
        """Send one message."""
        fields = self.world.fields(self.flow, self.theirs, AccountSid=self.flow.account_sid)
        signature = sign("/webhooks/sms", fields, key=TOKENS[self.flow.account_sid])
        self.replies.append(self.world.post(fields, X_Twilio_Signature=signature))
        return self.replies[-1]


class ClusterSetup:
    """A router that waits for one replica, over a Cluster, with one account on each node."""

    def __init__(self, folder: Any, target: Target) -> None:
        self.cluster = Cluster(user=True)
        config = "redis_replicas = 1\n"
        config += "".join(f'[[account]]\nsid = "{sid}"\nauth_tokens = ["{token}"]\n' for sid, token in TOKENS.items())
        self.world = World(folder, self.cluster, config=config, **{FOUND: ""})  # type: ignore[arg-type]  # it has a URL
        self.target = target

    def conversations(self) -> list[Conversation]:
        """Begin a conversation of each account."""
        flows = [self.world.flow(self.target.url(""), account=sid, response="accept") for sid in ACCOUNTS]
        for number, flow in enumerate(flows):
            self.target.script[f"/{flow.sid}"] = answer(200)
            integration = Integration("external", url=self.target.url(f"/{flow.sid}"))
            flows[number] = self.world.change(flow, integration=integration)
        return [Conversation(self.world, flow, self.world.address(), self.target) for flow in flows]

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
def setup(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterSetup]:
    """One Cluster for the tests of this file, each of which restores it."""
    with Target() as target:
        made = ClusterSetup(tmp_path_factory.mktemp("setup"), target)
        yield made
        made.close()


@contextmanager
def sending(conversations: list[Conversation]) -> Iterator[None]:
    """Let all customers send until the end of the block."""
    stop = threading.Event()

    def run(conversation: Conversation) -> None:
        while not stop.is_set():
            conversation.send()

    threads = [threading.Thread(target=run, args=(conversation,)) for conversation in conversations]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def _wait_for_more(conversations: list[Conversation], count: int = 10, within: float = 10) -> None:
    """Wait until so many more messages of each are acknowledged."""
    before = [len(conversation.acknowledged) for conversation in conversations]
    wait_until(
        lambda: all(
            len(conversation.acknowledged) >= had + count
            for conversation, had in zip(conversations, before, strict=True)
        ),
        what="more messages are acknowledged",
        within=within,
    )


def _wait_until_delivered(conversations: list[Conversation]) -> None:
    """Wait until the targets have all acknowledged messages."""
    wait_until(
        lambda: all(conversation.is_delivered() for conversation in conversations),
        what="all messages are delivered, in order",
        within=20,
    )


def test_rest_and_metrics_cover_all_nodes(setup: ClusterSetup) -> None:
    """REST and metrics work for the accounts of every node, and /readyz counts three nodes."""
    for account in ACCOUNTS:
        setup.target.script["/answers"] = answer(200, twiml(account), "text/xml")
        ours, rest = setup.world.address(), partial(setup.world.rest, user=account, secret=TOKENS[account])
        form = {"FriendlyName": "by REST", "ChatServiceSid": "IS" + "1" * 32, "ChannelType": "sms"}
        form |= {
            "ContactIdentity": ours,
            "IntegrationType": "external",
            "Integration.Url": setup.target.url("/answers"),
        }
        made = rest("POST", "/v1/FlexFlows", form)
        assert made.status == 201, made.body
        fields = setup.world.fields(ours, AccountSid=account)
        reply = setup.world.post(fields, X_Twilio_Signature=sign("/webhooks/sms", fields, key=TOKENS[account]))
        assert (reply.status, reply.body) == (200, twiml(account))
        assert rest("GET", f"/v1/Deliveries/{reply.sid}").json["status"] == "delivered"
        assert rest("DELETE", f"/v1/FlexFlows/{made.json['sid']}").status == 204
        assert setup.world.metric("router_messages_kept", account_sid=account) == 1
        assert setup.world.metric("router_store_node_up", node=setup.cluster.owner(account).name) == 1
    findings = setup.ready()
    assert findings["nodes"] == {"value": "3 of 3 answer, 16,384 of 16,384 slots have a node", "good": True}
    assert findings["replicas"] == {"value": "1 connected, 1 must confirm a message", "good": True}


def test_the_events_of_a_chat_follow_its_slot(setup: ClusterSetup) -> None:
    """A chat's events are published on its account's node only; an open stream gets them after the slot has moved."""
    account, (source, target) = ACCOUNTS[0], setup.cluster.nodes[:2]
    visitor = Visitor(setup.world, web_flow(setup.world, account_sid=account, response="accept"))
    assert visitor.begin().status == 201
    path = f"/v1/Conversations/{visitor.began['conversation_sid']}/Messages"

    def channels_of(node: Node) -> set[str]:
        channels = node.call("PUBSUB", "SHARDCHANNELS", "*")
        return {channel.decode() for channel in channels} & {chat_channel(sid[-2:]) for sid in ACCOUNTS}

    mine, other = chat_channel(account[-2:]), chat_channel(ACCOUNTS[1][-2:])
    assert (channels_of(source), channels_of(target)) == ({mine}, {other})
    with visitor.stream() as events:
        for body, move in (("here", False), ("there", True)):
            if move:
                setup.cluster.move(slot_of(account), source, target)
                wait_until(lambda: channels_of(target) == {mine, other}, what="the router subscribes on the new node")
            form = {"Author": "agent", "Body": body}
            assert setup.world.rest("POST", path, form, user=account, secret=TOKENS[account]).status == 201
            while (event := events.next())[0] != "message":
                pass
            assert event[1]["body"] == body
    setup.cluster.move(slot_of(account), target, source)


def test_a_slot_that_moves_costs_no_message(setup: ClusterSetup) -> None:
    """While an account's slot moves to another node and back, every message is acknowledged, and delivered in order."""
    conversations, nodes = setup.conversations(), setup.cluster.nodes
    with sending(conversations):
        for source, target in itertools.pairwise((nodes[0], nodes[1], nodes[0])):
            _wait_for_more(conversations)
            setup.cluster.move(slot_of(ACCOUNTS[0]), source, target)
        _wait_for_more(conversations)
    assert {reply.status for conversation in conversations for reply in conversation.replies} == {200}
    assert max(reply.seconds for conversation in conversations for reply in conversation.replies) < REFUSED_WITHIN
    _wait_until_delivered(conversations)


def _kill(setup: ClusterSetup, node: Node) -> Callable[[], None]:
    node.server.kill()

    def heal() -> None:
        node.server.start()
        setup.cluster.admit(node)

    return heal


def _hang(setup: ClusterSetup, node: Node) -> Callable[[], None]:  # noqa: ARG001 - called like `_kill`
    node.server.pause()
    return node.server.resume


@pytest.mark.parametrize(("harm", "number"), [(_kill, 0), (_hang, 1)], ids=["it is killed", "it hangs"])
def test_a_lost_node_affects_only_its_accounts(
    setup: ClusterSetup, harm: Callable[[ClusterSetup, Node], Callable[[], None]], number: int
) -> None:
    """While a node is away, only its account's messages get 503, in time; all acknowledged ones arrive in order."""
    conversations, nodes = setup.conversations(), setup.cluster.nodes
    mine, others = conversations[number], [each for each in conversations if each is not conversations[number]]
    with sending(conversations):
        _wait_for_more(conversations)
        heal = harm(setup, nodes[number])
        wait_until(lambda: any(reply.status == 503 for reply in mine.replies), what="a message is refused")
        _wait_for_more(others)
        findings = setup.ready()
        assert not (findings["nodes"]["good"] and findings["replicas"]["good"])
        theirs = others[0].flow.account_sid
        wait_until(lambda: setup.world.metric("router_messages_kept", account_sid=theirs), what="others have figures")
        wait_until(lambda: nodes[number + 3].info("replication")["role"] == "master", what="the replica takes over")
        heal()
        _wait_for_more(conversations, within=20)
    setup.cluster.wait_for_replicas()
    assert {reply.status for conversation in others for reply in conversation.replies} == {200}
    assert max(reply.seconds for reply in mine.replies) < REFUSED_WITHIN
    _wait_until_delivered(conversations)
