"""Erasing a contact: nothing of the person is left in the store, and the data of other people does not change."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlencode

import gevent
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from router.diagnosis.refused import Seen, keep
from router.message.inbound import Message, conversation_id
from router.message.raw import FORM, Raw
from router.queries.erasure import Erasure, erase
from router.routing.contact import Candidate, Choice, Strength, contact_id, identities_of
from router.store import Store, connect
from router.store.deliveries import PAGE
from router.store.keys import AccountKeys
from router.store.lanes import Lease, Room, Settlement, new_token
from tests.clock import pass_time
from tests.integrations import sending
from tests.valkey import ValkeyServer

ACCOUNT = sending.ACCOUNT_SID
KEYS = AccountKeys(ACCOUNT)
OURS = "whatsapp:+15551230001"
PHONE, USER_ID, OTHER = "whatsapp:+34600111222", "whatsapp:ES.13491208655302741918", "whatsapp:+34600999888"
FLOW = "FO" + "1" * 32
TEXT: Final = "Meinetwegen"
STATES: Final = ("delivered", "undelivered", "unrouted", "redirected")


@dataclass
class Driver:
    """Receives, settles and erases messages in a store; `sids` are in the order of arrival."""

    store: Store
    sids: list[str] = field(default_factory=list)

    def receive(self, theirs: str = PHONE, *, state: str = "queued", learns: bool = False, **more: str) -> str:
        """Let a message arrive and end in a state; `learns`: several flows share its address, which makes a contact."""
        sid = f"SM{len(self.sids):032x}"
        self.sids.append(sid)
        fields = {"AccountSid": ACCOUNT, "MessageSid": sid, "From": theirs, "To": OURS, "Body": TEXT} | more
        message = Message.parse(fields.items())
        lane = conversation_id(ACCOUNT, message.channel, message.to, message.from_)
        kept: dict[str, Any] = {
            "raw": Raw("POST", FORM, urlencode(fields).encode(), f"name={TEXT}", TEXT).pack(),
            "why": f"{TEXT} is Spanish",
            "language": "es",
            "lang": "es",
            "error": TEXT,
            "flow": FLOW,
        }
        shared = Choice(
            identities_of(message), OURS, "es", Strength.OUTRIGHT, confident=True, learned={"es": 0.9},
            candidates=(Candidate(FLOW, "queue", lasting=False),),
        )  # fmt: skip
        queued = state not in {"unrouted", "redirected"}
        self.store.lanes.accept(
            token=new_token(), account_sid=ACCOUNT, message_sid=sid, lane=lane, lease=False, versions=(), facts=kept,
            disposition="queue" if queued else state, choice=shared if learns else None, final=True,  # type: ignore[arg-type]
        )  # fmt: skip
        if queued and state != "queued":
            self.settle(self.claim(), state)
        return sid

    def refuse(self) -> None:
        """Keep the record of a message that was refused."""
        body = urlencode({"AccountSid": ACCOUNT, "From": PHONE, "Body": TEXT}).encode()
        values = {"status": 403, "reason": "", "signature": "", "signature_settings": "", "bases": (), "seen": Seen()}
        record = keep(Raw("POST", FORM, body), "/webhooks/whatsapp", at=0, **values)  # type: ignore[arg-type]
        self.store.refusals.add(record, account_sid=ACCOUNT)

    def claim(self) -> Lease:
        """Lease the head that is due."""
        [lease] = self.store.lanes.claim(ACCOUNT[-2:], Room(1)).leases
        return lease

    def settle(self, lease: Lease, outcome: Any) -> str:
        """End an attempt whose target answered with the customer's text."""
        settlement = Settlement(outcome, fields={"answer": TEXT, "error": TEXT}, history=f"1 {outcome} 200 {TEXT}")
        return self.store.lanes.settle(lease, settlement, next_token="")[0]

    def erase(self, identity: str = PHONE) -> Erasure:
        """Erase a contact."""
        return erase(identity, ACCOUNT, self.store)

    def call(self, *words: str | bytes | int) -> Any:
        """Send one command to the store."""
        return self.store.changes._client.call(*words)

    def record(self, sid: str) -> dict[bytes, bytes]:
        """Return the record of a message, as it is stored."""
        words = self.call("HGETALL", f"{KEYS.messages}{ACCOUNT}:{sid}")
        return dict(zip(words[::2], words[1::2], strict=True))

    def everything(self) -> bytes:
        """Return all keys and all that they hold."""
        read = {
            b"hash": ("HGETALL",),
            b"list": ("LRANGE", 0, -1),
            b"set": ("SMEMBERS",),
            b"zset": ("ZRANGE", 0, -1, "WITHSCORES"),
            b"stream": ("XRANGE", "-", "+"),
            b"string": ("GET",),
        }
        keys = self.call("KEYS", "*")
        types = [self.call("TYPE", key) for key in keys]
        held = [self.call(read[type_][0], key, *read[type_][1:]) for key, type_ in zip(keys, types, strict=True)]
        return repr((keys, held)).encode()


