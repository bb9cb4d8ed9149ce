"""The records of refused requests: how many there are, how large, for how long, and whose."""

from dataclasses import replace

import pytest

from router.diagnosis.refused import MOST, Refused, Seen, keep
from router.message.raw import FORM, Raw
from router.store.client import Client
from router.store.refusals import ACCOUNTS, EACH, SECONDS, Refusals
from tests.valkey import ValkeyServer

ONE, TWO = "AC" + "1" * 30 + "0a", "AC" + "2" * 30 + "0a"  # of one bucket
STRANGER = "AC" + "9" * 32


def refused(target: str = "/webhooks/sms", body: bytes = b"AccountSid=AC1", **more: str) -> Refused:
    """Make the record of a request."""
    return keep(
        Raw("POST", FORM, body),
        target,
        at=0,
        status=403,
        reason="signature does not match",
        signature=more.get("signature", "x" * 28),
        signature_settings=more.get("settings"),
        bases=["https://user:secret@router.example.com/in"],
        seen=Seen(("a.example", "b.example:81"), ("81",), ("/x",)),
    )


@pytest.fixture
def client(valkey: ValkeyServer) -> Client:
    """A connection to an empty store."""
    return Client(valkey.url)


def test_a_record_is_read_as_it_was_written(client: Client) -> None:
    """A record has all that a signature covers, byte for byte, without the credentials of a public URL."""
    kept = Refusals(client, [ONE])
    record = refused(f"/webhooks/sms?\xff={'%41'}&b", bytes(range(256)), settings="key=k,algorithm=HMAC_SHA1")
    kept.add(record, account_sid=ONE, waited=1500)
    (found,) = kept.newest()
    assert found == replace(record, at=found.at)
    assert kept.clock() * 1000 - 5000 < found.at <= kept.clock() * 1000 - 1500
    assert found.bases == ("https://router.example.com/in",)


def test_a_record_is_of_16_kib_at_most(client: Client) -> None:
    """Whatever a request contains, its record is cut to the limit, and is marked as cut."""
    long = "\xff" * 70_000
    names = tuple(f"{n:0>253}" for n in range(50))
    record = keep(
        Raw("P" * 99, long, long.encode()),
        long,
        at=0,
        status=403,
        reason=long,
        signature=long,
        signature_settings=long,
        bases=[f"https://{name}" for name in names],
        seen=Seen(names, names, tuple(f"/{name}" for name in names)),
    )
    kept = Refusals(client, [ONE])
    for each in (record, refused(long), refused(body=long.encode()), refused("/" + "a" * 9000, b"b" * 9000)):
        kept.add(each, account_sid=ONE)
        assert not each.whole
    for _, values in client.call("XRANGE", f"refused:{{0a}}:{ONE}", "-", "+"):
        assert sum(map(len, values)) <= MOST
    assert kept.newest()[0].length == 9000


def test_the_number_of_records_is_fixed(client: Client) -> None:
    """An account has EACH records at most and a bucket ACCOUNTS accounts; a flood replaces only its own records."""
    sids = [f"AC{n:030x}0a" for n in range(ACCOUNTS + 3)]
    kept = Refusals(client, sids)
    for sid in sids:
        kept.add(refused(), account_sid=sid)
    for _ in range(3 * EACH):
        kept.add(refused(), account_sid=sids[-1])
    streams = client.call("KEYS", "refused:*")
    assert {stream.decode()[-34:] for stream in streams} == set(sids[-ACCOUNTS:])
    assert [client.call("XLEN", f"refused:{{0a}}:{sid}") for sid in sids[-ACCOUNTS:]] == [*[1] * (ACCOUNTS - 1), EACH]
    assert client.call("ZCARD", "refusing:{0a}") == ACCOUNTS


def test_records_expire(client: Client) -> None:
    """An account's records expire with its latest; the next record removes older ones, so none lasts twice as long."""
    kept = Refusals(client, [ONE])
    old = int((kept.clock() - SECONDS - 1) * 1000)
    client.call("XADD", f"refused:{{0a}}:{ONE}", f"{old}-0", "any", "thing")
    kept.add(refused(), account_sid=ONE)
    assert client.call("XLEN", f"refused:{{0a}}:{ONE}") == 1
    for key in client.call("KEYS", "refus*"):
        assert SECONDS - 10 < client.call("TTL", key) <= SECONDS


def test_settings_read_only_the_records_of_their_accounts(client: Client) -> None:
    """Settings read the records of their own accounts, and of strangers only what was refused under these settings."""
    one, two = Refusals(client, [ONE]), Refusals(client, [TWO])
    one.add(refused("/one"), account_sid=ONE)
    one.add(refused("/one/stranger"), account_sid=STRANGER)
    one.add(refused("/one/named"), account_sid=TWO)
    two.add(refused("/two"), account_sid=TWO)
    assert sorted(each.target for each in one.newest()) == ["/one", "/one/named", "/one/stranger"]
    assert [each.target for each in two.newest()] == ["/two"]
    assert [each.target for each in Refusals(client, [TWO, ONE]).newest()] == ["/two", "/one"]


def test_records_can_be_read_from_a_time_on_and_deleted(client: Client) -> None:
    """A reader can leave out older records, and `forget` deletes all records of an account."""
    kept = Refusals(client, [ONE])
    kept.add(refused(), account_sid=ONE, waited=60_000)
    kept.add(refused("/new"), account_sid=ONE)
    assert [each.target for each in kept.newest(after=int(kept.clock() * 1000) - 30_000)] == ["/new"]
    kept.forget(ONE)
    assert kept.newest() == []


def test_settings_without_an_account_keep_nothing(client: Client) -> None:
    """Without an account in the settings nothing is recorded: no doctor could read it."""
    Refusals(client, []).add(refused(), account_sid=ONE)
    assert client.call("KEYS", "refus*") == []
    assert Refusals(client, []).newest() == []
