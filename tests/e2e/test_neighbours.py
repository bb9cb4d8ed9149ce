"""One account's breakers, backlog and slow hosts do not affect another account's flows."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import pytest

from router.flow.flex_flow import FlexFlow, Integration
from router.message.raw import FORM, Raw
from router.store import connect
from router.store.lanes import new_token
from tests.e2e.world import Gate, Reply, World, sign
from tests.integrations.sending import settings
from tests.integrations.target import Target, answer, in_turn
from tests.ports import free_port
from tests.valkey import ValkeyServer
from tests.waiting import wait_until

ACCOUNTS = {"AC" + digit * 32: digit * 32 for digit in "67"}


@dataclass(frozen=True, slots=True)
class Tenant:
    """One of the accounts of a `World`, and the messages to it."""

    world: World
    sid: str

    def flow(self, integration: Integration, **more: Any) -> FlexFlow:
        """Make a flow of this account whose webhooks are answered at once."""
        return self.world.flow(account=self.sid, integration=integration, response="accept", **more)

    def text(self, flow: FlexFlow, theirs: str = "") -> Reply:
        """Send a new SMS to a flow."""
        fields: Mapping[str, str] = self.world.fields(flow, theirs, AccountSid=self.sid)
        signature = sign("/webhooks/sms", fields, key=ACCOUNTS[self.sid])
        return self.world.post(fields, X_Twilio_Signature=signature)

    def queue(self, flow: FlexFlow, count: int) -> None:
        """Queue messages for a flow, each in a conversation of its own."""
        store = connect(settings(ROUTER_REDIS_URL=self.world.valkey.url))
        for _ in range(count):
            fields = self.world.fields(flow, AccountSid=self.sid)
            sid, raw = fields["MessageSid"], Raw("POST", FORM, urlencode(fields).encode()).pack()
            store.lanes.accept(
                token=new_token(), account_sid=self.sid, message_sid=sid, lane=sid[-24:], disposition="queue",
                lease=False, versions=(), facts={"raw": raw, "flow": flow.sid},
            )  # fmt: skip
        store.close()

    def state(self, reply: Reply) -> str:
        """Return the state of a message."""
        return (self.world.call("HGET", self.world.record(reply.sid, self.sid), "state") or b"").decode()

    def wait_until_delivered(self, reply: Reply, *, within: float) -> None:
        """Wait until a message is delivered."""
        wait_until(lambda: self.state(reply) == "delivered", what=f"{reply.sid} is delivered", within=within)


@pytest.fixture
def twilio() -> Iterator[Target]:
    """The host of Twilio's webhooks, which has the Studio flows of all accounts."""
    with Target() as running:
        yield running


@pytest.fixture
def tenants(
    tmp_path_factory: pytest.TempPathFactory, valkey: ValkeyServer, twilio: Target
) -> Iterator[tuple[Tenant, Tenant]]:
    """Two accounts of a router of one process."""
    config = f'twilio_webhooks_url = "{twilio.url("")}"\n'
    config += "".join(f'[[account]]\nsid = "{sid}"\nauth_tokens = ["{token}"]\n' for sid, token in ACCOUNTS.items())
    world = World(
        tmp_path_factory.mktemp("world"), valkey, config=config, ROUTER_LEASE_SECONDS="30", ROUTER_DELIVERIES="16"
    )
    yield tuple(Tenant(world, sid) for sid in ACCOUNTS)  # type: ignore[misc]  # there are two
    world.close()


def test_a_breaker_of_one_account_does_not_delay_another(tenants: tuple[Tenant, Tenant], twilio: Target) -> None:
    """While Twilio answers one account's Studio flow with 429, messages to another account's are delivered at once."""
    loud, quiet = tenants
    flows = {tenant: tenant.flow(Integration("studio", flow_sid=tenant.world.sid("FW"))) for tenant in tenants}
    path = f"/v1/Accounts/{loud.sid}/Flows/{flows[loud].integration.flow_sid}"
    twilio.script[path] = answer(429)
    for _ in range(6):
        loud.text(flows[loud])
    wait_until(lambda: loud.world.metric("router_breakers_open") == 1, what="the breaker opens")
    for reply in [quiet.text(flows[quiet]) for _ in range(20)]:
        quiet.wait_until_delivered(reply, within=2)


def test_a_retry_does_not_wait_behind_a_backlog(tenants: tuple[Tenant, Tenant]) -> None:
    """While 1,500 conversations wait for one account's dead host, another account's message is retried in time."""
    loud, quiet = tenants
    loud.queue(loud.flow(Integration("external", url=f"http://127.0.0.1:{free_port()}/hook")), 1500)
    wait_until(lambda: loud.world.metric("router_breakers_open") == 1, what="the breaker opens", within=20)
    with Target() as flaky:
        flaky.script["/hook"] = in_turn(answer(500), answer(500), answer(200))
        reply = quiet.text(quiet.flow(Integration("external", url=flaky.url("/hook"))))
        quiet.wait_until_delivered(reply, within=5)  # delays of 0.2 and 0.5 s, and up to 0.5 s of the sweeper for each


def test_slow_hosts_of_one_account_do_not_delay_another(tenants: tuple[Tenant, Tenant]) -> None:
    """While four hosts of one account are slow, another account's messages are delivered at once."""
    loud, quiet = tenants
    with ExitStack() as stack:
        gates = []
        for _ in range(4):
            gates.append(Gate(answer()))
            slow = stack.enter_context(Target({"/slow": gates[-1]}))
            flow = loud.flow(Integration("external", url=slow.url("/slow")))
            for _ in range(6):
                loud.text(flow)
        for gate, number in zip(gates, (4, 4, 4, 0), strict=True):
            gate.wait_for(number)
        flow = quiet.flow(Integration("studio", flow_sid=quiet.world.sid("FW")))
        for _ in range(5):
            quiet.wait_until_delivered(quiet.text(flow), within=1)
        assert sum(gate.inside for gate in gates) == 12, "the account has three quarters of the slots"
        for gate in gates:
            gate.open()
