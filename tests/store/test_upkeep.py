"""Nothing in the store grows for ever: upkeep removes what does not expire by itself."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Final

import pytest

from router.flow.flex_flow import FlexFlow, Integration
from router.message.inbound import conversation_id
from router.routing.contact import Candidate, Choice, Strength, contact_id
from router.store import Store, connect
from router.store.client import Client
from router.store.keys import TURN, AccountKeys
from router.store.lanes import Room, Settlement, new_token
from router.store.upkeep import PAGE, TURN_SECONDS, Upkeep
from tests.integrations.sending import settings
from tests.store.passing import pass_time
from tests.valkey import ValkeyServer

HERE, GONE = "AC" + "0a" * 16, "AC" + "1a" * 15 + "0a"  # of one bucket
KEYS = AccountKeys(HERE)
OURS: Final = "+15551230002"
DAY: Final = 86_400
# Messages of a day that are in the index only: their records have expired. Many more than one step drops.
TRAFFIC: Final = 30 * PAGE
SIZES: Final = {
    b"string": "EXISTS",
    b"list": "LLEN",
    b"hash": "HLEN",
    b"set": "SCARD",
    b"zset": "ZCARD",
    b"stream": "XLEN",
}


class Driver:
    """A process with its store, and the messages and flows of accounts."""

    def __init__(self, url: str, *account_sids: str) -> None:
        made = settings(ROUTER_REDIS_URL=url, ROUTER_RETENTION_DAYS="1")
        accounts = tuple(made.accounts[0].model_copy(update={"sid": sid}) for sid in account_sids)
        self.store: Store = connect(made.model_copy(update={"accounts": accounts}))
        self.client = Client(url, call_seconds=60)
        self._count = 0

    def close(self) -> None:
        """Drop the connections."""
        self.store.close()
        self.client.close()

    def round(self) -> list[str]:
        """Run a round of upkeep now, however recent the last one is."""
        self.client.call("DEL", TURN)
        return list(self.store.upkeep.round())

    def flow(self, account_sid: str, **more: Any) -> FlexFlow:
        """Write a flow."""
        self._count += 1
        flow = FlexFlow(
            sid=f"FO{self._count:032x}",
            account_sid=account_sid,
            friendly_name=f"flow {self._count}",
            chat_service_sid="IS" + "1" * 32,
            channel_type="sms",
            contact_identity=f"+1555{self._count:07d}",
            integration=Integration("external", url="https://example.com/hook"),
        )
        flow = replace(flow, **more)
        self.store.flows.put(flow)
        return flow

    def accept(self, flow: FlexFlow, theirs: str, **more: Any) -> str:
        """Let a message arrive for a flow whose address has several flows; return its SID."""
        self._count += 1
        ours = more.pop("ours", flow.contact_identity)
        given: dict[str, Any] = {
            "token": new_token(),
            "account_sid": flow.account_sid,
            "message_sid": f"SM{self._count:032x}",
            "lane": conversation_id(flow.account_sid, "sms", ours, theirs),
            "disposition": "queue",
            "lease": False,
            "versions": (),
            "facts": {"raw": b"body", "flow": flow.sid, "why": "chosen"},
            "choice": Choice(
                identities=(theirs,),
                ours=ours,
                language="es",
                strength=Strength.OUTRIGHT,
                confident=True,
                candidates=(Candidate(flow.sid, "queue", lasting=bool(more.pop("lasting", False))),),
                settled=True,
            ),
        }
        self.store.lanes.accept(**(given | more))
        return str((given | more)["message_sid"])

    def deliver(self, outcome: Callable[[int], Any]) -> None:
        """Send all that is due, and settle each attempt as `outcome` says of its number."""
        number = 0
        while leases := self.store.lanes.claim("0a", Room(100)).leases:
            for lease in leases:
                self.store.lanes.settle(lease, Settlement(outcome(number), history="1 said"), next_token="")
                number += 1

    def index(self, number: int) -> None:
        """Index messages of the last day of which there is no record."""
        now, _ = self.client.call("TIME")
        script = """
        for n = 1, ARGV[1] do redis.call('ZADD', KEYS[1], ARGV[2] - n * ARGV[3], ARGV[4] .. ':SM' .. ARGV[2] .. n) end
        """
        self.client.call("EVAL", script, 1, KEYS.log, number, int(now) * 1000, DAY * 1000 / number, HERE)

    def sizes(self) -> Counter[str]:
        """Count, for each family, its keys and what is in them."""
        sizes: Counter[str] = Counter()
        keys = self.client.call("KEYS", "*")
        kinds = self.client.calls([("TYPE", key) for key in keys])
        members = self.client.calls([(SIZES[kind], key) for key, kind in zip(keys, kinds, strict=True)])
        for key, size in zip(keys, members, strict=True):
            family = key.decode().partition(":")[0]
            sizes[f"{family} keys"] += 1
            sizes[f"{family} members"] += size
        return sizes


@pytest.fixture
def driver(valkey: ValkeyServer) -> Iterator[Driver]:
    """The only process over an empty store, for one account."""
    made = Driver(valkey.url, HERE)
    yield made
    made.close()


def _a_day(driver: Driver) -> None:
    """Let each kind of event of a day happen once, and many messages arrive."""
    store = driver.store
    kept, passing = driver.flow(HERE, language=("es", "abcdefgh")), driver.flow(HERE)
    for number in range(60):
        theirs = f"+1666{number % 20:07d}"
        sid = driver.accept(kept, theirs)
        driver.accept(kept, theirs, message_sid=sid)  # a duplicate
    driver.accept(passing, "+16660000001", disposition="unrouted", choice=None)
    driver.accept(passing, "+16660000001", disposition="redirected", choice=None)
    driver.deliver(lambda number: ("delivered", "undelivered", "unrouted")[number % 3])
    dead = next(store.deliveries.newest(HERE, dead=True))
    assert store.lanes.replay(HERE, dead.message_sid, dead.lane) == "queued"
    driver.deliver(lambda _: "undelivered")
    for number in range(30):
        store.failures.count(f"192.0.2.{number}")
    store.contacts.change(HERE, "+16660000001", version=new_token(), aliases=["+16669999999"])
    changed = replace(passing, friendly_name="renamed", contact_identity=f"{OURS}{driver._count}")
    store.flows.put(changed, replaces=passing)
    store.flows.delete(changed)
    store.flows.delete(kept)
    driver.index(TRAFFIC)


def test_the_store_does_not_grow_from_day_to_day(driver: Driver) -> None:
    """After each day of traffic the store holds as many keys, and as much in each, as after the day before."""
    driver.client.calls(
        [("XADD", KEYS.changes, "*", "flow", "FO", "by", "me", "change", "{}") for _ in range(10_100)]
    )  # as many changes as are ever kept
    after = []
    for _ in range(3):
        _a_day(driver)
        pass_time(driver.client, DAY + 60)
        assert set(driver.round()) == {""}
        after.append(driver.sizes())
    changes = [sizes.pop("changes members") for sizes in after]
    assert max(changes) <= 10_200
    for sizes in after:
        del sizes["taken members"]  # one for each message of 30 to 60 days, see below
    assert after[1] == after[2]
    assert after[2].total() < 100, after[2]


def test_accepted_sids_are_forgotten_after_two_periods(driver: Driver) -> None:
    """The store knows an accepted SID for longer than its record lasts, and not for ever."""
    _a_day(driver)
    for days, left in ((1, True), (28, True), (31, False)):
        pass_time(driver.client, days * DAY)
        driver.round()
        assert bool(driver.client.call("KEYS", "taken:*")) == left


def test_one_round_trims_all_pages_of_an_index(driver: Driver) -> None:
    """However many entries have expired, one round drops them all, page by page, and keeps what is there."""
    flow = driver.flow(HERE, paused=True)
    for number in range(30):
        driver.accept(flow, f"+1666{number:07d}", choice=None)
        driver.accept(flow, f"+1666{number:07d}", choice=None, disposition="unrouted")
    driver.index(20 * PAGE)
    pass_time(driver.client, DAY - 60)  # of the indexed ones, those of the last minute are younger than a day
    steps = driver.round()
    assert 20 <= len(steps) <= 25
    assert driver.client.call("ZCOUNT", KEYS.log, "-inf", "+inf") == 60 + 20 * PAGE * 60 // DAY
    assert driver.client.call("ZCARD", KEYS.dead) == 30


def test_entries_with_one_score_do_not_block_later_ones(driver: Driver) -> None:
    """Upkeep skips more entries with one score than a page holds, all in use, and removes expired ones after them."""
    commands: list[tuple[Any, ...]] = [("HSET", f"{KEYS.messages}{HERE}:SM{n}", "state", "queued") for n in range(1500)]
    commands += [("ZADD", KEYS.log, 1000, f"{HERE}:SM{n}") for n in range(1500)]
    commands += [("ZADD", KEYS.log, 2000, f"{HERE}:gone{n}") for n in range(1500)]
    driver.client.calls(commands)
    driver.round()
    assert driver.client.call("ZCARD", KEYS.log) == 1500
    assert driver.client.call("ZCOUNT", KEYS.log, 2000, 2000) == 0


def test_a_full_store_is_trimmed(spare_valkey: Callable[..., ValkeyServer]) -> None:
    """Upkeep works in a store that is full and accepts no message, because upkeep makes room."""
    valkey = spare_valkey()
    driver = Driver(valkey.url, HERE)
    driver.index(3000)
    pass_time(driver.client, DAY)
    assert valkey.command("CONFIG SET maxmemory 1") == "+OK"
    assert driver.round()
    assert driver.client.call("ZCARD", KEYS.log) == 0
    driver.close()


def test_one_process_at_a_time_does_the_upkeep(driver: Driver, valkey: ValkeyServer) -> None:
    """While one process does the upkeep, another one does none."""
    other = Driver(valkey.url, HERE)
    driver.index(3000)
    pass_time(driver.client, DAY)
    assert next(driver.store.upkeep.round()) == ""
    assert list(other.store.upkeep.round()) == []
    assert 0 < driver.client.call("TTL", TURN) <= TURN_SECONDS
    assert other.round()
    assert driver.client.call("ZCARD", KEYS.log) == 0
    other.close()


def test_an_account_without_settings_is_forgotten(driver: Driver, valkey: ValkeyServer) -> None:
    """When routers have run long enough without an account, all its data is removed, and none of another account."""
    both = Driver(valkey.url, HERE, GONE)
    for sid in (HERE, GONE):
        paused, flow = both.flow(sid, paused=True, language=("es",)), both.flow(sid)
        for number in range(40):
            both.accept(paused, f"+1666{number:07d}")
        both.accept(flow, "+16660000001", disposition="unrouted", choice=None)
        both.store.contacts.change(sid, "+16660000001", version=new_token(), preference="es", aliases=["+16669999999"])
        # An address may contain another account's SID; it still belongs to the account whose flow it is.
        both.flow(sid, channel_type="custom", contact_identity=f"custom:{HERE}:{GONE}")
    both.round()
    remain = _contents(driver.client, but=GONE)
    driver.client.call("HSET", KEYS.accounts, GONE, driver.store.upkeep.absent_seconds - 2 * TURN_SECONDS)
    assert set(driver.round()) == {""}
    assert driver.store.upkeep.absent() == {GONE: driver.store.upkeep.absent_seconds - TURN_SECONDS}
    assert driver.store.deliveries.counts(GONE).queued == 40
    assert driver.round()[-1] == GONE
    assert _contents(driver.client) == remain
    backlog = driver.store.deliveries.backlog("0a")
    assert (backlog.lanes, driver.client.call("ZCARD", KEYS.due)) == (40, 1)
    assert driver.store.deliveries.counts(GONE).queued == 0
    both.close()


def test_an_account_that_is_back_is_kept(driver: Driver, valkey: ValkeyServer) -> None:
    """An account's absence starts from zero when a router has it in its settings, or a flow is written for it."""
    both = Driver(valkey.url, HERE, GONE)
    both.flow(GONE)
    almost = driver.store.upkeep.absent_seconds
    driver.client.call("HSET", KEYS.accounts, GONE, almost)
    assert next(both.store.upkeep.round(), None) is not None
    assert driver.store.upkeep.absent() == {}
    driver.client.call("HSET", KEYS.accounts, GONE, almost)
    both.flow(GONE)
    assert set(driver.round()) == {""}
    assert both.store.flows.count(GONE) == 2
    assert list(driver.store.upkeep._forget(GONE)) == [], "a process that was about to remove its data does not"
    assert both.store.flows.count(GONE) == 2
    both.close()


