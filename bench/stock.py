"""The store of a benchmark: filled through the router's own scripts, and asked what it spends."""

import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from typing import Any, Final

import gevent

from bench.webhook import ACCOUNT, PUBLIC_URL, TOKEN, Stream, contact_identity
from router.flow.flex_flow import FlexFlow, Integration, own_address
from router.message.inbound import FORM, Message, Raw, conversation_id
from router.routing.resolve import identities, resolve
from router.settings import load
from router.store import Store, connect
from router.store.cache import EntryCache
from router.store.client import Client
from router.store.keys import AccountKeys, bucket
from router.store.lanes import new_token

# Blocks of addresses, by what their flows do with a message.
PAUSED: Final = 0
ACCEPT: Final = 1
RELAY: Final = 2
# Addresses that have no flow until it is created or applied.
MADE: Final = 3
# Calls under way at a time while the store is filled; they share pipelines.
_TOGETHER: Final = 256


class Stock:
    """One store, with the flows and messages that a measurement needs."""

    def __init__(self, url: str, target_url: str) -> None:
        self.url = url
        self._target_url = target_url
        self._client = Client(url, call_seconds=30.0)
        self._store: Store = connect(
            load(
                {
                    "ROUTER_REDIS_URL": url,
                    "ROUTER_PUBLIC_URL": PUBLIC_URL,
                    "TWILIO_ACCOUNT_SID": ACCOUNT,
                    "TWILIO_AUTH_TOKEN": TOKEN,
                }
            )
        )

    def empty(self) -> None:
        """Forget everything but ten flows of each kind, and the target that plain Flask looks up."""
        self._client.call("FLUSHALL", "SYNC")
        for block in (PAUSED, ACCEPT, RELAY):
            self.put_flows(block, 10)
            for number in range(10):
                self._client.call("SET", f"plain:{contact_identity(block, number)}", self._target_url)

    def put_web_flow(self) -> str:
        """Write a web flow, paused so that no delivery shares the core; return the SID of its address."""
        sid = "FO" + "c" * 32
        paused = flow(PAUSED, 0, self._target_url)
        chat = replace(paused, sid=sid, channel_type="web", contact_identity=own_address(sid))
        self._store.flows.put(chat)
        return f"IG{sid[2:]}"

    def put_flows(self, block: int, count: int, *, begin: int = 0) -> None:
        """Write flows for the addresses of a block from `begin` to `count`."""
        flows = (flow(block, number, self._target_url) for number in range(begin, count))
        while batch := list(islice(flows, _TOGETHER)):
            self._store.flows.put_all([(flow, None) for flow in batch])

    def forget_flows(self) -> None:
        """Forget everything."""
        self._client.call("FLUSHALL", "SYNC")

    def flows(self) -> int:
        """Return how many flows there are."""
        return self._store.flows.count(ACCOUNT)

    def wait_until_written(self) -> None:
        """Wait for the append-only file, which the store writes anew when it has grown: that takes a core."""
        while self._info("persistence").get("aof_rewrite_in_progress", "0") != "0":
            time.sleep(0.1)

    def queue(self, stream: Stream, count: int) -> None:
        """Accept messages as the webhook does, without delivering any."""
        bodies = (stream.body(n) for n in range(count))
        entries = EntryCache(self._store.routing)
        gevent.joinall([gevent.spawn(self._accept_all, bodies, entries) for _ in range(_TOGETHER)], raise_error=True)

    def lanes(self) -> int:
        """Return how many conversations have messages that are not done."""
        return self._store.deliveries.backlog(bucket(ACCOUNT)).lanes

    def used_bytes(self) -> int:
        """Return the store's memory in use."""
        return int(self._info("memory")["used_memory"])

    def changes_bytes(self) -> int:
        """Return the memory of the list of changes, which does not grow with the flows beyond the newest 10,000."""
        return int(self._client.call("MEMORY", "USAGE", AccountKeys(ACCOUNT).changes, "SAMPLES", 0) or 0)

    def script_calls(self) -> int:
        """Return how many scripts clients have called so far: all that the router calls while messages come in."""
        figures = self._info("commandstats").get("cmdstat_evalsha", "calls=0")
        return int(figures.partition("calls=")[2].partition(",")[0])

    def version(self) -> str:
        """Return what the store is, as `valkey 9.1.2`."""
        found = self._info("server")
        return f"{found.get('server_name', 'redis')} {found.get('valkey_version') or found['redis_version']}"

    def close(self) -> None:
        """Drop the connections."""
        self._client.close()
        self._store.close()

    def _accept_all(self, bodies: Iterator[bytes], entries: EntryCache) -> None:
        for body in bodies:
            raw = Raw("POST", f"{FORM}; charset=UTF-8", body, idempotency_token="00000000-0000-0000-0000-000000000000")  # noqa: S106 - no secret
            message = Message.parse(raw.fields())
            route = resolve(message, entries.get(ACCOUNT, identities(message)))
            self._store.lanes.accept(
                token=new_token(),
                account_sid=ACCOUNT,
                message_sid=message.message_sid,
                lane=conversation_id(ACCOUNT, message.channel, message.to, message.from_),
                disposition="queue",
                lease=False,
                versions=(),
                facts={
                    "raw": raw.pack(),
                    "why": "\n".join(route.steps),
                    "flow": route.flow.sid if route.flow else "",
                },
            )

    def _info(self, section: str) -> dict[str, str]:
        reply: Any = self._client.call("INFO", section)
        return dict(line.split(":", 1) for line in reply.decode().splitlines() if ":" in line)


def flow(block: int, number: int, url: str = "https://target.example/inbound") -> FlexFlow:
    """Make the flow of an address."""
    return FlexFlow(
        sid=f"FO{block:08x}{number:024x}",
        account_sid=ACCOUNT,
        friendly_name=f"Support line {number}",
        chat_service_sid="IS" + "5e" * 16,
        channel_type="sms",
        contact_identity=contact_identity(block, number),
        integration=Integration("external", url=url),
        response="relay" if block == RELAY else "accept",
        paused=block == PAUSED,
        date_created=1_700_000_000 + number,
        date_updated=1_700_000_000 + number,
    )


def form(made: FlexFlow) -> tuple[tuple[str, str], ...]:
    """Write the form with which a client creates such a flow."""
    return (
        ("FriendlyName", made.friendly_name),
        ("ChatServiceSid", made.chat_service_sid),
        ("ChannelType", made.channel_type),
        ("ContactIdentity", made.contact_identity),
        ("IntegrationType", made.integration.type),
        ("Integration.Url", made.integration.url),
        ("Response", made.response),
    )
