"""Flows in the store: written whole or not at all, found by address, and never without a new version."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples

from router.errors import FlowConflict, InvalidFlow
from router.flow.flex_flow import FlexFlow, Integration
from router.match import compile_expression
from router.routing.resolve import Entry
from router.store.cache import EntryCache
from router.store.client import Client
from router.store.flow_write import ADDRESS_MOST, STEPS_MOST, FlowChanged, FlowWrite
from router.store.flows import WALK_BYTES, FlowStore
from router.store.keys import AccountKeys
from tests.core.flows import AC, FO, flow, forms
from tests.valkey import ValkeyServer

OURS, OTHERS = "+15551234567", "+15557654321"
STRANGER = "AC" + "e" * 32


@pytest.fixture
def store(valkey: ValkeyServer) -> Iterator[FlowStore]:
    """An empty store."""
    made = FlowStore(Client(valkey.url))
    yield made
    made.close()


def sms(number: int = 1, **more: object) -> FlexFlow:
    """Make a flow for our number."""
    made = flow(ContactIdentity=OURS, sid=f"FO{number:032x}")
    return replace(made, **more)  # type: ignore[arg-type]


def entry(store: FlowStore, identity: str = OURS) -> Entry:
    """Read the entry of an address."""
    return store.entries(AC, [identity])[0]


@given(form=forms())
@examples(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])  # each example flushes it
def test_a_flow_is_read_as_it_was_written(valkey: ValkeyServer, form: dict[str, str]) -> None:
    """A flow with any parameters is read back equal, by SID and by address, and can then be replaced and removed."""
    valkey.flush()
    store = FlowStore(Client(valkey.url))
    try:
        made = flow(form)
        store.put(made)
        read = store.get(AC, FO)
        assert read == made
        assert store.entries(AC, [made.contact_identity])[0].flows == (made,)
        changed = replace(made, friendly_name="another", paused=not made.paused)
        store.put(changed, replaces=read)
        assert store.get(AC, FO) == changed
        store.delete(changed)
        assert store.get(AC, FO) is None
        assert store.entries(AC, [made.contact_identity]) == (Entry(made.contact_identity, "", ()),)
    finally:
        store.close()


def test_every_write_changes_the_version(store: FlowStore) -> None:
    """Each write of a flow gives its address entry a new version; only an entry without flows has the empty one."""
    seen = [entry(store).version]
    first, second = sms(1), sms(2, language=("es",))
    writes: tuple[Callable[[], None], ...] = (
        lambda: store.put(first),
        lambda: store.put(second),
        lambda: store.put(replace(second, paused=True), replaces=second),
        lambda: store.put(replace(second, paused=False), replaces=replace(second, paused=True)),
        lambda: store.delete(second),
        lambda: store.delete(first),
        lambda: store.put(first),
    )
    for write in writes:
        write()
        seen.append(entry(store).version)
    assert seen[0] == seen[-2] == ""
    assert len(set(seen)) == len(seen) - 1


def test_a_move_changes_both_addresses(store: FlowStore) -> None:
    """When a flow moves, only the new address has it, and both entries have new versions."""
    staying, moving = sms(1, language=("es",)), sms(2)
    store.put(staying)
    store.put(moving)
    before = entry(store).version
    store.put(replace(moving, contact_identity=OTHERS), replaces=moving)
    assert entry(store).flows == (staying,)
    assert entry(store).version not in ("", before)
    assert [found.sid for found in entry(store, OTHERS).flows] == [moving.sid]
    store.put(replace(staying, contact_identity=OTHERS), replaces=staying)
    assert entry(store) == Entry(OURS, "", ())
    assert len(entry(store, OTHERS).flows) == 2


@pytest.mark.parametrize(
    ("first", "second", "collide"),
    [
        pytest.param({}, {}, True, id="two-defaults"),
        pytest.param({"enabled": False}, {}, False, id="one-disabled"),
        pytest.param({}, {"enabled": False}, False, id="the-new-one-disabled"),
        pytest.param({"language": ("es",)}, {}, False, id="one-by-language"),
        pytest.param({}, {"match": "true"}, False, id="one-by-rule"),
        pytest.param({"match": "true"}, {"match": "true"}, False, id="both-by-rule"),
        pytest.param({}, {"channel_type": "rcs"}, False, id="another-channel"),
        pytest.param({"paused": True}, {}, True, id="one-paused"),
        pytest.param({"priority": 5}, {"priority": 1}, True, id="priority-does-not-help"),
        pytest.param({"friendly_name": 'a "name" { with ] \\ everything\u2028'}, {}, True, id="whatever-its-name"),
    ],
)
def test_an_address_has_one_default(
    store: FlowStore, first: dict[str, object], second: dict[str, object], collide: bool
) -> None:
    """Two enabled flows of a channel without language and rule collide; a collision writes nothing."""
    store.put(sms(1, **first))
    before = entry(store)
    if not collide:
        store.put(sms(2, **second))
        assert len(entry(store).flows) == 2
        return
    with pytest.raises(FlowConflict, match=sms(1).sid):
        store.put(sms(2, **second))
    assert entry(store) == before
    assert store.get(AC, sms(2).sid) is None
    assert store.count(AC) == 1


@pytest.mark.parametrize("how", ["enabled", "moved", "without-its-language"])
def test_a_change_that_makes_a_second_default_is_refused(store: FlowStore, how: str) -> None:
    """Enabling a flow, moving it or removing its language is refused where an address would get a second default."""
    store.put(sms(1))
    other = {
        "enabled": sms(2, enabled=False),
        "moved": sms(2, contact_identity=OTHERS),
        "without-its-language": sms(2, language=("es",)),
    }[how]
    store.put(other)
    with pytest.raises(FlowConflict):
        store.put(sms(2), replaces=other)
    assert store.get(AC, other.sid) == other


def test_a_write_based_on_an_outdated_flow_is_refused(store: FlowStore) -> None:
    """A write is refused if the flow was changed, removed or created since the writer read it."""
    read = sms(1)
    store.put(read)
    with pytest.raises(FlowChanged):
        store.put(sms(1, paused=True))  # as if it were new
    store.put(now := replace(read, priority=3), replaces=read)
    with pytest.raises(FlowChanged):
        store.put(replace(read, paused=True), replaces=read)
    with pytest.raises(FlowChanged):
        store.delete(read)
    assert store.get(AC, read.sid) == now
    store.delete(now)
    with pytest.raises(FlowChanged):
        store.put(replace(now, paused=True), replaces=now)
    with pytest.raises(FlowChanged):
        store.delete(now)
    assert store.count(AC) == 0


def test_concurrent_writers_make_one_default(valkey: ValkeyServer) -> None:
    """Of eight processes that create a default for one address at once, one succeeds and seven get a conflict."""
    results: list[str] = []
    barrier = threading.Barrier(8)

    def make(number: int) -> None:
        own = FlowStore(Client(valkey.url))
        barrier.wait()
        try:
            own.put(sms(number))
            results.append("made")
        except FlowConflict:
            results.append("conflict")
        finally:
            own.close()

    threads = [threading.Thread(target=make, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == ["conflict"] * 7 + ["made"]


def test_accounts_do_not_see_each_other(store: FlowStore) -> None:
    """Flows of two accounts in one bucket are separate, even with the same address and the same SID."""
    theirs = replace(sms(1), account_sid=STRANGER[:-2] + AC[-2:])
    store.put(sms(1))
    store.put(theirs)
    assert store.get(AC, theirs.sid) == sms(1)
    assert store.get(theirs.account_sid, theirs.sid) == theirs
    assert entry(store).flows == (sms(1),)
    assert [store.count(account) for account in (AC, theirs.account_sid, STRANGER)] == [1, 1, 0]
    store.delete(theirs)
    assert entry(store).flows == (sms(1),)


def test_flows_are_walked_once_each(store: FlowStore) -> None:
    """Pages and walks show every flow once, the walk oldest first, the page newest first."""
    made = [sms(number, contact_identity=f"+1555000{number:04d}") for number in range(1, 31)]
    store.put_all([(each, None) for each in made])
    assert list(store.walk(AC)) == made
    pages = [flow for offset in range(0, 30, 7) for flow in store.page(AC, offset, 7)]
    assert pages == made[::-1]


def test_a_walk_of_one_channel_yields_every_place(store: FlowStore) -> None:
    """A walk of one channel yields that channel's flows, and the places of the others, so that a page can go on."""
    channels = ["sms", "rcs", "custom", "rcs"]
    made = [sms(n, channel_type=channel, contact_identity=f"{n}") for n, channel in enumerate(channels)]
    store.put_all([(each, None) for each in made])
    walked = list(store.placed(AC, channel="rcs"))
    assert [each.flow for each in walked] == [made[3], None, made[1], None]
    assert [each.place for each in walked] == [each.place for each in store.placed(AC)]


