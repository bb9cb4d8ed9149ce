"""Contacts: the flow of a conversation, what is learned of a contact, and which addresses belong to one contact."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from router.message.inbound import Message
from router.routing.contact import (
    NOTHING_KNOWN,
    Assignment,
    Candidate,
    Choice,
    Known,
    Strength,
    contact_id,
    identities_of,
    keeps,
)
from router.store import Store, connect
from router.store.contacts import ALL
from router.store.keys import AccountKeys
from router.store.lanes import Acceptance, new_token
from tests.integrations import sending
from tests.valkey import ValkeyServer

ACCOUNT, OTHER_ACCOUNT = "AC" + "0b" * 16, "AC" + "1b" * 16
KEYS = AccountKeys(ACCOUNT)
OURS, OTHER_OURS = "whatsapp:+15551230001", "whatsapp:+15551230002"
PHONE, USER_ID, THIRD = "whatsapp:+34600111222", "whatsapp:ES.13491208655302741918", "whatsapp:+34600999888"
PARENT = "whatsapp:ES.ENT.13491208655302741918"
SPANISH, ENGLISH, DEFAULT, REDIRECTING = ("FO" + digit * 32 for digit in "1234")
HOURS = 24.0
HOUR_MS = 3_600_000

CHOICE = Choice(
    identities=(PHONE,),
    ours=OURS,
    language="",
    strength=Strength.SILENT,
    confident=False,
    candidates=(
        Candidate(SPANISH, "queue", lasting=False),
        Candidate(ENGLISH, "queue", lasting=True),
        Candidate(DEFAULT, "queue", lasting=False),
        Candidate(REDIRECTING, "redirected", lasting=False),
    ),
)


@dataclass
class Driver:
    """Accepts messages with a given route, and reads the contacts that they make."""

    store: Store
    count: int = 0

    def accept(self, flow: str, choice: Choice = CHOICE, *, final: bool = False, **more: Any) -> Acceptance:
        """Let a message arrive that was routed to `flow`, "" for none."""
        self.count += 1
        facts = {"raw": b"body", "why": "chosen"} | ({"flow": flow} if flow else {"error": "no flow takes it"})
        given: dict[str, Any] = {
            "token": new_token(),
            "message_sid": f"SM{self.count:032x}",
            "disposition": "queue" if flow else "unrouted",
            "lease": bool(flow),
            "versions": (),
            "facts": facts | ({"language": choice.language} if choice.language else {}),
        }
        return self.store.lanes.accept(
            account_sid=ACCOUNT, lane=contact_id(choice.ours), choice=choice, final=final, **(given | more)
        )

    def stored(self, name: str) -> str:
        """Read a field of the message that came last."""
        value = self.store.flows._client.call("HGET", f"{KEYS.messages}{ACCOUNT}:SM{self.count:032x}", name)
        return (value or b"").decode()

    def assignment(self, identity: str = PHONE, ours: str = OURS) -> Assignment | None:
        """Read the assignment of a conversation."""
        contact = self.store.contacts.get(ACCOUNT, identity)
        return contact.assignments.get(ours) if contact else None

    def idle(self, hours: float) -> None:
        """Let all conversations be idle for so long."""
        client = self.store.flows._client
        for key in client.call("KEYS", f"{KEYS.contacts}*"):
            for name in client.call("HKEYS", key):
                if name.startswith(b"stay "):
                    flow, confident, at, language = client.call("HGET", key, name).decode().split(" ", 3)
                    earlier = int(at) - int(hours * HOUR_MS)
                    client.call("HSET", key, name, f"{flow} {confident} {earlier} {language}")

    def expires(self, identity: str) -> int:
        """Return the seconds until an address's record expires, -1 for never, -2 without a record."""
        return int(self.store.flows._client.call("TTL", KEYS.contacts + contact_id(identity)))


@pytest.fixture
def driver(valkey: ValkeyServer) -> Iterator[Driver]:
    """An empty store."""
    store = connect(sending.settings(ROUTER_REDIS_URL=valkey.url, ROUTER_STICKY_HOURS=str(HOURS)))
    yield Driver(store)
    store.close()


def _spanish(**more: Any) -> Choice:
    """Make a confident choice of Spanish."""
    return replace(CHOICE, language="es", strength=Strength.DECIDED, confident=True, **more)


# -- the flow of a conversation --------------------------------------------------------------------------------------