def test_a_contact_keeps_its_newest_conversations(driver: Driver) -> None:
    """A contact that often writes to thousands of our addresses keeps a hundred assigned conversations."""
    flow, theirs = driver.flow(HERE), "+16660000001"
    for number in range(150):
        driver.accept(flow, theirs, ours=f"+1777{number:07d}", lasting=True)
    contact = driver.store.contacts.get(HERE, theirs)
    assert contact is not None
    assert set(contact.assignments) == {f"+1777{number:07d}" for number in range(50, 150)}
    assert driver.client.call("TTL", KEYS.contacts + contact_id(theirs)) == -1


def _contents(client: Client, *, but: str = "never") -> dict[bytes, Any]:
    """Read all keys and values, without those of one account (`but`)."""
    found = {}
    for key in client.call("KEYS", "*"):
        if key.split(b":", 3)[2:3] != [but.encode()] and not key.startswith((b"due:", b"upkeep:")):
            if key.startswith(b"lane:") and but.encode() in b"".join(client.call("LRANGE", key, 0, -1)):
                continue
            found[key] = client.call("DUMP", key) if client.call("TYPE", key) != b"hash" else _hash(client, key, but)
    return found


def _hash(client: Client, key: bytes, but: str) -> dict[bytes, bytes]:
    words = client.call("HGETALL", key)
    return {name: value for name, value in zip(words[::2], words[1::2], strict=True) if name != but.encode()}


def test_absence_is_measured_by_rounds(driver: Driver) -> None:
    """An account is absent for as long as routers ran without it, whatever a clock says."""
    driver.client.call("HSET", KEYS.accounts, GONE, 0)
    for _ in range(3):
        driver.round()
    upkeep: Upkeep = driver.store.upkeep
    assert upkeep.absent() == {GONE: 3 * TURN_SECONDS}
    assert list(upkeep.round()) == []
    assert upkeep.absent() == {GONE: 3 * TURN_SECONDS}