class _Measured(Client):
    """A client that notes how many bytes each script's reply has."""

    weights: list[int]

    def script(self, *args: Any, **more: Any) -> Any:
        """Run a script, as `Client` does."""
        reply = super().script(*args, **more)
        self.weights.append(sum(len(word) for word in reply))
        return reply


def test_a_walk_reads_a_bounded_number_of_bytes_at_a_time(valkey: ValkeyServer) -> None:
    """A hundred flows with the longest FallbackTwiml are read in many calls, small ones in few; all are seen."""
    client = _Measured(valkey.url)
    client.weights = []
    store = FlowStore(client)
    twiml = f"<Response><Message>{'x' * 60_000}</Message></Response>"
    large = [sms(number, contact_identity=f"+1555000{number:04d}", fallback_twiml=twiml) for number in range(100)]
    small = [sms(1000 + number, contact_identity=f"+1556000{number:04d}") for number in range(100)]
    store.put_all([(each, None) for each in large + small])
    client.weights = []
    assert [flow.sid for flow in store.walk(AC)] == [flow.sid for flow in large + small]
    assert max(client.weights) < WALK_BYTES + 64 * 1024
    assert 20 < len(client.weights) < 40
    store.close()


def test_a_collision_does_not_stop_the_other_writes_of_a_batch(store: FlowStore) -> None:
    """Of a batch with a collision the other flows are written, and the collision is reported."""
    with pytest.raises(FlowConflict):
        store.put_all([(sms(1), None), (sms(2), None), (sms(3, contact_identity=OTHERS), None)])
    assert [flow.sid for flow in store.walk(AC)] == [sms(1).sid, sms(3).sid]