def test_a_conversation_stays_with_its_flow_when_a_message_says_nothing(driver: Driver) -> None:
    """After a message in Spanish, "ok" goes to the Spanish flow, in Spanish, and the record says why."""
    assert not driver.accept(SPANISH, _spanish()).kept
    kept = driver.accept(DEFAULT)
    assert (kept.kept, kept.flow_sid, kept.language) == (True, SPANISH, "es")
    assert (driver.stored("flow"), driver.stored("language")) == (SPANISH, "es")
    assert driver.stored("why") == f"chosen\nThe conversation stays with {SPANISH} in es"


def test_a_message_without_a_matching_flow_goes_to_its_conversations_flow(driver: Driver) -> None:
    """At an address without a default flow, the "ok" of an assigned conversation is not unrouted."""
    driver.accept(SPANISH, _spanish(), lease=False)
    kept = driver.accept("")
    assert (kept.flow_sid, driver.stored("state"), driver.stored("error")) == (SPANISH, "queued", "")
    assert driver.store.deliveries.counts(ACCOUNT).unrouted == 0


def test_a_clear_text_moves_a_conversation_only_from_another_language(driver: Driver) -> None:
    """With LanguageChange a clear text moves a conversation from another language's flow, but not from a rule's."""
    english = replace(CHOICE, language="en", strength=Strength.CLEAR, confident=True, settled=True)
    ordered = replace(CHOICE, strength=Strength.OUTRIGHT, confident=True)
    driver.accept(SPANISH, _spanish())
    assert not driver.accept(ENGLISH, english).kept
    driver.accept(DEFAULT, ordered)
    assert driver.accept(ENGLISH, english).kept
    driver.accept(DEFAULT, replace(ordered, language="en"))
    assert driver.accept(ENGLISH, english).kept


def test_an_assignment_affects_only_its_conversation(driver: Driver) -> None:
    """The assignment of a conversation has no effect on another contact, or on another address of ours."""
    driver.accept(SPANISH, _spanish())
    assert not driver.accept(DEFAULT, replace(CHOICE, identities=(THIRD,))).kept
    assert not driver.accept(DEFAULT, replace(CHOICE, ours=OTHER_OURS)).kept


def test_a_disabled_or_deleted_flow_ends_the_assignment(driver: Driver) -> None:
    """A conversation does not stay with a flow that was disabled or deleted."""
    driver.accept(SPANISH, _spanish())
    left = tuple(each for each in CHOICE.candidates if each.flow_sid != SPANISH)
    accepted = driver.accept(DEFAULT, replace(CHOICE, candidates=left))
    assert (accepted.kept, accepted.flow_sid) == (False, DEFAULT)


def test_an_idle_conversation_loses_its_flow_unless_that_is_long_lived(driver: Driver) -> None:
    """After ROUTER_STICKY_HOURS without a message the next one is routed anew, unless the flow is `LongLived`."""
    driver.accept(SPANISH, _spanish())
    driver.idle(HOURS - 1)
    assert driver.accept(DEFAULT).kept
    driver.idle(HOURS + 1)
    assert not driver.accept(DEFAULT).kept
    driver.accept(ENGLISH, replace(_spanish(), strength=Strength.OUTRIGHT))
    driver.idle(1000 * HOURS)
    assert driver.accept(DEFAULT).kept
    assert driver.expires(PHONE) == -1


def test_without_sticky_hours_only_long_lived_conversations_stay(valkey: ValkeyServer) -> None:
    """With ROUTER_STICKY_HOURS=0 only a `LongLived` flow keeps its conversations; the contacts of others expire."""
    store = connect(sending.settings(ROUTER_REDIS_URL=valkey.url, ROUTER_STICKY_HOURS="0"))
    driver = Driver(store)
    driver.accept(SPANISH, _spanish())
    driver.idle(0.001)
    assert not driver.accept(DEFAULT).kept
    assert driver.expires(PHONE) > 0
    driver.accept(ENGLISH, replace(CHOICE, strength=Strength.DECIDED, confident=True))
    driver.idle(1000)
    assert driver.accept(DEFAULT).kept
    store.close()


def test_a_kept_flow_gets_a_lease_of_its_own(driver: Driver) -> None:
    """The lease of a conversation's own flow does not depend on the slot that was taken for the chosen flow."""
    driver.accept(SPANISH, _spanish())
    driver.store.flows._client.call("FLUSHALL")
    for chosen, reserved, ready, kind in (
        (SPANISH, False, True, "accepted"),
        (DEFAULT, False, True, "leased"),
        ("", False, True, "leased"),
        (DEFAULT, True, False, "accepted"),
        ("", False, False, "accepted"),
    ):
        driver.store.contacts.change(ACCOUNT, PHONE, version="v", assignment=(OURS, SPANISH, "es"))
        accepted = driver.accept(chosen, replace(CHOICE, known="v"), lease=reserved, lease_kept=ready)
        assert (accepted.kept, accepted.kind) == (True, kind)
        driver.store.flows._client.call("FLUSHALL")


