"""One or more routers over a store of their own, with methods that create flows, send messages and read results.

The tests of a file share one `World`, so each makes its own addresses and SIDs.
"""

import base64
import itertools
import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

from prometheus_client.parser import text_string_to_metric_families
from twilio.request_validator import RequestValidator

from router.flow.flex_flow import FlexFlow, Integration
from router.store.cluster import open_client
from router.store.flows import FlowStore
from router.store.keys import AccountKeys, bucket
from router.store.script import SCRIPTS
from tests.clock import pass_time
from tests.e2e.service import ACCOUNT, BASE, EMPTY_STORE, TOKEN, Service, parameters
from tests.e2e.service import sid as sid_of
from tests.integrations.target import Behaviour, Caller, Request, Target
from tests.valkey import ValkeyServer
from tests.waiting import wait_until

EMPTY: Final = b'<?xml version="1.0" encoding="UTF-8"?><Response/>'
FORM: Final = "application/x-www-form-urlencoded"
DONE: Final = ("delivered", "undelivered", "unrouted", "redirected")
# Keys that routers write without a message, and the records of refused requests.
_OWN_TIME: Final = tuple(
    f"{name}:".encode()
    for name in (
        "accounts", "alive", "clock", "gaps", "processes", "proxied_wanted", "proxy_turn", "recovering", "refused",
        "refusing", "seen", "served", "upkeep",
    )
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Reply:
    """The router's answer to one request, and the time that it took, in seconds."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    seconds: float
    sid: str = ""

    @property
    def json(self) -> Any:
        """The body, read as JSON."""
        return json.loads(self.body)


class World:
    """Routers over one store.

    Args:
        folder: for their settings and logs.
        valkey: their store.
        processes: the number of routers, of one worker each, so that a test can choose which one it asks.
        config: lines of router.toml, tables last.
        public_url: the base URL that Twilio signs for; "" for none.
        environ: settings from the environment; FOUND="" has the routers ask the store at their start.

    """

    def __init__(
        self,
        folder: Path,
        valkey: ValkeyServer,
        *,
        processes: int = 1,
        config: str = "",
        public_url: str = BASE,
        **environ: str,
    ) -> None:
        self.valkey = valkey
        self._numbers = itertools.count(1)

        def start(number: int) -> Service:
            own = folder / str(number)
            own.mkdir()
            return Service(own, valkey.url, workers=1, config=config, public_url=public_url, **EMPTY_STORE | environ)

        with ThreadPoolExecutor() as pool:
            self.services = list(pool.map(start, range(processes)))

    def close(self) -> None:
        """End the routers."""
        for service in self.services:
            service.close()

    # -- flows and the store -----------------------------------------------------------------------------------------

    def sid(self, prefix: str = "SM") -> str:
        """Make an unused SID."""
        return sid_of(next(self._numbers), prefix)

    def address(self) -> str:
        """Make an unused telephone number."""
        return f"+1555{next(self._numbers):07d}"

    def flow(self, url: str = "", *, account: str = ACCOUNT, **more: Any) -> FlexFlow:
        """Write a flow for a new address: to `url`, or with `integration`."""
        flow = FlexFlow(
            sid=self.sid("FO"),
            account_sid=account,
            friendly_name=more.pop("friendly_name", "a test"),
            chat_service_sid="IS" + "1" * 32,
            channel_type=more.pop("channel_type", "sms"),
            contact_identity=more.pop("contact_identity", None) or self.address(),
            integration=more.pop("integration", None) or Integration("external", url=url),
            date_created=1,
            **more,
        )
        with self.flows() as flows:
            flows.put(flow)
        return flow

    def change(self, flow: FlexFlow, **changes: Any) -> FlexFlow:
        """Change a flow in the store, as another process would."""
        changed = replace(flow, **changes)
        with self.flows() as flows:
            flows.put(changed, replaces=flow)
        return changed

    @contextmanager
    def flows(self) -> Iterator[FlowStore]:
        """Open the flow store on a connection of its own."""
        store = FlowStore(open_client(self.valkey.url, call_seconds=5))
        try:
            yield store
        finally:
            store.close()

    def call(self, *words: str | bytes | float) -> Any:
        """Send one command to the store."""
        client = open_client(self.valkey.url, call_seconds=5)
        try:
            return client.call(*words)
        finally:
            client.close()

    def keys(self) -> set[bytes]:
        """Return the store's keys, without those that routers write without a message."""
        return {key for key in self.call("KEYS", "*") if not key.startswith(_OWN_TIME)}

    def scripts(self) -> int:
        """Return how many scripts the store has run."""
        for line in self.call("INFO", "commandstats").decode().splitlines():
            if line.startswith("cmdstat_evalsha:"):
                return int(line.partition("calls=")[2].partition(",")[0])
        return 0

    @contextmanager
    def counted_scripts(self) -> Iterator[Counter[str]]:
        """Count the scripts that the store runs meanwhile, by name; the counter is filled at the end."""
        names, counted = {script.sha.encode(): name for name, script in SCRIPTS.items()}, Counter[str]()
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self.valkey.socket_path))
            connection.sendall(b"MONITOR\r\n")
            with connection.makefile("rb") as lines:
                lines.readline()
                yield counted
                self.call("ECHO", "the end")
                for line in iter(lines.readline, b""):
                    words = line.split(b'"')[1::2]
                    if words[:1] == [b"EVALSHA"]:
                        counted[names[words[1]]] += 1
                    elif words[:1] == [b"ECHO"]:
                        return

    def pass_time(self, seconds: float) -> None:
        """Let leases end and retries come due, while no attempt is under way: a process's own clock does not change."""
        pass_time(self.call, bucket(ACCOUNT), seconds)

    # -- requests ----------------------------------------------------------------------------------------------------

    def fields(self, to: FlexFlow | str, theirs: str = "", **fields: str) -> dict[str, str]:
        """Make the fields of a new message, to an address or to that of a flow."""
        ours = to if isinstance(to, str) else to.contact_identity
        sms = parameters(next(self._numbers), theirs or self.address(), To=ours)
        return sms | fields

    def post(
        self, fields: Mapping[str, str], path: str = "/webhooks/sms", *, process: int = 0, **headers: str
    ) -> Reply:
        """Send a webhook as Twilio does, signed by the official library; headers as `Cookie="a=b"`."""
        body = urlencode(fields).encode()
        return self.send("POST", path, body, {"X-Twilio-Signature": sign(path, fields), **headers}, process=process)

    def text(self, to: FlexFlow | str, theirs: str = "", *, process: int = 0, **fields: str) -> Reply:
        """Send a new SMS."""
        return self.post(self.fields(to, theirs, **fields), process=process)

    def send(self, method: str, target: str, body: bytes, headers: Mapping[str, str], *, process: int = 0) -> Reply:
        """Send any request."""
        began = time.monotonic()
        given = {"Content-Type": FORM} | {name.replace("_", "-"): value for name, value in headers.items()}
        status, answered, content = self.services[process].request(method, target, body, given)
        sent = dict(parse_qsl((body or target.partition("?")[2].encode()).decode("latin-1"), keep_blank_values=True))
        return Reply(status, answered, content, time.monotonic() - began, sent.get("MessageSid", ""))

    @contextmanager
    def sending(self, *sends: Callable[[], Reply]) -> Iterator[list["Sent"]]:
        """Send several requests at once, and run the block while they wait for their answers."""
        with ThreadPoolExecutor(max_workers=len(sends)) as pool:
            yield [Sent(pool.submit(send)) for send in sends]

    # -- results -----------------------------------------------------------------------------------------------------

    def rest(
        self,
        method: str,
        target: str,
        form: Mapping[str, str] | None = None,
        *,
        user: str = ACCOUNT,
        secret: str = TOKEN,
    ) -> Reply:
        """Use a REST resource."""
        basic = base64.b64encode(f"{user}:{secret}".encode()).decode()
        return self.send(method, target, urlencode(form or {}).encode(), {"Authorization": f"Basic {basic}"})

    def delivery(self, sid: str) -> dict[str, Any]:
        """Fetch a delivery, which must exist."""
        reply = self.rest("GET", f"/v1/Deliveries/{sid}")
        assert reply.status == 200, reply.body
        return dict(reply.json)

    def ends(self, sid: str, *, within: float = 10.0) -> dict[str, Any]:
        """Wait until a delivery has ended, and return it."""
        return self.becomes(sid, *DONE, within=within)

    def becomes(self, sid: str, *states: str, within: float = 10.0) -> dict[str, Any]:
        """Wait until a delivery is in one of these states, and return it."""
        found: dict[str, Any] = {}

        def there() -> bool:
            found.update(self.delivery(sid))
            return found["status"] in states

        wait_until(there, what=f"{sid} is {' or '.join(states)}", within=within)
        return found

    def record(self, sid: str, account: str = ACCOUNT) -> str:
        """Return the key of a message's record."""
        return f"{AccountKeys(account).messages}{account}:{sid}"

    def kept(self, sid: str, account: str = ACCOUNT) -> bool:
        """Say whether the store has a record of the message."""
        return bool(self.call("EXISTS", self.record(sid, account)))

    def metric(self, name: str, *, process: int = 0, **labels: str) -> float:
        """Return the sum of all samples in /metrics with this name and these labels."""
        text = self.send("GET", "/metrics", b"", {}, process=process).body.decode()
        return sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def log(self, event: str, **fields: object) -> list[dict[str, Any]]:
        """Return the log lines with this event and these fields."""
        lines: Iterable[str] = (line for service in self.services for line in service.log.read_text().splitlines())
        records = []
        for line in lines:
            with suppress(ValueError):
                records.append(json.loads(line))
        return [line for line in records if line.get("event") == event and fields.items() <= line.items()]