@pytest.fixture
def driver(valkey: ValkeyServer) -> Iterator[Driver]:
    """An empty store."""
    store = connect(sending.settings(ROUTER_REDIS_URL=valkey.url))
    yield Driver(store)
    store.close()


def traces(identities: Sequence[str]) -> list[bytes]:
    """Return what identifies a person: text, addresses, and digests of them, from which a number can be guessed."""
    numbers = [each.partition(":")[2].lstrip("+") for each in identities]
    lanes = [conversation_id(ACCOUNT, "whatsapp", OURS, each) for each in identities]
    return [each.encode() for each in (TEXT, *numbers, *lanes, *map(contact_id, identities))]


# -- what is erased ---------------------------------------------------------------------------------------------------


def test_a_conversations_bindings_to_twilio_are_erased(driver: Driver) -> None:
    """The stored SIDs of a person's task or Conversation at Twilio are erased; those of other people stay."""
    for theirs in (PHONE, OTHER):
        driver.receive(theirs, state="delivered")
        driver.store.bindings.put(ACCOUNT, conversation_id(ACCOUNT, "whatsapp", OURS, theirs), {"task": "WT1"})
    erase(PHONE, ACCOUNT, driver.store)
    assert driver.store.bindings.get(ACCOUNT, conversation_id(ACCOUNT, "whatsapp", OURS, PHONE)) == {}
    assert driver.store.bindings.get(ACCOUNT, conversation_id(ACCOUNT, "whatsapp", OURS, OTHER)) == {"task": "WT1"}


def test_nothing_of_the_person_is_left(driver: Driver) -> None:
    """For each kind of message, no key and no value has the text, an address of the person, or a digest of one."""
    for theirs in (PHONE, USER_ID):
        for state in STATES:
            driver.receive(theirs, state=state, learns=True, ExternalUserId=USER_ID)
    assert driver.store.contacts.change(ACCOUNT, PHONE, version="1", preference="es", aliases=["messenger:600111222"])
    driver.refuse()
    before = driver.everything()
    assert all(trace in before for trace in traces((PHONE, USER_ID)))
    erased = driver.erase()
    assert (erased.contact, erased.messages, erased.waiting) == (True, 8, 0)
    assert erased.identities == {PHONE, USER_ID, "messenger:600111222"}
    after = driver.everything()
    assert [trace for trace in traces((PHONE, USER_ID)) if trace in after] == []
    assert driver.store.refusals.newest() == []


