"""The store of a benchmark: fills it with the router's own scripts, and reads its statistics."""

import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, Final

import gevent

from bench.progress import Progress
from bench.webhook import ACCOUNT, IDEMPOTENCY, PUBLIC_URL, TOKEN, Stream, contact_identity
from router.delivery.intake import Arrival, Intake
from router.errors import StoreUnavailable
from router.flow.flex_flow import FlexFlow, Integration, own_address
from router.message.inbound import Message
from router.message.raw import FORM, Raw
from router.routing.resolve import facts, identities, resolve
from router.settings import load
from router.store import Store, connect
from router.store.client import Client
from router.store.flows import FlowStore
from router.store.keys import AccountKeys, bucket
from router.store.lanes import Lease, Settlement, new_token

# Blocks of addresses, by the kind of their flows.
PAUSED: Final = 0
ACCEPT: Final = 1
RELAY: Final = 2
# Addresses that have no flow until it is created or applied.
MADE: Final = 3
# Messages that wait for a target that is down.
WAITING: Final = 4
# Messages that wait for a retry, at their own target and at the one that was down.
RETRIED: Final = 5
RETRIED_THERE: Final = 6
# Concurrent calls while the store is filled; they share pipelines.
_TOGETHER: Final = 256
# Seconds for which the store may be busy while it is filled.
_PATIENCE: Final = 60.0


