"""What the configured store really promises: a 200 is worth what Redis does with it."""

from dataclasses import dataclass
from typing import Final

from router.errors import StoreRefused
from router.store.client import Client

OLDEST: Final = {"redis": (7, 0), "valkey": (7, 2)}


@dataclass(frozen=True, slots=True)
class Finding:
    """One property of the store: whether it is as the router needs it, and what to do when not.

    A `fatal` one means that messages would be lost; the router does not take any then.
    """

    name: str
    value: str
    good: bool
    advice: str = ""
    fatal: bool = False


class Promise:
    """Asks the store for its settings."""

    def __init__(self, client: Client, *, replicas: int) -> None:
        self._client = client
        self._replicas = replicas

    def findings(self) -> list[Finding]:
        """Return what was found; raise `StoreUnavailable` when the store does not answer.

        A store that refuses CONFIG (hosted ones do) is believed as far as INFO goes, and the finding says so.
        """
        facts: dict[str, str] = {}
        for section in ("server", "persistence", "memory", "replication"):
            for line in self._client.call("INFO", section).decode(errors="replace").splitlines():
                name, _, value = line.partition(":")
                facts[name] = value
        config: dict[str, str] = {}
        try:
            for name in ("appendonly", "appendfsync", "maxmemory-policy", "maxmemory"):
                reply = self._client.call("CONFIG", "GET", name)
                config |= {reply[i].decode(): reply[i + 1].decode() for i in range(0, len(reply), 2)}
        except StoreRefused:
            config = {}
        return [
            _version(facts),
            _appendonly(facts, config),
            _appendfsync(config),
            _eviction(facts, config),
            self._replication(facts),
        ]

    def refusal(self) -> str:
        """Say why no message may be given to this store, "" when it keeps what it is given."""
        broken = [each for each in self.findings() if each.fatal and not each.good and each.name != "replicas"]
        return "; ".join(f"{each.name} is {each.value}: {each.advice}" for each in broken)

    def _replication(self, facts: dict[str, str]) -> Finding:
        connected = int(facts.get("connected_slaves", "0"))
        value = f"{connected} connected, {self._replicas} must confirm a message"
        advice = "connect a replica, or set ROUTER_REDIS_REPLICAS to what there is"
        return Finding("replicas", value, connected >= self._replicas, advice, fatal=True)


def _version(facts: dict[str, str]) -> Finding:
    product = "valkey" if facts.get("server_name") == "valkey" or "valkey_version" in facts else "redis"
    value = facts.get(f"{product}_version", "0.0")
    number = tuple(int(part) for part in value.split(".")[:2])
    needed = OLDEST[product]
    advice = f"use {product} {needed[0]}.{needed[1]} or newer"
    return Finding("version", f"{product} {value}", number >= needed, advice, fatal=True)


def _appendonly(facts: dict[str, str], config: dict[str, str]) -> Finding:
    on = facts.get("aof_enabled") == "1" or config.get("appendonly") == "yes"
    advice = "set appendonly yes: without it a restart of the store loses every message it holds"
    return Finding("appendonly", "yes" if on else "no", on, advice)


def _appendfsync(config: dict[str, str]) -> Finding:
    value = config.get("appendfsync", "unknown (the store does not show its configuration)")
    advice = "set appendfsync always: else a crash of the store's machine loses up to a second of acknowledged messages"
    return Finding("appendfsync", value, value == "always", advice)


def _eviction(facts: dict[str, str], config: dict[str, str]) -> Finding:
    policy = config.get("maxmemory-policy") or facts.get("maxmemory_policy", "unknown")
    advice = "set maxmemory-policy noeviction: this store throws messages away when it is full"
    return Finding("maxmemory-policy", policy, policy == "noeviction", advice, fatal=True)