class Sent:
    """A request that was sent, and whose answer may not be there yet."""

    def __init__(self, future: Any) -> None:
        self._future = future

    def reply(self) -> Reply:
        """Wait for the answer."""
        reply: Reply = self._future.result(timeout=20)
        return reply

    @property
    def done(self) -> bool:
        """Say whether the answer is there."""
        return bool(self._future.done())


def sign(path: str, fields: Mapping[str, str] | None = None, *, key: str = TOKEN, algorithm: str = "HMAC_SHA1") -> str:
    """Sign as Twilio does, with the official library."""
    return str(RequestValidator(key).compute_signature(BASE + path, fields or {}, algorithm))


@dataclass
class Gate:
    """A target's behaviour that answers no request before the gate is opened; `inside` counts the waiting requests."""

    then: Behaviour
    inside: int = 0
    most: int = 0
    _open: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, caller: Caller) -> bool:
        """Wait, and answer."""
        with self._lock:
            self.inside += 1
            self.most = max(self.most, self.inside)
        while not (self._open.wait(0.05) or caller.stopping.is_set()):
            pass
        with self._lock:
            self.inside -= 1
        return self.then(caller)

    def open(self) -> None:
        """Let all requests through, from now on."""
        self._open.set()

    def wait_for(self, number: int) -> None:
        """Wait until so many requests are inside."""
        wait_until(lambda: self.inside >= number, what=f"{number} requests are at the target")


def twiml(text: str) -> bytes:
    """Write TwiML with a message."""
    return f'<?xml version="1.0" encoding="UTF-8"?><Response><Message>{text}</Message></Response>'.encode()


def arrived(target: Target, path: str | None = None) -> list[str]:
    """Return the SIDs that arrived at a target, in order, repeats included."""
    return [
        sid_in(request) for request in list(target.requests) if path is None or request.target.partition("?")[0] == path
    ]


def sid_in(request: Request) -> str:
    """Return the MessageSid of what a target received."""
    return dict(parse_qsl(request.body.decode()))["MessageSid"]