def test_a_group_is_written_whole(store: FlowStore) -> None:
    """Writes of one group are one step: two flows can exchange addresses, and a flow can take another one's place."""
    first, second = sms(1), sms(2, contact_identity=OTHERS)
    store.put_all([(first, None), (second, None)])
    versions = [entry(store).version, entry(store, OTHERS).version]
    moved = [replace(first, contact_identity=OTHERS), replace(second, contact_identity=OURS)]
    store.write([[FlowWrite(moved[0], first), FlowWrite(moved[1], second)]])
    assert [entry(store).flows, entry(store, OTHERS).flows] == [(moved[1],), (moved[0],)]
    store.write([[FlowWrite(None, moved[1]), FlowWrite(sms(3))]])
    assert entry(store).flows == (sms(3),)
    assert entry(store).version not in versions
    assert list(store.walk(AC)) == [moved[0], sms(3)]
    assert list(store.placed(AC, name=sms(3).friendly_name))


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        pytest.param(FlowWrite(sms(3)), FlowConflict, id="a-second-default-of-the-group"),
        pytest.param(FlowWrite(sms(3, contact_identity="*")), FlowConflict, id="a-second-default-beside-another"),
        pytest.param(FlowWrite(None, sms(9)), FlowChanged, id="one-that-is-gone"),
        pytest.param(FlowWrite(sms(8, contact_identity="*")), FlowChanged, id="one-that-is-there"),
    ],
)
def test_a_group_with_a_mistake_is_not_written(store: FlowStore, wrong: FlowWrite, error: type[Exception]) -> None:
    """A mistake in one flow of a group prevents all writes of that group, and none of another group."""
    store.put(sms(8, contact_identity="*"))
    other = sms(5, contact_identity=OTHERS)
    with pytest.raises(error):
        store.write([[FlowWrite(sms(2)), wrong], [FlowWrite(other)]])
    assert entry(store) == Entry(OURS, "", ())
    assert list(store.walk(AC)) == [sms(8, contact_identity="*"), other]


def test_a_flow_can_be_replaced_at_a_full_address(store: FlowStore) -> None:
    """The limit of flows at an address is checked after a whole group, so that a flow can be replaced at the limit."""
    flows = [sms(number, language=("es",)) for number in range(ADDRESS_MOST)]
    store.put_all([(each, None) for each in flows])
    one_more = sms(ADDRESS_MOST)
    with pytest.raises(InvalidFlow, match=str(ADDRESS_MOST)):
        store.put(one_more)
    store.write([[FlowWrite(None, flows[0]), FlowWrite(one_more)]])
    assert len(entry(store).flows) == ADDRESS_MOST


SLOW = 'body.matches("(?i)[a-f]{130}x")'  # a condition that takes about a 25th of the steps that an address may have


def test_the_conditions_of_an_address_have_a_limit(store: FlowStore) -> None:
    """The steps of an address's conditions are added up; a flow over the limit is refused with both numbers."""
    steps = compile_expression(SLOW).steps
    many = STEPS_MOST // steps
    made = [sms(number, match=SLOW) for number in range(many + 1)]
    assert 20 < many < 30
    store.put_all([(each, None) for each in made[:many]])
    with pytest.raises(InvalidFlow, match=rf"{steps:,} steps .* {many * steps:,}; .* {STEPS_MOST:,}") as caught:
        store.put(made[many])
    assert caught.value.parameter == "Match"
    assert len(entry(store).flows) == many
    store.put(replace(made[many], contact_identity=OTHERS))
    store.put(replace(made[many], sid=f"FO{99:032x}", enabled=False))
    store.write([[FlowWrite(None, made[0]), FlowWrite(replace(made[0], sid=f"FO{98:032x}"))]])