class Stock:
    """A store with the flows and messages that a measurement needs."""

    def __init__(self, url: str, target_url: str) -> None:
        self.url = url
        self._target_url = target_url
        self._client = Client(url, call_seconds=30.0)
        self._flows = FlowStore(self._client)
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
        """Delete everything; then write ten flows of each kind, and the target that plain Flask looks up."""
        self._client.call("FLUSHALL", "SYNC")
        for block in (PAUSED, ACCEPT, RELAY):
            self.put_flows(block, 10)
            for number in range(10):
                self._client.call("SET", f"plain:{contact_identity(block, number)}", self._target_url)

    def put_web_flow(self) -> str:
        """Write a web flow, paused so that no deliveries use the core; return the SID of its address."""
        sid = "FO" + "c" * 32
        paused = flow(PAUSED, 0, self._target_url)
        chat = replace(paused, sid=sid, channel_type="web", contact_identity=own_address(sid))
        self._store.flows.put(chat)
        return f"IG{sid[2:]}"

    def put_flows(
        self, block: int, count: int, *, begin: int = 0, url: str = "", progress: Progress | None = None
    ) -> None:
        """Write flows for the addresses of a block from `begin` to `count`, with the target `url` or the usual one."""
        flows = (flow(block, number, url or self._target_url) for number in range(begin, count))
        done = begin
        while batch := list(islice(flows, _TOGETHER)):
            self._flows.put_all([(flow, None) for flow in batch])
            done += len(batch)
            if progress:
                progress(done)

    def forget_flows(self) -> None:
        """Delete everything."""
        self._client.call("FLUSHALL", "SYNC")

    def flows(self) -> int:
        """Return the number of flows."""
        return self._store.flows.count(ACCOUNT)

    def wait_until_written(self) -> None:
        """Wait until a rewrite of the append-only file ends, and disable further rewrites.

        A rewrite uses a core and the disk, and would disturb the measurement.
        """
        self._client.call("CONFIG", "SET", "auto-aof-rewrite-percentage", "0")
        while self._info("persistence").get("aof_rewrite_in_progress", "0") != "0":
            time.sleep(0.1)

    def queue(self, stream: Stream, count: int, progress: Progress | None = None) -> None:
        """Accept messages as the webhook does, without delivering them."""
        bodies = enumerate(stream.bodies(count), 1)
        intake = Intake(self._store, None, lambda _text, _languages: None)

        def accept() -> None:
            for number, body in bodies:
                _take(intake, body)
                if progress:
                    progress(number)

        gevent.joinall([gevent.spawn(accept) for _ in range(min(_TOGETHER, count))], raise_error=True)

    def retry_later(self, stream: Stream, delays: Sequence[float]) -> list[float]:
        """Accept messages and settle a failed attempt of each; return when they are due, by `time.perf_counter`."""
        due = []
        for body, delay in zip(stream.bodies(len(delays)), delays, strict=True):
            arrival, token = _arrival(body), new_token()
            message = arrival.message
            route = resolve(message, self._store.flows.entries(ACCOUNT, identities(message)))
            assert route.flow is not None  # noqa: S101 - the flow was written before
            self._store.lanes.accept(
                token=token,
                account_sid=ACCOUNT,
                message_sid=message.message_sid,
                lane=arrival.lane,
                disposition="queue",
                lease=True,
                versions=(),
                facts=facts(arrival.raw.pack(), route, ""),
            )
            lease = Lease(
                token=token,
                expires=0.0,
                account_sid=ACCOUNT,
                message_sid=message.message_sid,
                lane=arrival.lane,
                raw=b"",
                flow_sid=route.flow.sid,
                flow=route.flow,
                age=0.0,
                attempts=1,
                failures=0,
                refusals=0,
                round=0,
                answered=False,
            )
            failed = Settlement("retry", delay, {"failures": 1, "error": "503"}, "1 failed 503 0.001 503")
            due.append(time.perf_counter() + delay)
            self._store.lanes.settle(lease, failed, next_token="")
        return due

    def lanes(self) -> int:
        """Return the number of conversations with messages that wait or are being sent."""
        return self._store.deliveries.backlog(bucket(ACCOUNT)).lanes

    def used_bytes(self) -> int:
        """Return the memory that the store uses, in bytes."""
        return int(self._info("memory")["used_memory"])

    def changes_bytes(self) -> int:
        """Return the memory of the change log, which has at most the newest 10,000 changes."""
        return int(self._client.call("MEMORY", "USAGE", AccountKeys(ACCOUNT).changes, "SAMPLES", 0) or 0)

    def script_calls(self) -> int:
        """Return the number of script calls so far: while messages arrive, the router makes no other calls."""
        figures = self._info("commandstats").get("cmdstat_evalsha", "calls=0")
        return int(figures.partition("calls=")[2].partition(",")[0])

    def version(self) -> str:
        """Return the store's name, version and memory allocator: `valkey 9.1.2 (libc)`."""
        found = self._info("server")
        number = found.get("valkey_version") or found["redis_version"]
        return f"{found.get('server_name', 'redis')} {number} ({self._info('memory')['mem_allocator']})"

    def close(self) -> None:
        """Close the connections."""
        self._client.close()
        self._store.close()

    def _info(self, section: str) -> dict[str, str]:
        reply: Any = self._client.call("INFO", section)
        return dict(line.split(":", 1) for line in reply.decode().splitlines() if ":" in line)


def _take(intake: Intake, body: bytes) -> None:
    """Accept a message; retry if the store was busy with its append-only file for longer than a webhook may wait."""
    end = time.monotonic() + _PATIENCE
    while True:
        try:
            intake.take(_arrival(body))
        except StoreUnavailable:
            if time.monotonic() > end:
                raise
        else:
            return


def _arrival(body: bytes) -> Arrival:
    raw = Raw("POST", f"{FORM}; charset=UTF-8", body, idempotency_token=IDEMPOTENCY)
    return Arrival(Message.parse(raw.fields()), raw, time.monotonic())


def flow(block: int, number: int, url: str = "https://target.example/inbound") -> FlexFlow:
    """Return the flow of an address."""
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
    """Return the form with which a client creates such a flow."""
    return (
        ("FriendlyName", made.friendly_name),
        ("ChatServiceSid", made.chat_service_sid),
        ("ChannelType", made.channel_type),
        ("ContactIdentity", made.contact_identity),
        ("IntegrationType", made.integration.type),
        ("Integration.Url", made.integration.url),
        ("Response", made.response),
    )