def test_an_erased_message_is_still_a_duplicate_and_still_expires(driver: Driver) -> None:
    """A repeated webhook of an erased message is not delivered again, and its record expires as before."""
    for state in STATES:
        sid = driver.receive(state=state)
        expires = driver.call("PTTL", f"{KEYS.messages}{ACCOUNT}:{sid}")
        driver.erase()
        again = driver.store.lanes.accept(
            token=new_token(), account_sid=ACCOUNT, message_sid=sid, lane="a" * 24, disposition="queue", lease=True,
            versions=(), facts={"raw": b"x"},
        )  # fmt: skip
        assert (again.kind, again.state, again.flow_sid, again.answer) == ("duplicate", state, FLOW, b"")
        assert expires - 10_000 < driver.call("PTTL", f"{KEYS.messages}{ACCOUNT}:{sid}") <= expires
    assert TEXT.encode() not in driver.everything()


def test_an_erased_message_is_not_offered_for_a_replay(driver: Driver) -> None:
    """An erased message is no dead letter any more, so no replay selects it."""
    for state in ("undelivered", "unrouted"):
        driver.receive(state=state)
    kept = driver.receive(OTHER, state="unrouted")
    driver.erase()
    counts = driver.store.deliveries.counts(ACCOUNT)
    assert (counts.kept, counts.undelivered, counts.unrouted) == (3, 0, 1)
    assert [each.message_sid for each in driver.store.deliveries.oldest(ACCOUNT)] == [kept]


def test_other_people_and_accounts_do_not_change(driver: Driver) -> None:
    """Messages and contacts of other people, and of the same person in another account, do not change."""
    others = [driver.receive(OTHER, state=state, learns=True) for state in STATES]
    driver.store.contacts.change("AC" + "1a" * 16, PHONE, version="1", language="es")
    before = [driver.record(sid) for sid in others]
    contact = driver.store.contacts.get(ACCOUNT, OTHER)
    driver.receive(state="delivered", learns=True)
    driver.erase()
    assert [driver.record(sid) for sid in others] == before
    assert contact is not None
    assert driver.store.contacts.get(ACCOUNT, OTHER) == contact
    assert driver.store.contacts.get("AC" + "1a" * 16, PHONE) is not None


def test_an_unknown_contact_is_not_found(driver: Driver) -> None:
    """An erasure finds nothing where there are neither contact nor messages, nor when it is repeated."""
    assert not driver.erase().found
    driver.receive(state="delivered")
    assert driver.erase().found
    assert not driver.erase().found


def test_addresses_that_messages_link_are_erased_too(driver: Driver) -> None:
    """Without a contact, the addresses follow from the messages: number, user id, and another number, in any order."""
    driver.receive(OTHER, state="delivered")
    driver.receive(USER_ID, state="delivered", WaId="34600999888")
    driver.receive(PHONE, state="delivered", ExternalUserId=USER_ID)
    driver.receive(OTHER, state="unrouted")
    erased = driver.erase()
    assert (erased.messages, set(erased.identities)) == (4, {PHONE, USER_ID, OTHER})
    assert TEXT.encode() not in driver.everything()


def test_many_messages_are_erased_page_by_page(driver: Driver) -> None:
    """All messages of a contact on several pages, among those of others, are erased, and `watch` sees every message."""
    for number in range(PAGE + 20):
        driver.receive(OTHER if number % 3 else PHONE, state="unrouted")
    seen = []

    def watch(deliveries: Any) -> Iterator[Any]:
        for each in deliveries:
            seen.append(each.message_sid)
            yield each

    assert erase(PHONE, ACCOUNT, driver.store, watch=watch).messages == 40
    assert sorted(seen) == sorted(driver.sids)


# -- messages that are not done --------------------------------------------------------------------------------------


