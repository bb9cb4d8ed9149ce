"""Checks what the configured store guarantees: a 200 to Twilio is only as safe as the store's persistence."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from router.errors import StoreRefused
from router.store.client import Client

OLDEST: Final = {"redis": (7, 0), "valkey": (7, 2)}
_SECTIONS: Final = ("server", "persistence", "memory", "replication")
_SETTINGS: Final = ("appendonly", "appendfsync", "maxmemory-policy")
# The leading number of a version: 9.1.2, 9.1-rc1, 7.
_VERSION: Final = re.compile(r"([0-9]+)(?:\.([0-9]+))?")


@dataclass(frozen=True, slots=True)
class Finding:
    """One property of the store: whether it is as required, and what to do if it is not.

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

    @property
    def connection(self) -> int:
        """The number of the connection: a new connection may lead to another server, with other settings."""
        return self._client.connection

    def findings(self) -> list[Finding]:
        """Return the findings; raise `StoreUnavailable` when the store does not answer.

        Managed stores refuse CONFIG; then only INFO is used, and a finding says what is unknown.
        """
        facts: dict[str, str] = {}
        for reply in self._client.calls([("INFO", section) for section in _SECTIONS]):
            for line in reply.decode(errors="replace").splitlines():
                name, _, value = line.partition(":")
                facts[name] = value
        config: dict[str, str] = {}
        try:
            for reply in self._client.calls([("CONFIG", "GET", name) for name in _SETTINGS]):
                config |= {reply[i].decode(): reply[i + 1].decode() for i in range(0, len(reply), 2)}
        except StoreRefused:
            config = {}
        return [
            _version(facts),
            self._appendonly(facts, config),
            _appendfsync(config),
            _eviction(facts, config),
            self._replication(facts),
        ]

    def refusal(self) -> str:
        """Return why this store is not safe for messages, "" if it is."""
        return refusal(self.findings())

    def _appendonly(self, facts: Mapping[str, str], config: Mapping[str, str]) -> Finding:
        told = {"1": "yes", "0": "no"}.get(facts.get("aof_enabled", ""))
        value = told or config.get("appendonly") or "unknown"
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
    found = _VERSION.match(text)
    if found is None:
        advice = f"make sure that it is {oldest} or newer: the store does not show its version"
        return Finding("version", f"{product} {text or 'unknown'}", good=False, advice=advice)
    number = (int(found[1]), int(found[2] or 0))
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
