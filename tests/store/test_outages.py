"""Gaps in what an account could receive: noticed, merged, and looked into by one process."""

from collections.abc import Iterator

import pytest

from router.store.client import Client
from router.store.outages import Gap, Outages, Report
from tests.valkey import ValkeyServer

HERE, NEXT = "machine 1", "machine 2"
ONE, OTHER = "AC" + "1" * 32, "AC" + "2" * 32


@pytest.fixture
def client(valkey: ValkeyServer) -> Iterator[Client]:
    """An empty store."""
    client = Client(valkey.url)
    client.call("FLUSHALL")
    yield client
    client.close()


@pytest.fixture
def outages(client: Client) -> Outages:
    """The outages of its accounts."""
    return Outages(client, keep_seconds=3600)


def _silent(client: Client, account: str, seconds: int) -> int:
    """Let the last sign of life of an account be some seconds old; return it in ms."""
    now = int(client.call("TIME")[0]) * 1000
    client.call("HSET", f"alive:{{{account[-2:]}}}", account, now - seconds * 1000, writes=True)
    return now - seconds * 1000


def test_a_first_start_has_no_gap(outages: Outages) -> None:
    """The time before an account was in the settings is no outage."""
    assert outages.beat([ONE, OTHER], master=HERE, silence=12) == {}
    assert outages.beat([ONE, OTHER], master=HERE, silence=12) == {}


def test_silence_is_a_gap(client: Client, outages: Outages) -> None:
    """A gap lasts from the last sign of life to the next one, and only for the account that was silent."""
    outages.beat([ONE, OTHER], master=HERE, silence=12)
    last = _silent(client, ONE, 60)
    found = outages.beat([ONE, OTHER], master=HERE, silence=12)
    assert list(found) == [ONE]
    assert found[ONE].from_ == last
    assert 58_000 < found[ONE].to - last < 90_000


def test_a_restart_is_a_gap(client: Client, outages: Outages) -> None:
    """A router that starts after the last one stopped finds a gap from the stop to its start, once."""
    outages.beat([ONE, OTHER], master=HERE, silence=12)
    outages.stop([ONE], master=HERE)
    found = Outages(client, keep_seconds=3600).beat([ONE, OTHER], master=NEXT, silence=12)
    assert list(found) == [ONE]
    assert 0 <= found[ONE].to - found[ONE].from_ < 30_000
    assert outages.close(ONE, found[ONE])
    assert Outages(client, keep_seconds=3600).beat([ONE, OTHER], master=NEXT, silence=12) == {}


@pytest.mark.parametrize("others", [[NEXT], [HERE], []], ids=["another router", "another process", "a reload"])
def test_a_stop_is_no_gap_while_others_accept(client: Client, outages: Outages, others: list[str]) -> None:
    """If another process goes on, or this router only replaces its processes, nothing was missed."""
    going_on = [(Outages(client, keep_seconds=3600), name) for name in others]
    for each, name in (*going_on, (outages, HERE)):
        assert each.beat([ONE], master=name, silence=12) == {}
    outages.stop([ONE], master=HERE)
    for each, name in going_on or [(Outages(client, keep_seconds=3600), HERE)]:
        assert each.beat([ONE], master=name, silence=12) == {}
    assert Outages(client, keep_seconds=3600).beat([ONE], master=NEXT, silence=12) == {}


def test_gaps_are_merged(outages: Outages) -> None:
    """Two outages that were not examined yet are one gap."""
    outages.extend({ONE: Gap(1000000, 1001000)})
    outages.extend({ONE: Gap(990000, 995000)})
    assert outages.beat([ONE], master=HERE, silence=12) == {ONE: Gap(990_000, 1_001_000)}


def test_a_gap_that_has_grown_is_not_closed(outages: Outages) -> None:
    """A gap that grew while a process examined it is examined again."""
    outages.extend({ONE: Gap(1000000, 1001000)})
    seen = outages.beat([ONE], master=HERE, silence=12)[ONE]
    outages.extend({ONE: Gap(1002000, 1003000)})
    assert not outages.close(ONE, seen)
    assert outages.close(ONE, outages.beat([ONE], master=HERE, silence=12)[ONE])
    assert outages.beat([ONE], master=HERE, silence=12) == {}


def test_one_process_looks(outages: Outages) -> None:
    """Only one process at a time may examine a gap; when it gives the turn back another may."""
    assert outages.take_turn(ONE, "a", 60)
    assert outages.take_turn(ONE, "a", 60)
    assert not outages.take_turn(ONE, "b", 60)
    outages.end_turn(ONE, "b")
    assert not outages.take_turn(ONE, "b", 60)
    outages.end_turn(ONE, "a")
    assert outages.take_turn(ONE, "b", 60)


def test_refusals_cause_one_look_in_ten_minutes(client: Client, outages: Outages) -> None:
    """A stranger who sends forged requests cannot make the router ask Twilio all day."""
    assert outages.grant_look(ONE)
    assert not outages.grant_look(ONE)
    assert outages.grant_look(OTHER)
    assert 590 < client.call("TTL", f"looked:{{11}}:{ONE}") <= 600


def test_seen_addresses_end(client: Client, outages: Outages) -> None:
    """An address that received nothing for 30 days is forgotten, and the key has an end."""
    now = float(client.call("TIME")[0])
    outages.note_seen(ONE, ["+1500"], now=now - 31 * 86400)
    outages.note_seen(ONE, ["+1501"], now=now)
    assert not outages.was_seen(ONE, "+1500")
    assert outages.was_seen(ONE, "+1501")
    assert client.call("ZCARD", f"seen:{{11}}:{ONE}") == 1
    assert client.call("TTL", f"seen:{{11}}:{ONE}") > 0


def test_reports_are_few_and_end(client: Client, outages: Outages) -> None:
    """The newest reports are kept, for as long as undelivered messages are."""
    for n in range(30):
        outages.add_report(ONE, Report(n, 0, 1, n, {"+1500: no flow": 2}))
    assert [each.at for each in outages.reports(ONE)] == list(range(29, 9, -1))
    assert client.call("TTL", f"recovered:{{11}}:{ONE}") > 0