def test_a_message_kept_by_a_redirecting_flow_is_redirected(driver: Driver) -> None:
    """A message of a conversation with a redirecting flow is redirected, and not leased."""
    driver.accept(REDIRECTING, _spanish(), disposition="redirected", lease=False)
    kept = driver.accept(DEFAULT)
    assert (kept.kind, kept.flow_sid, driver.stored("state")) == ("accepted", REDIRECTING, "redirected")


def test_a_transient_route_does_not_change_the_assignment(driver: Driver) -> None:
    """STOP goes to the flow for opt-outs; the next message goes where the conversation was."""
    driver.accept(SPANISH, _spanish())
    before = driver.assignment()
    stop = replace(CHOICE, strength=Strength.OUTRIGHT, transient=True)
    assert driver.accept(DEFAULT, stop).flow_sid == DEFAULT
    assert driver.assignment() == before
    assert driver.accept(DEFAULT).flow_sid == SPANISH


def test_a_transient_route_stores_a_preference(driver: Driver) -> None:
    """The language preference in a message with a transient route is stored; nothing else is learned from it."""
    driver.accept(ENGLISH, replace(_spanish(learned={"en": 1.0}), language="en"))
    night = replace(CHOICE, strength=Strength.OUTRIGHT, settled=True, transient=True, learned={"fr": 1.0})
    driver.accept(DEFAULT, replace(night, preference="es"))
    contact = driver.store.contacts.get(ACCOUNT, PHONE)
    assert contact is not None
    assert (contact.known.preference, contact.known.learned, contact.assignments) == ("es", {"en": 1.0}, {})


def test_a_repeated_accept_gets_the_first_reply(driver: Driver) -> None:
    """An `accept` that is repeated with its token, after a lost reply, gets the same flow, language and lease."""
    driver.accept(SPANISH, _spanish())
    token = new_token()
    first = driver.accept(DEFAULT, token=token)
    driver.count -= 1
    assert driver.accept(DEFAULT, token=token) == first


STRENGTHS = st.sampled_from(list(Strength))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    before=st.tuples(
        st.sampled_from([SPANISH, ENGLISH, DEFAULT, "FO" + "9" * 32]), st.booleans(), st.sampled_from(["", "es"])
    ),
    hours=st.sampled_from([0.0, HOURS / 2, HOURS + 1]),
    strength=STRENGTHS,
    chosen=st.tuples(st.sampled_from([SPANISH, ENGLISH, DEFAULT]), st.sampled_from(["", "es", "en"])),
)
def test_accept_agrees_with_keeps(
    driver: Driver, before: tuple[str, bool, str], hours: float, strength: Strength, chosen: tuple[str, str]
) -> None:
    """The script `accept` and the function `keeps` always agree on whether a conversation keeps its flow."""
    flow, confident, language = before
    driver.store.contacts.erase(ACCOUNT, PHONE)
    driver.accept(flow, replace(CHOICE, strength=Strength.OUTRIGHT, confident=confident, language=language))
    driver.idle(hours)
    assignment = driver.assignment()
    assert assignment is not None
    assert assignment.language == language
    choice = replace(CHOICE, strength=strength, language=chosen[1])
    expected = keeps(assignment, choice, now=assignment.at + int(hours * HOUR_MS), sticky_hours=HOURS)
    accepted = driver.accept(chosen[0], choice)
    assert accepted.kept == expected
    assert accepted.flow_sid == (flow if expected else chosen[0])


# -- what is known of a contact ---------------------------------------------------------------------------------------


def test_a_choice_made_without_the_current_contact_is_stale(driver: Driver) -> None:
    """If a choice was made without the contact's current version, `accept` returns the contact; not if it is final."""
    driver.accept(SPANISH, _spanish(learned={"es": 0.9, "other": 0.1}, ours=OTHER_OURS))
    stale = driver.accept(DEFAULT)
    assert stale.kind == "stale"
    assert stale.known is not None
    assert stale.known.learned == {"es": 0.9, "other": 0.1}
    assert driver.stored("state") == ""
    informed = replace(CHOICE, known=stale.known.version)
    driver.store.contacts.change(ACCOUNT, PHONE, version="later", preference="ca")
    again = driver.accept(SPANISH, informed)
    assert (again.kind, again.known and again.known.preference) == ("stale", "ca")
    assert driver.accept(SPANISH, replace(CHOICE, known="later")).kind == "leased"
    driver.store.contacts.change(ACCOUNT, PHONE, version="later still", close=ALL)
    assert driver.accept(SPANISH, informed, final=True).kind == "accepted"
    outright = replace(_spanish(), strength=Strength.OUTRIGHT)
    assert driver.accept(DEFAULT, outright).kind == "stale"
    assert driver.accept(DEFAULT, replace(outright, settled=True)).kind != "stale"


