"""The store of a benchmark: filled through the router's own scripts, and asked what it spends."""

from collections.abc import Iterator
from itertools import islice
from typing import Any, Final, Literal

import gevent

from router.cli.bench.webhook import ACCOUNT, PUBLIC_URL, TOKEN, Stream, contact_identity
from router.flow import FlexFlow, Integration
from router.message import FORM, Message, Raw, conversation_id
from router.routing import identities, resolve
from router.settings import load
from router.store import Store, connect
from router.store.cache import EntryCache
from router.store.client import Client
from router.store.keys import bucket
from router.store.lanes import new_token

# Blocks of addresses, by what their flows do with a message.
PAUSED: Final = 0
ACCEPT: Final = 1
RELAY: Final = 2
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

    def put_flows(self, block: int, count: int, *, begin: int = 0) -> None:
        """Write flows for the addresses of a block from `begin` to `count`."""
        response: Literal["relay", "accept"] = "relay" if block == RELAY else "accept"
        flows = (self._flow(block, number, response) for number in range(begin, count))
        while batch := list(islice(flows, _TOGETHER)):
            self._store.flows.put_all([(flow, None) for flow in batch])

    def queue(self, stream: Stream, count: int) -> None:
        """Accept messages as the webhook does, without delivering any."""
        bodies = (stream.body(n) for n in range(count))
        entries = EntryCache(self._store.routing)
        gevent.joinall([gevent.spawn(self._accept_all, bodies, entries) for _ in range(_TOGETHER)], raise_error=True)

    def lanes(self) -> int:
        """Return how many conversations have messages that are not done."""
        return self._store.deliveries.lanes(bucket(ACCOUNT))[0]

    def used_bytes(self) -> int:
        """Return the store's memory in use."""
        return int(self._info("memory")["used_memory"])

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

    def _flow(self, block: int, number: int, response: str) -> FlexFlow:
        return FlexFlow(
            sid=f"FO{block:08x}{number:024x}",
            account_sid=ACCOUNT,
            friendly_name=f"Support line {number}",
            chat_service_sid="IS" + "5e" * 16,
            channel_type="sms",
            contact_identity=contact_identity(block, number),
            integration=Integration("external", url=self._target_url),
            response=response,
            paused=block == PAUSED,
            date_created=1_700_000_000 + number,
            date_updated=1_700_000_000 + number,
        )

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