def test_a_message_that_is_not_done_stays_with_the_contact(driver: Driver) -> None:
    """A waiting message is not erased and keeps its contact, so that a later erasure knows all addresses."""
    driver.receive(PHONE, state="delivered", learns=True, ExternalUserId=USER_ID)
    queued = driver.receive(USER_ID)
    erased = driver.erase()
    assert (erased.contact, erased.messages, erased.waiting, erased.found) == (False, 1, 1, True)
    delivery = driver.store.deliveries.get(ACCOUNT, queued)
    assert delivery is not None
    assert TEXT.encode() in delivery.raw
    lease = driver.claim()
    assert driver.erase().waiting == 1
    driver.settle(lease, "delivered")
    erased = driver.erase()
    assert (erased.contact, erased.messages, erased.waiting) == (True, 1, 0)
    after = driver.everything()
    assert [trace for trace in traces((PHONE, USER_ID)) if trace in after] == []


def test_a_late_success_of_an_erased_message_writes_no_content(driver: Driver) -> None:
    """If the target of an erased, undelivered message answers late, only its state changes; no content is written."""
    sid = driver.receive()
    late = driver.claim()
    for _ in range(5):
        pass_time(driver.call, ACCOUNT[-2:], 60)
        driver.store.lanes.claim(ACCOUNT[-2:], Room(1))
    assert driver.store.deliveries.state(ACCOUNT, sid) == "undelivered"
    driver.erase()
    assert driver.settle(late, "delivered") == "late"
    driver.store.deliveries.note(ACCOUNT, sid, f"sent by REST: {TEXT}")
    assert driver.store.deliveries.state(ACCOUNT, sid) == "delivered"
    assert TEXT.encode() not in driver.everything()


def test_no_message_is_erased_in_part(driver: Driver) -> None:
    """An erasure while messages arrive and are delivered erases each message whole, and in the end all."""

    def arrive() -> None:
        for _ in range(20):
            driver.receive(state="unrouted", learns=True, ExternalUserId=USER_ID)

    writers = [gevent.spawn(arrive) for _ in range(4)]
    while not all(writer.ready() for writer in writers):
        driver.erase()
        for delivery in driver.store.deliveries.newest(ACCOUNT):
            assert bool(delivery.raw) == (delivery.why != ("Erased on request",)) == bool(delivery.lane)
    gevent.joinall(writers, raise_error=True)
    driver.erase(USER_ID)
    after = driver.everything()
    assert [trace for trace in traces((PHONE, USER_ID)) if trace in after] == []


# -- the contact's own records ----------------------------------------------------------------------------------------

IDENTITIES: Final = [f"whatsapp:+3460000000{digit}" for digit in range(5)]
people = st.lists(st.sampled_from(IDENTITIES), min_size=1, max_size=3, unique=True)
steps = st.lists(st.tuples(st.sampled_from(["accept", "set", "erase"]), people), min_size=1, max_size=12)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=steps)
def test_contacts_and_aliases_always_refer_to_each_other(driver: Driver, steps: list[tuple[str, list[str]]]) -> None:
    """After links and erasures in any order, each alias leads to a contact that lists it, and the reverse."""
    for step, (own, *others) in steps:
        if step == "erase":
            driver.store.contacts.erase(ACCOUNT, own)
        elif step == "set":
            driver.store.contacts.change(ACCOUNT, own, version=new_token(), language="es", aliases=others)
        else:
            names = dict(zip(("ExternalUserId", "WaId"), (others[0], others[-1][-11:]), strict=True)) if others else {}
            driver.receive(own, state="unrouted", learns=True, **names)
        records = {key: driver.call("HGETALL", key) for key in driver.call("KEYS", f"{KEYS.contacts}*")}
        for key, values in records.items():
            record = dict(zip(values[::2], values[1::2], strict=True))
            digest = key.removeprefix(KEYS.contacts.encode())
            if b"of" in record:
                assert records[KEYS.contacts.encode() + record[b"of"]].count(b"alias " + digest) == 1
            else:
                aliases = [name.removeprefix(b"alias ") for name in record if name.startswith(b"alias ")]
                assert all(digest in records[KEYS.contacts.encode() + alias] for alias in aliases)
    for each in IDENTITIES:
        driver.store.contacts.erase(ACCOUNT, each)
    assert not driver.call("KEYS", f"{KEYS.contacts}*")