def test_an_assigned_conversation_changes_no_languages(driver: Driver) -> None:
    """A word in another language within an assigned conversation does not change the contact's languages."""
    driver.accept(SPANISH, _spanish(learned={"es": 1.0}))
    assert driver.accept(DEFAULT, replace(CHOICE, learned={"it": 1.0})).kept
    contact = driver.store.contacts.get(ACCOUNT, PHONE)
    assert contact is not None
    assert contact.known.learned == {"es": 1.0}


def test_a_message_of_an_assigned_conversation_needs_no_second_call(driver: Driver) -> None:
    """A message of an assigned conversation is accepted without the contact's version."""
    driver.accept(SPANISH, _spanish(learned={"es": 1.0}))
    assert driver.accept(DEFAULT).kept


def test_a_preference_is_kept_until_it_is_erased(driver: Driver) -> None:
    """A contact that chose a language is not forgotten; any other is, after the retention."""
    driver.accept(DEFAULT, replace(CHOICE, learned={"es": 0.6}))
    assert 0 < driver.expires(PHONE) <= 7 * 86400
    driver.accept(SPANISH, replace(_spanish(), strength=Strength.OUTRIGHT, settled=True, preference="es"))
    assert driver.expires(PHONE) == -1
    contact = driver.store.contacts.get(ACCOUNT, PHONE)
    assert contact is not None
    assert contact.known.preference == "es"


def test_a_message_without_a_choice_makes_no_contact(driver: Driver) -> None:
    """A message to an address with one flow, which needs no choice, makes no contact."""
    driver.store.lanes.accept(
        token=new_token(), account_sid=ACCOUNT, message_sid="SM" + "e" * 32, lane="a" * 24, disposition="queue",
        lease=False, versions=(), facts={"raw": b"body", "why": "chosen", "flow": DEFAULT},
    )  # fmt: skip
    assert not driver.store.flows._client.call("KEYS", f"{KEYS.contacts}*")


# -- one person, several addresses ------------------------------------------------------------------------------------

BOTH = replace(CHOICE, identities=(PHONE, USER_ID))


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        pytest.param({}, (PHONE,), id="a number"),
        pytest.param({"ExternalUserId": USER_ID}, (PHONE, USER_ID), id="number and business-scoped id"),
        pytest.param({"ExternalUserIdentifier": USER_ID}, (PHONE, USER_ID), id="the field's other name"),
        pytest.param({"WaId": "34600111222"}, (PHONE,), id="the same number"),
        pytest.param({"WaId": "34600999888"}, (PHONE, THIRD), id="WhatsApp knows it by another number"),
        pytest.param({"WaId": "ES.1349"}, (PHONE,), id="no number"),
        pytest.param({"WaId": "9" * 500}, (PHONE,), id="too long for a number"),
        pytest.param({"ExternalUserId": USER_ID, "ParentExternalUserId": PARENT}, (PHONE, USER_ID, PARENT), id="two"),
        pytest.param({"ExternalUserId": "whatsapp:\n{}"}, (PHONE,), id="no id"),
    ],
)
def test_the_addresses_of_a_sender(params: Mapping[str, str], expected: tuple[str, ...]) -> None:
    """`identities_of` returns all addresses that a message names of its sender, From first."""
    message = Message(ACCOUNT, "SM" + "1" * 32, PHONE, OURS, "whatsapp", params=params)
    assert identities_of(message) == expected
    sms = Message(ACCOUNT, "SM" + "1" * 32, "+34600111222", "+15551230001", "sms", params=params)
    assert identities_of(sms) == ("+34600111222",)


def test_a_conversation_goes_on_when_the_contact_hides_the_number(driver: Driver) -> None:
    """After Twilio named number and user id together, a message from the id alone goes to the number's flow."""
    driver.accept(SPANISH, _spanish(identities=(PHONE, USER_ID)))
    kept = driver.accept(DEFAULT, replace(CHOICE, identities=(USER_ID,)))
    assert (kept.kept, kept.flow_sid) == (True, SPANISH)
    contact = driver.store.contacts.get(ACCOUNT, USER_ID)
    assert contact is not None
    assert (contact.identity, contact.aliases) == (PHONE, (USER_ID,))


