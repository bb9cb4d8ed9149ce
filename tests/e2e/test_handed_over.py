"""Tasks, Conversations, and a migration from Proxy, with a router that is killed and with mixed traffic."""

import json
import threading
from base64 import b64encode
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qs

from router.flow.flex_flow import FlexFlow, Integration
from router.routing.contact import contact_id
from router.store.client import Client
from router.store.flows import FlowStore
from router.store.proxied import Proxied
from tests.e2e.service import ACCOUNT, TOKEN, Service, parameters, sid
from tests.integrations.target import Target
from tests.twilio.local import LocalTwilio
from tests.valkey import ValkeyServer
from tests.waiting import wait_until

WORKSPACE, WORKFLOW = "WS" + "1" * 32, "WW" + "2" * 32
TASKS, TALKS, MOVED = "+15550000001", "+15550000002", "+15550000003"
PROXY = Integration("proxy", proxy_service_sid="KS" + "3" * 32)


def flow(number: int, ours: str, integration: Integration, **more: object) -> FlexFlow:
    """Make a flow for an address."""
    given: dict[str, object] = {
        "sid": f"FO{number:032x}",
        "account_sid": ACCOUNT,
        "friendly_name": "test",
        "chat_service_sid": "IS" + "1" * 32,
        "channel_type": "sms",
        "contact_identity": ours,
        "integration": integration,
    }
    return FlexFlow(**(given | more))  # type: ignore[arg-type]


OLD = flow(3, MOVED, PROXY, migrate_to=f"FO{4:032x}")
NEW = flow(4, MOVED, Integration("conversation"), match="false")


class Setup:
    """A router, its store, Twilio's REST API and its webhooks."""

    def __init__(self, folder: Path, valkey: ValkeyServer, twilio: LocalTwilio, proxy: Target) -> None:
        twilio.tasks.workspaces[WORKSPACE] = {WORKFLOW}
        self.twilio, self.proxy = twilio, proxy
        self.flows = FlowStore(Client(valkey.url, call_seconds=5))
        self.proxied = Proxied(Client(valkey.url, call_seconds=5))
        self.flows.put(flow(1, TASKS, Integration("task", workspace_sid=WORKSPACE, workflow_sid=WORKFLOW)))
        self.flows.put(flow(2, TALKS, Integration("conversation")))
        self.flows.put(OLD)
        self.flows.put(NEW)
        environ = {
            "ROUTER_LEASE_SECONDS": "11",
            "ROUTER_TWILIO_API_URL": twilio.url,
            "ROUTER_TWILIO_WEBHOOKS_URL": proxy.url().rstrip("/"),
        }
        self.service = Service(folder, valkey.url, workers=1, **environ)
        self.sent = 0

    def close(self) -> None:
        """End the router."""
        self.service.close()
        self.flows.close()

    def send(self, theirs: str, ours: str) -> str:
        """Send a customer's message as Twilio does: to the contact's Conversation, if any, and to the webhook."""
        self.sent += 1
        fields = parameters(self.sent, theirs, To=ours)
        self.twilio.conversations.receive(theirs, ours, fields["Body"])
        assert self.service.webhook(fields)[0] == 200
        return fields["Body"]

    def delivered(self, number: int) -> bool:
        """Say whether a message is delivered."""
        basic = b64encode(f"{ACCOUNT}:{TOKEN}".encode()).decode()
        headers = {"Authorization": f"Basic {basic}"}
        _, _, body = self.service.request("GET", f"/v1/Deliveries/{sid(number)}", b"", headers)
        return bool(json.loads(body)["status"] == "delivered")

    def wait(self, *, within: float = 30) -> None:
        """Wait until all messages are delivered."""
        for number in range(1, self.sent + 1):
            wait_until(lambda number=number: self.delivered(number), what=f"{number} is delivered", within=within)  # type: ignore[misc]

    def at_proxy(self, theirs: str) -> list[str]:
        """Return the texts that Proxy received from a contact."""
        forms = [parse_qs(each.body.decode()) for each in list(self.proxy.requests)]
        return [form["Body"][0] for form in forms if form["From"] == [theirs]]


def test_a_kill_during_writes_and_a_migration_repeat_no_message(
    tmp_path: Path, spare_valkey: Callable[..., ValkeyServer]
) -> None:
    """A kill -9 during writes to Twilio repeats no message; a contact that migrates never goes back to Proxy."""
    with LocalTwilio(ACCOUNT, TOKEN) as twilio, Target() as proxy:
        setup = Setup(tmp_path, spare_valkey(), twilio, proxy)
        try:
            _killed(setup)
            _mixed(setup)
        finally:
            setup.close()


def _killed(setup: Setup) -> None:
    inside, go = {"POST Tasks": threading.Event(), "POST Messages": threading.Event()}, threading.Event()

    def hold(request: str) -> None:
        if request in inside and not go.is_set():
            inside[request].set()
            go.wait(20)

    setup.twilio.fault = hold
    theirs = "+15551110001"
    sent = [setup.send(theirs, ours) for ours in (TASKS, TALKS)]
    for event in inside.values():
        assert event.wait(10), (setup.twilio.log, setup.service.log.read_text()[-1500:])
    setup.service.kill()
    go.set()  # Twilio carries out the writes, and their answers are lost
    wait_until(lambda: setup.twilio.conversations.texts_of(theirs) == [sent[1]], what="the message is written")
    setup.service.start()
    sent += [setup.send(theirs, ours) for ours in (TASKS, TALKS)]
    setup.wait()
    assert setup.twilio.conversations.texts_of(theirs) == [sent[1], sent[3]]
    (task,) = setup.twilio.tasks.tasks.values()
    assert json.loads(task["attributes"])["messageCount"] == 2


def _mixed(setup: Setup) -> None:
    people = [f"+1555222{number:04d}" for number in range(40)]
    busy = people[:5]
    sent: dict[str, list[str]] = {each: [] for each in people}
    flow, shares = OLD, Counter[int]()
    for percent in (10, 50, 100):
        changed = replace(flow, migrate_percent=percent)
        setup.flows.put(changed, replaces=flow)
        flow = changed
        setup.proxied.put(ACCOUNT, [contact_id(each) for each in busy], seconds=100)
        for theirs in people if percent == 100 else people[: 20 + percent // 3]:
            sent[theirs].append(setup.send(theirs, MOVED))
        setup.wait()
        shares[percent] = sum(bool(setup.twilio.conversations.texts_of(each)) for each in people)
    assert 0 <= shares[10] <= shares[50] <= shares[100]
    assert shares[100] > 0
    for theirs in people:
        received = setup.at_proxy(theirs), setup.twilio.conversations.texts_of(theirs)
        assert sorted(received[0] + received[1]) == sorted(sent[theirs]), theirs
        # A contact in both moved from Proxy to the Conversation once, and not back.
        assert received == (sent[theirs][: len(received[0])], sent[theirs][len(received[0]) :])
    assert not any(setup.twilio.conversations.texts_of(each) for each in busy)
