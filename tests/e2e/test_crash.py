"""Kills and graceful stops under load: no acknowledged message is lost or reordered."""

import contextlib
import itertools
import os
import random
import signal
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from http.client import HTTPException
from pathlib import Path
from urllib.parse import parse_qs

from router.flow.flex_flow import FlexFlow, Integration
from router.store.client import Client
from router.store.flows import FlowStore
from tests.e2e.service import ACCOUNT, OURS, Service, parameters, sid
from tests.integrations.target import Target
from tests.valkey import ValkeyServer
from tests.waiting import wait_until

CONVERSATIONS = 12
# Seconds that a conversation waits after a refused message, and between two messages while a router starts.
_REFUSED, _SLOW = 0.03, 0.1


def flow(url: str, **more: object) -> FlexFlow:
    """Make a flow that takes our number's messages to `url`."""
    given: dict[str, object] = {
        "sid": "FO" + "1" * 32,
        "account_sid": ACCOUNT,
        "friendly_name": "crash",
        "chat_service_sid": "IS" + "1" * 32,
        "channel_type": "sms",
        "contact_identity": OURS,
        "integration": Integration("external", url=url),
        "response": "accept",
    }
    return FlexFlow(**(given | more))  # type: ignore[arg-type]


class Twilio:
    """Sends each conversation's messages one after the other, as Twilio does, and once more as fallback on an error."""

    def __init__(self, services: list[Service]) -> None:
        self.services = services
        self.acknowledged: dict[str, list[str]] = defaultdict(list)
        self._stop, self._slow = threading.Event(), threading.Event()
        self._numbers = itertools.count(1)
        self._threads = [threading.Thread(target=self._talk, args=(n,), daemon=True) for n in range(CONVERSATIONS)]
        for thread in self._threads:
            thread.start()

    def _talk(self, number: int) -> None:
        theirs = f"+1555100{number:04d}"
        order = random.Random(number)  # noqa: S311 - not a secret
        while not self._stop.is_set():
            message = next(self._numbers)
            fields = parameters(message, theirs)
            for extra in ({}, {"ErrorCode": "11200", "ErrorUrl": "https://router.example.com/webhooks/sms"}):
                with contextlib.suppress(OSError, HTTPException):  # an answer may be cut short
                    if order.choice(self.services).webhook(fields | extra)[0] == 200:
                        self.acknowledged[theirs].append(sid(message))
                        self._stop.wait(_SLOW if self._slow.is_set() else 0)
                        break
            else:  # while no router listens, a dozen threads would keep a core busy
                self._stop.wait(_REFUSED)

    @contextlib.contextmanager
    def slowly(self) -> Iterator[None]:
        """Send about 100 messages a second while a router starts: at full speed, thousands keep its core busy."""
        self._slow.set()
        yield
        self._slow.clear()

    @property
    def count(self) -> int:
        """Return how many messages were acknowledged so far."""
        return sum(len(sids) for sids in self.acknowledged.values())

    def wait_for(self, more: int) -> None:
        """Wait until so many more messages are acknowledged."""
        aim = self.count + more
        wait_until(lambda: self.count >= aim, what=f"{more} more messages are acknowledged", within=60)

    def stop(self) -> None:
        """Send no more."""
        self._stop.set()
        for thread in self._threads:
            thread.join(30)
            assert not thread.is_alive()


def _replaced(service: Service, before: set[int]) -> bool:
    return not before & set(service.workers())


def _first_deliveries(target: Target) -> dict[str, list[str]]:
    """Return each sender's messages in the order of arrival, without immediate repeats."""
    arrived: dict[str, list[str]] = defaultdict(list)
    for request in list(target.requests):
        fields = parse_qs(request.body.decode())
        sender, message = fields["From"][0], fields["MessageSid"][0]
        if not arrived[sender] or arrived[sender][-1] != message:
            arrived[sender].append(message)
    return arrived


def test_kills_lose_and_reorder_no_message(tmp_path: Path, spare_valkey: Callable[..., ValkeyServer]) -> None:
    """Under load, kills of workers, a master and the store, and a graceful stop, lose and reorder no message."""
    valkey = spare_valkey()
    with Target() as target:
        store = Client(valkey.url)
        FlowStore(store).put(flow(target.url("/hook")))
        folders = [tmp_path / "a", tmp_path / "b"]
        for folder in folders:
            folder.mkdir()
        # Only the first service has two workers, so that one is killed while the other serves.
        first, second = (Service(folder, valkey.url, workers=n) for folder, n in zip(folders, (2, 1), strict=True))
        try:
            twilio = Twilio([first, second])
            twilio.wait_for(100)
            os.kill(first.workers()[0], signal.SIGKILL)
            twilio.wait_for(100)
            second.kill()
            twilio.wait_for(30)
            with twilio.slowly():
                second.start()
            twilio.wait_for(100)
            valkey.kill()
            valkey.start()
            twilio.wait_for(100)
            assert first.stop() == 0
            twilio.wait_for(50)
            with twilio.slowly():
                first.start()
            os.kill(second.workers()[0], signal.SIGKILL)
            twilio.wait_for(100)
            twilio.stop()

            def drained() -> bool:
                got = _first_deliveries(target)
                return all(set(sids) <= set(got[theirs]) for theirs, sids in twilio.acknowledged.items())

            wait_until(drained, what="every acknowledged message is delivered", within=60)
            for theirs, sids in twilio.acknowledged.items():
                arrived = _first_deliveries(target)[theirs]
                assert len(arrived) == len(set(arrived)), "a message came again after its successor"
                assert [message for message in arrived if message in set(sids)] == sids
            store = Client(valkey.url)
            wait_until(lambda: not store.call("EXISTS", "due:{5}", "leases:{5}"), what="no lane is left", within=30)
        finally:
            first.close()
            second.close()


def test_a_graceful_stop_leaves_no_lease(tmp_path: Path, valkey: ValkeyServer) -> None:
    """On TERM, INT and HUP a process finishes its attempts before it ends, and leaves no lease behind."""
    with Target() as target:
        store = Client(valkey.url)
        FlowStore(store).put(flow(target.url("/hook")))
        service = Service(tmp_path, valkey.url, workers=1)
        try:
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                twilio = Twilio([service])
                twilio.wait_for(60)
                if number == signal.SIGHUP:
                    assert service.process is not None
                    before = set(service.workers())
                    service.process.send_signal(number)
                    with twilio.slowly():
                        wait_until(partial(_replaced, service, before), what="new workers", within=50)
                    twilio.wait_for(20)
                    twilio.stop()
                else:
                    service.stop(number)
                    twilio.stop()
                    leased = [
                        key for key in store.call("KEYS", "message:*") if store.call("HGET", key, "lease") is not None
                    ]
                    assert not leased, "a lease was left behind"
                    service.start()
            wait_until(lambda: not store.call("EXISTS", "due:{5}", "leases:{5}"), what="no lane is left", within=30)
        finally:
            service.close()
