"""Checks what the configured store guarantees: a 200 to Twilio is only as safe as the store's persistence."""

import re
from collections.abc import Iterable, Mapping
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from typing import Final

import gevent

from router.errors import StoreRefused, StoreUnavailable
from router.store.client import Client
from router.store.keys import AccountKeys

OLDEST: Final = {"redis": (7, 0), "valkey": (7, 2)}
_SECTIONS: Final = ("server", "persistence", "memory", "replication")
_SETTINGS: Final = ("appendonly", "appendfsync", "maxmemory-policy", "cluster-enabled", "cluster-require-full-coverage")
# The leading number of a version: 9.1.2, 9.1-rc1, 7.
_VERSION: Final = re.compile(r"([0-9]+)(?:\.([0-9]+))?")


@dataclass(frozen=True, slots=True)
class Finding:
    """One property of the store: its value, whether that is `good`, and the advice if it is not.

    A `fatal` finding means that messages could be lost; then the router does not accept messages.
    """

    name: str
    value: str
    good: bool
    advice: str = ""
    fatal: bool = False


class Promise:
    """Asks the store for its settings.

    Args:
        client: the connection over which messages are accepted; another one may lead to another server.
        replicas: how many replicas must confirm a message.
        allow_volatile: whether a store without an append-only file is permitted.
    """

    def __init__(self, client: Client, *, replicas: int, allow_volatile: bool) -> None:
        self._client = client
        self._replicas = replicas
        self._allow_volatile = allow_volatile
        self._refused: dict[str, tuple[int, str]] = {}  # by server: the connection checked, and why it is unsafe

    @property
    def connection(self) -> int:
        """The number of the connection: a new connection may be to another server, with other settings."""
        return self._client.connection

    def findings(self) -> list[Finding]:
        """Return the findings, for a Cluster those of all its nodes; raise `StoreUnavailable` if none answers.

        Managed stores refuse CONFIG; then only INFO is used, and the other values are "unknown".
        """
        nodes = self._client.nodes()
        if set(nodes) == {""}:
            return self._check("", nodes[""])
        asked = {name: gevent.spawn(self._answer, name, node) for name, node in nodes.items()}
        gevent.joinall(list(asked.values()))
        answered = {name: each.value for name, each in asked.items() if isinstance(each.value, list)}
        if not answered:
            reasons = "; ".join(f"{name}: {each.value}" for name, each in asked.items())
            raise StoreUnavailable(reasons or "no node of the Cluster answers")
        away = {name: str(each.value) for name, each in asked.items() if name not in answered}
        return [*over_nodes(answered), _nodes(len(answered), away, self._client.uncovered())]

    def refusal(self) -> str:
        """Return why this store is not safe for messages, "" if it is.

        It checks servers with a new connection, whose settings may differ, and servers that were not safe at the last
        check, here or by `findings`. If a node of a Cluster does not answer, its last result stays.
        """
        nodes = self._client.nodes()
        self._refused = {name: seen for name, seen in self._refused.items() if name in nodes}
        for name, node in nodes.items():
            connection = node.connection
            if name and not connection:
                continue  # this process has written nothing to this node
            if self._refused.get(name) != (connection, ""):
                with suppress(StoreUnavailable) if name else nullcontext():
                    self._check(name, node)
        return "; ".join(why for _, why in self._refused.values() if why)

    def nodes(self) -> dict[str, bool]:
        """Return by name which nodes of a Cluster answer; {"": True} for a single server.

        Raises `StoreUnavailable` if none answers.
        """
        nodes = self._client.nodes()
        if set(nodes) == {""}:
            nodes[""].call("PING")
            return {"": True}
        asked = {name: gevent.spawn(_pings, node) for name, node in nodes.items()}
        gevent.joinall(list(asked.values()))
        up = {name: bool(each.value) for name, each in asked.items()}
        if not any(up.values()):
            raise StoreUnavailable(f"none of the {len(up)} known nodes of the Cluster answers")
        return up

    def place(self, account_sid: str) -> str:
        """Return the name of the node that has an account; "" for a single server, and if no node has it."""
        try:
            return self._client.place(AccountKeys(account_sid).leases)
        except StoreUnavailable:
            return ""

    def _answer(self, name: str, node: Client) -> list[Finding] | StoreUnavailable:
        try:
            return self._check(name, node)
        except StoreUnavailable as error:
            return error

    def _check(self, name: str, node: Client) -> list[Finding]:
        """Return the findings of a server, and record whether it is safe."""
        connection = node.connection
        findings = self._of(node)
        if connection or not name:  # not of a node to which this process has written nothing
            self._refused[name] = (connection, refusal(findings))
        return findings

    def _of(self, node: Client) -> list[Finding]:
        facts: dict[str, str] = {}
        for reply in node.calls([("INFO", section) for section in _SECTIONS]):
            for line in reply.decode(errors="replace").splitlines():
                name, _, value = line.partition(":")
                facts[name] = value
        config: dict[str, str] = {}
        try:
            for reply in node.calls([("CONFIG", "GET", name) for name in _SETTINGS]):
                config |= {reply[i].decode(): reply[i + 1].decode() for i in range(0, len(reply), 2)}
        except StoreRefused:
            config = {}
        return [
            _version(facts),
            self._appendonly(facts, config),
            _appendfsync(config),
            _eviction(facts, config),
            self._replication(facts),
            *_coverage(config),
        ]

    def _appendonly(self, facts: Mapping[str, str], config: Mapping[str, str]) -> Finding:
        known = {"1": "yes", "0": "no"}.get(facts.get("aof_enabled", ""))
        value = known or config.get("appendonly") or "unknown"
        if self._allow_volatile:
            advice = "ROUTER_ALLOW_VOLATILE_STORE allows it: a restart of the store may lose every message it holds"
        else:
            advice = "set appendonly yes: without an append-only file a restart of the store loses every message it "
            advice += "holds; ROUTER_ALLOW_VOLATILE_STORE=true accepts messages without one"
        return Finding("appendonly", value, value == "yes", advice, fatal=not self._allow_volatile)

    def _replication(self, facts: Mapping[str, str]) -> Finding:
        connected = int(facts.get("connected_slaves", "0"))
        value = f"{connected} connected, {self._replicas} must confirm a message"
        advice = "connect a replica, or set ROUTER_REDIS_REPLICAS to what there is"
        return Finding("replicas", value, connected >= self._replicas, advice, fatal=True)