def test_a_flow_among_too_many_conditions_can_be_changed(store: FlowStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A flow over a limit that was lowered can be changed if its conditions take no more steps than before."""
    first, second = sms(1, match=SLOW), sms(2, match=SLOW)
    store.put_all([(first, None), (second, None)])
    monkeypatch.setattr("router.store.flow_write.STEPS_MOST", 100)
    store.put(replace(first, paused=True), replaces=first)
    with pytest.raises(InvalidFlow, match="Match"):
        store.put(replace(second, match=f"{SLOW} || {SLOW}"), replaces=second)


def test_writers_together_do_not_exceed_the_limit(valkey: ValkeyServer) -> None:
    """The store adds up the steps within the write, so that concurrent writers do not exceed the limit together."""
    made = [sms(number, match=SLOW) for number in range(50)]

    def put(flow: FlexFlow) -> bool:
        store = FlowStore(Client(valkey.url))
        try:
            store.put(flow)
        except InvalidFlow:
            return False
        finally:
            store.close()
        return True

    with ThreadPoolExecutor(8) as pool:
        written = list(pool.map(put, made))
    assert sum(written) == STEPS_MOST // compile_expression(SLOW).steps


def test_a_stored_flow_begins_with_what_claim_reads(store: FlowStore, valkey: ValkeyServer) -> None:
    """A stored flow begins with what the script `claim` reads: target, whether it is paused, and ValidityPeriod."""
    keys = AccountKeys(AC)
    client = Client(valkey.url)
    for number, (integration, target) in enumerate(
        (
            (Integration("external", url="HTTPS://User:pw@Example.com:443/a b?c"), "https://example.com"),
            (Integration("external", url="http://[2001:db8::1]:8080/"), "http://[2001:db8::1]:8080"),
            (Integration("handler", handler="echo"), "handler:echo"),
        )
    ):
        made = sms(number, contact_identity=f"+1555000{number:04d}", integration=integration, paused=True)
        store.put(made)
        record = client.call("GET", keys.own_flows + made.sid)
        assert record.startswith(f"{target} 1 14400 {{".encode())
    client.close()


# -- the cache of a process -------------------------------------------------------------------------------------------


def test_the_cache_reads_an_entry_once(store: FlowStore, valkey: ValkeyServer) -> None:
    """An entry, or its absence, is read once; the caller decides when to read again."""
    cache = EntryCache(store)
    store.put(sms(1))
    first = cache.get(AC, [OURS, "*"])
    assert [len(found.flows) for found in first] == [1, 0]
    calls = _calls(valkey)
    for _ in range(10):
        assert cache.get(AC, [OURS, "*"]) == first
    assert _calls(valkey) == calls
    store.delete(sms(1))
    assert cache.get(AC, [OURS, "*"]) == first
    assert cache.read(AC, [OURS, "*"]) == cache.get(AC, [OURS, "*"]) == (Entry(OURS, "", ()), Entry("*", "", ()))


def test_the_cache_reads_only_what_it_lacks(store: FlowStore, valkey: ValkeyServer) -> None:
    """For a new address the cache reads that address's entry, and not the entry of all addresses (`*`) again."""
    cache = EntryCache(store)
    cache.get(AC, ["*"])
    read = _calls(valkey, "hget")
    assert [entry.identity for entry in cache.get(AC, [OURS, "*"])] == [OURS, "*"]
    assert _calls(valkey, "hget") == read + 1


def test_the_cache_is_bounded(store: FlowStore, valkey: ValkeyServer) -> None:
    """A full cache forgets the entry whose last use is longest ago, so one in constant use stays."""
    cache = EntryCache(store, size=10)
    for number in range(50):
        cache.get(AC, ["*"])
        cache.get(AC, [f"+1555000{number:04d}"])
    calls = _calls(valkey)
    cache.get(AC, ["*"])
    assert _calls(valkey) == calls
    cache.get(AC, ["+15550000000"])
    assert _calls(valkey) == calls + 1
    assert len(cache._entries) == 10


def test_the_cache_keeps_accounts_apart(store: FlowStore) -> None:
    """The cache does not return the entry of one account to another with the same address."""
    cache = EntryCache(store)
    store.put(sms(1))
    assert cache.get(AC, [OURS])[0].flows
    assert not cache.get(STRANGER, [OURS])[0].flows


def _calls(valkey: ValkeyServer, command: str = "evalsha") -> int:
    client = Client(valkey.url)
    try:
        for line in client.call("INFO", "commandstats").decode().splitlines():
            if line.startswith(f"cmdstat_{command}:"):
                return int(line.partition("calls=")[2].partition(",")[0])
        return 0
    finally:
        client.close()