def test_two_contacts_become_one(driver: Driver) -> None:
    """The record of a user id, with its aliases, moves to the number, unless the number has a record of its own."""
    driver.accept(
        ENGLISH, replace(_spanish(), identities=(USER_ID, THIRD), ours=OTHER_OURS, strength=Strength.OUTRIGHT)
    )
    driver.accept(SPANISH, _spanish())
    driver.accept(SPANISH, BOTH)
    contact = driver.store.contacts.get(ACCOUNT, THIRD)
    assert contact is not None
    assert (contact.identity, contact.aliases) == (PHONE, tuple(sorted((USER_ID, THIRD))))
    assert {ours: each.flow_sid for ours, each in contact.assignments.items()} == {OURS: SPANISH, OTHER_OURS: ENGLISH}


def test_an_alias_of_another_contact_is_not_taken_over(driver: Driver) -> None:
    """If a message links its sender to an address of another contact, that contact keeps the address."""
    driver.accept(SPANISH, _spanish(identities=(PHONE, USER_ID)))
    driver.accept(ENGLISH, replace(_spanish(), identities=(THIRD,)))
    driver.accept(ENGLISH, replace(CHOICE, identities=(THIRD, USER_ID)))
    contact = driver.store.contacts.get(ACCOUNT, USER_ID)
    assert contact is not None
    assert contact.identity == PHONE


def test_aliases_are_kept_as_long_as_their_contact(driver: Driver) -> None:
    """An alias expires with its contact; if the contact does not expire, neither does the alias."""
    driver.accept(SPANISH, _spanish(identities=(PHONE, USER_ID)))
    assert abs(driver.expires(USER_ID) - driver.expires(PHONE)) <= 1
    driver.store.contacts.change(ACCOUNT, PHONE, version=new_token(), preference="es")
    assert driver.expires(USER_ID) == driver.expires(PHONE) == -1


# -- what an operator can do -----------------------------------------------------------------------------------------


def test_a_contact_is_set_and_changed(driver: Driver) -> None:
    """A contact can be created before its first message; unnamed values stay, and "" removes a value."""
    contacts = driver.store.contacts
    assert contacts.change(ACCOUNT, PHONE, version="1", language="ca", aliases=[USER_ID])
    assert contacts.change(ACCOUNT, USER_ID, version="2", preference="es", assignment=(OURS, SPANISH, "es"))
    contact = contacts.get(ACCOUNT, PHONE)
    assert contact is not None
    assert contact.known == Known("2", "es", "ca")
    assert driver.accept(DEFAULT).flow_sid == SPANISH
    contacts.change(ACCOUNT, PHONE, version="3", preference="")
    assert contacts.get(ACCOUNT, PHONE).known == Known("3", "", "ca")  # type: ignore[union-attr]
    assert contacts.get(OTHER_ACCOUNT, PHONE) is None


def test_a_conversation_is_closed(driver: Driver) -> None:
    """One or all of a contact's conversations end; an unknown contact has nothing to close."""
    contacts = driver.store.contacts
    assert not contacts.change(ACCOUNT, PHONE, version="1", close=ALL)
    assert driver.expires(PHONE) == -2
    for ours in (OURS, OTHER_OURS):
        driver.accept(SPANISH, _spanish(ours=ours))
    assert contacts.change(ACCOUNT, PHONE, version="1", close=OURS)
    assert (driver.assignment(), driver.assignment(ours=OTHER_OURS) is not None) == (None, True)
    contacts.change(ACCOUNT, PHONE, version="1", close=ALL)
    assert not driver.accept(DEFAULT).kept


def test_a_contact_is_erased_with_its_aliases(driver: Driver) -> None:
    """Nothing is left of an erased contact, whichever of its addresses it was erased by."""
    driver.accept(SPANISH, _spanish(identities=(PHONE, USER_ID), learned={"es": 1.0}))
    assert driver.store.contacts.erase(ACCOUNT, USER_ID)
    assert not driver.store.flows._client.call("KEYS", f"{KEYS.contacts}*")
    assert driver.store.contacts.erase(ACCOUNT, USER_ID) is None
    assert driver.store.contacts.first(ACCOUNT, (USER_ID, PHONE)) is None
    assert NOTHING_KNOWN.version == ""