def _pings(node: Client) -> bool:
    try:
        return bool(node.call("PING"))
    except StoreUnavailable:
        return False


def over_nodes(by_node: Mapping[str, list[Finding]]) -> list[Finding]:
    """Merge the findings of the nodes of a Cluster by name. If the values differ, a finding has that of each node."""
    by_name: dict[str, dict[str, Finding]] = {}
    for node, findings in by_node.items():
        for each in findings:
            by_name.setdefault(each.name, {})[node] = each
    return [_over_nodes(findings) for findings in by_name.values()]


def _over_nodes(findings: Mapping[str, Finding]) -> Finding:
    bad = [each for each in findings.values() if not each.good]
    worst = max(bad, key=lambda each: each.fatal) if bad else next(iter(findings.values()))
    if len({each.value for each in findings.values()}) == 1:
        value = worst.value
    else:
        value = "; ".join(f"{node}: {each.value}" for node, each in findings.items())
    # After a failover one node lacks a replica, which became the master. This concerns only the accounts on that node.
    fatal = worst.fatal and (worst.name != "replicas" or len(bad) == len(findings))
    return Finding(worst.name, value, not bad, worst.advice, fatal=fatal)


def _nodes(answer: int, away: Mapping[str, str], uncovered: int) -> Finding:
    """Return a finding about nodes that are down. Messages of accounts on the other nodes are accepted."""
    value = f"{answer} of {answer + len(away)} answer, {16_384 - uncovered:,} of 16,384 slots have a node"
    if away:
        value += "; " + "; ".join(f"{name}: {why}" for name, why in away.items())
    advice = "start the nodes that are away, or let their replicas take over: messages of their accounts are answered "
    return Finding("nodes", value, not (away or uncovered), advice + "503 until then")


def _coverage(config: Mapping[str, str]) -> Iterable[Finding]:
    if config.get("cluster-enabled") != "yes":
        return
    value = config.get("cluster-require-full-coverage", "unknown")
    advice = "set cluster-require-full-coverage no: with yes all accounts wait while one node is replaced"
    yield Finding("cluster-require-full-coverage", value, value == "no", advice)


def refusal(findings: Iterable[Finding]) -> str:
    """Return why the store is not safe for messages, "" if it is.

    A missing replica is not a reason: the confirmation is checked for each message.
    """
    broken = (each for each in findings if each.fatal and not each.good and each.name != "replicas")
    return "; ".join(f"{each.name} is {each.value}: {each.advice}" for each in broken)


def warning(findings: Iterable[Finding]) -> str:
    """Return which guarantees are missing although messages are accepted, "" if none is missing."""
    weak = (each for each in findings if not (each.fatal or each.good))
    return "; ".join(f"{each.name} is {each.value}: {each.advice}" for each in weak)


def _version(facts: Mapping[str, str]) -> Finding:
    product = "valkey" if facts.get("server_name") == "valkey" or "valkey_version" in facts else "redis"
    text, needed = facts.get(f"{product}_version", ""), OLDEST[product]
    oldest = f"{product} {needed[0]}.{needed[1]}"
    parsed = _VERSION.match(text)
    if parsed is None:
        advice = f"make sure that it is {oldest} or newer: the store does not show its version"
        return Finding("version", f"{product} {text or 'unknown'}", good=False, advice=advice)
    number = (int(parsed[1]), int(parsed[2] or 0))
    return Finding("version", f"{product} {text}", number >= needed, f"use {oldest} or newer", fatal=True)


def _appendfsync(config: Mapping[str, str]) -> Finding:
    value = config.get("appendfsync", "unknown (the store does not show its settings)")
    advice = {
        "everysec": "set appendfsync always: a crash of the store's machine loses a second of acknowledged messages",
        "no": "set appendfsync always: a crash of the store's machine loses half a minute of acknowledged messages",
    }.get(value, "ask who runs the store for appendfsync always: with everysec a crash of its machine loses a second")
    return Finding("appendfsync", value, value == "always", advice)


def _eviction(facts: Mapping[str, str], config: Mapping[str, str]) -> Finding:
    policy = config.get("maxmemory-policy") or facts.get("maxmemory_policy", "unknown")
    advice = "set maxmemory-policy noeviction: this store throws messages away when it is full"
    return Finding("maxmemory-policy", policy, policy == "noeviction", advice, fatal=True)
