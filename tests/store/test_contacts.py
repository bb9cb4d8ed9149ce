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
class Desk:
    """A store, and messages that arrive with a route."""

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

    def stay(self, identity: str = PHONE, ours: str = OURS) -> Assignment | None:
        """Read what a conversation stays with."""
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
def desk(valkey: ValkeyServer) -> Iterator[Desk]:
    """An empty store."""
    store = connect(sending.settings(ROUTER_REDIS_URL=valkey.url, ROUTER_STICKY_HOURS=str(HOURS)))
    yield Desk(store)
    store.close()


def _spanish(**more: Any) -> Choice:
    """A choice that took Spanish for sure."""
    return replace(CHOICE, language="es", strength=Strength.DECIDED, confident=True, **more)


# -- what a conversation stays with -----------------------------------------------------------------------------------


def test_a_conversation_stays_with_its_flow_when_a_message_says_nothing(desk: Desk) -> None:
    """After a message in Spanish, "ok" goes to the Spanish flow, in Spanish, and the record says why."""
    assert not desk.accept(SPANISH, _spanish()).kept
    kept = desk.accept(DEFAULT)
    assert (kept.kept, kept.flow_sid, kept.language) == (True, SPANISH, "es")
    assert (desk.stored("flow"), desk.stored("language")) == (SPANISH, "es")
    assert desk.stored("why") == f"chosen\nThe conversation stays with {SPANISH} in es"


def test_a_message_that_no_flow_takes_goes_where_its_conversation_is(desk: Desk) -> None:
    """At an address without a default flow, the "ok" of an assigned conversation is not unrouted."""
    desk.accept(SPANISH, _spanish(), lease=False)
    kept = desk.accept("")
    assert (kept.flow_sid, desk.stored("state"), desk.stored("error")) == (SPANISH, "queued", "")
    assert desk.store.deliveries.counts(ACCOUNT).unrouted == 0


def test_a_clear_text_moves_only_what_is_in_another_language(desk: Desk) -> None:
    """With LanguageChange a clear sentence leaves the flow of another language, and not one that a rule has chosen."""
    english = replace(CHOICE, language="en", strength=Strength.CLEAR, confident=True, settled=True)
    ordered = replace(CHOICE, strength=Strength.OUTRIGHT, confident=True)
    desk.accept(SPANISH, _spanish())
    assert not desk.accept(ENGLISH, english).kept
    desk.accept(DEFAULT, ordered)
    assert desk.accept(ENGLISH, english).kept
    desk.accept(DEFAULT, replace(ordered, language="en"))
    assert desk.accept(ENGLISH, english).kept


def test_conversations_are_apart(desk: Desk) -> None:
    """The assignment of a conversation has no effect on another contact, or on another address of ours."""
    desk.accept(SPANISH, _spanish())
    assert not desk.accept(DEFAULT, replace(CHOICE, identities=(THIRD,))).kept
    assert not desk.accept(DEFAULT, replace(CHOICE, ours=OTHER_OURS)).kept


def test_a_disabled_or_deleted_flow_ends_the_assignment(desk: Desk) -> None:
    """A conversation does not stay with a flow that was disabled or deleted."""
    desk.accept(SPANISH, _spanish())
    left = tuple(each for each in CHOICE.candidates if each.flow_sid != SPANISH)
    accepted = desk.accept(DEFAULT, replace(CHOICE, candidates=left))
    assert (accepted.kept, accepted.flow_sid) == (False, DEFAULT)


def test_idleness_ends_a_stay_but_a_lasting_one(desk: Desk) -> None:
    """After ROUTER_STICKY_HOURS without a message the next one chooses anew, unless the flow's conversations last."""
    desk.accept(SPANISH, _spanish())
    desk.idle(HOURS - 1)
    assert desk.accept(DEFAULT).kept
    desk.idle(HOURS + 1)
    assert not desk.accept(DEFAULT).kept
    desk.accept(ENGLISH, replace(_spanish(), strength=Strength.OUTRIGHT))
    desk.idle(1000 * HOURS)
    assert desk.accept(DEFAULT).kept
    assert desk.expires(PHONE) == -1


def test_without_sticky_hours_nothing_stays(valkey: ValkeyServer) -> None:
    """`ROUTER_STICKY_HOURS=0` keeps no conversation, nor its contact for ever; a `LongLived` flow keeps its own."""
    store = connect(sending.settings(ROUTER_REDIS_URL=valkey.url, ROUTER_STICKY_HOURS="0"))
    desk = Desk(store)
    desk.accept(SPANISH, _spanish())
    desk.idle(0.001)
    assert not desk.accept(DEFAULT).kept
    assert desk.expires(PHONE) > 0
    desk.accept(ENGLISH, replace(CHOICE, strength=Strength.DECIDED, confident=True))
    desk.idle(1000)
    assert desk.accept(DEFAULT).kept
    store.close()


def test_a_kept_flow_gets_a_lease_of_its_own(desk: Desk) -> None:
    """The lease of a conversation's own flow does not depend on the slot that was taken for the chosen flow."""
    desk.accept(SPANISH, _spanish())
    desk.store.flows._client.call("FLUSHALL")
    for chosen, reserved, ready, kind in (
        (SPANISH, False, True, "accepted"),
        (DEFAULT, False, True, "leased"),
        ("", False, True, "leased"),
        (DEFAULT, True, False, "accepted"),
        ("", False, False, "accepted"),
    ):
        desk.store.contacts.change(ACCOUNT, PHONE, version="v", assignment=(OURS, SPANISH, "es"))
        accepted = desk.accept(chosen, replace(CHOICE, known="v"), lease=reserved, lease_kept=ready)
        assert (accepted.kept, accepted.kind) == (True, kind)
        desk.store.flows._client.call("FLUSHALL")


def test_a_message_kept_by_a_redirecting_flow_is_redirected(desk: Desk) -> None:
    """A message of a conversation with a redirecting flow is redirected, and not leased."""
    desk.accept(REDIRECTING, _spanish(), disposition="redirected", lease=False)
    kept = desk.accept(DEFAULT)
    assert (kept.kind, kept.flow_sid, desk.stored("state")) == ("accepted", REDIRECTING, "redirected")


def test_a_passing_message_leaves_the_conversation_as_it_is(desk: Desk) -> None:
    """STOP goes to the flow for opt-outs; the next message goes where the conversation was."""
    desk.accept(SPANISH, _spanish())
    before = desk.stay()
    stop = replace(CHOICE, strength=Strength.OUTRIGHT, transient=True)
    assert desk.accept(DEFAULT, stop).flow_sid == DEFAULT
    assert desk.stay() == before
    assert desk.accept(DEFAULT).flow_sid == SPANISH


def test_a_preference_is_heard_in_passing(desk: Desk) -> None:
    """A preference that a transient route received counts for the next message; nothing else is learned."""
    desk.accept(ENGLISH, replace(_spanish(learned={"en": 1.0}), language="en"))
    night = replace(CHOICE, strength=Strength.OUTRIGHT, settled=True, transient=True, learned={"fr": 1.0})
    desk.accept(DEFAULT, replace(night, preference="es"))
    contact = desk.store.contacts.get(ACCOUNT, PHONE)
    assert contact is not None
    assert (contact.known.preference, contact.known.learned, contact.assignments) == ("es", {"en": 1.0}, {})


def test_a_repeated_accept_answers_as_the_first_did(desk: Desk) -> None:
    """The call whose reply was lost gives the same flow, language and lease again."""
    desk.accept(SPANISH, _spanish())
    token = new_token()
    first = desk.accept(DEFAULT, token=token)
    desk.count -= 1
    assert desk.accept(DEFAULT, token=token) == first


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
def test_the_store_decides_as_the_rule_says(
    desk: Desk, before: tuple[str, bool, str], hours: float, strength: Strength, chosen: tuple[str, str]
) -> None:
    """The script and `stays`, which only asks, always agree on whether a conversation stays."""
    flow, confident, language = before
    desk.store.contacts.erase(ACCOUNT, PHONE)
    desk.accept(flow, replace(CHOICE, strength=Strength.OUTRIGHT, confident=confident, language=language))
    desk.idle(hours)
    stay = desk.stay()
    assert stay is not None
    assert stay.language == language
    choice = replace(CHOICE, strength=strength, language=chosen[1])
    expected = keeps(stay, choice, now=stay.at + int(hours * HOUR_MS), sticky_hours=HOURS)
    accepted = desk.accept(chosen[0], choice)
    assert accepted.kept == expected
    assert accepted.flow_sid == (flow if expected else chosen[0])


# -- what is known of a contact ---------------------------------------------------------------------------------------


def test_what_is_known_is_reported_where_it_may_change_the_choice(desk: Desk) -> None:
    """A choice is stale where the contact is not as it took it and the conversation has no flow; not a final one."""
    desk.accept(SPANISH, _spanish(learned={"es": 0.9, "other": 0.1}, ours=OTHER_OURS))
    stale = desk.accept(DEFAULT)
    assert stale.kind == "stale"
    assert stale.known is not None
    assert stale.known.learned == {"es": 0.9, "other": 0.1}
    assert desk.stored("state") == ""
    informed = replace(CHOICE, known=stale.known.version)
    desk.store.contacts.change(ACCOUNT, PHONE, version="later", preference="ca")
    again = desk.accept(SPANISH, informed)
    assert (again.kind, again.known and again.known.preference) == ("stale", "ca")
    assert desk.accept(SPANISH, replace(CHOICE, known="later")).kind == "leased"
    desk.store.contacts.change(ACCOUNT, PHONE, version="later still", close=ALL)
    assert desk.accept(SPANISH, informed, final=True).kind == "accepted"
    outright = replace(_spanish(), strength=Strength.OUTRIGHT)
    assert desk.accept(DEFAULT, outright).kind == "stale"
    assert desk.accept(DEFAULT, replace(outright, settled=True)).kind != "stale"


def test_an_assigned_conversation_changes_no_languages(desk: Desk) -> None:
    """A word in another language within an assigned conversation does not change the contact's languages."""
    desk.accept(SPANISH, _spanish(learned={"es": 1.0}))
    assert desk.accept(DEFAULT, replace(CHOICE, learned={"it": 1.0})).kept
    contact = desk.store.contacts.get(ACCOUNT, PHONE)
    assert contact is not None
    assert contact.known.learned == {"es": 1.0}


def test_a_firm_conversation_costs_no_second_call(desk: Desk) -> None:
    """A message of an assigned conversation is routed without reading the contact."""
    desk.accept(SPANISH, _spanish(learned={"es": 1.0}))
    assert desk.accept(DEFAULT).kept


def test_a_preference_is_kept_until_it_is_erased(desk: Desk) -> None:
    """A contact that chose a language is not forgotten; any other is, after the retention."""
    desk.accept(DEFAULT, replace(CHOICE, learned={"es": 0.6}))
    assert 0 < desk.expires(PHONE) <= 7 * 86400
    desk.accept(SPANISH, replace(_spanish(), strength=Strength.OUTRIGHT, settled=True, preference="es"))
    assert desk.expires(PHONE) == -1
    contact = desk.store.contacts.get(ACCOUNT, PHONE)
    assert contact is not None
    assert contact.known.preference == "es"


def test_nothing_is_kept_of_a_message_without_a_choice(desk: Desk) -> None:
    """An address with one flow makes no record of its contacts."""
    desk.store.lanes.accept(
        token=new_token(), account_sid=ACCOUNT, message_sid="SM" + "e" * 32, lane="a" * 24, disposition="queue",
        lease=False, versions=(), facts={"raw": b"body", "why": "chosen", "flow": DEFAULT},
    )  # fmt: skip
    assert not desk.store.flows._client.call("KEYS", f"{KEYS.contacts}*")


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
        pytest.param({"WaId": "9" * 500}, (PHONE,), id="no one's number"),
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


def test_a_conversation_goes_on_when_the_contact_hides_the_number(desk: Desk) -> None:
    """After Twilio named number and user id together, a message from the id alone goes to the number's flow."""
    desk.accept(SPANISH, _spanish(identities=(PHONE, USER_ID)))
    kept = desk.accept(DEFAULT, replace(CHOICE, identities=(USER_ID,)))
    assert (kept.kept, kept.flow_sid) == (True, SPANISH)
    contact = desk.store.contacts.get(ACCOUNT, USER_ID)
    assert contact is not None
    assert (contact.identity, contact.aliases) == (PHONE, (USER_ID,))


def test_two_contacts_become_one(desk: Desk) -> None:
    """The record of a user id, with its aliases, moves to the number, unless the number has a record of its own."""
    desk.accept(ENGLISH, replace(_spanish(), identities=(USER_ID, THIRD), ours=OTHER_OURS, strength=Strength.OUTRIGHT))
    desk.accept(SPANISH, _spanish())
    desk.accept(SPANISH, BOTH)
    contact = desk.store.contacts.get(ACCOUNT, THIRD)
    assert contact is not None
    assert (contact.identity, contact.aliases) == (PHONE, tuple(sorted((USER_ID, THIRD))))
    assert {ours: stay.flow_sid for ours, stay in contact.assignments.items()} == {OURS: SPANISH, OTHER_OURS: ENGLISH}


def test_an_address_of_a_third_stays_there(desk: Desk) -> None:
    """An address of another contact is not taken over."""
    desk.accept(SPANISH, _spanish(identities=(PHONE, USER_ID)))
    desk.accept(ENGLISH, replace(_spanish(), identities=(THIRD,)))
    desk.accept(ENGLISH, replace(CHOICE, identities=(THIRD, USER_ID)))
    contact = desk.store.contacts.get(ACCOUNT, USER_ID)
    assert contact is not None
    assert contact.identity == PHONE


def test_aliases_are_kept_as_long_as_their_contact(desk: Desk) -> None:
    """An alias expires with its contact; if the contact does not expire, neither does the alias."""
    desk.accept(SPANISH, _spanish(identities=(PHONE, USER_ID)))
    assert abs(desk.expires(USER_ID) - desk.expires(PHONE)) <= 1
    desk.store.contacts.change(ACCOUNT, PHONE, version=new_token(), preference="es")
    assert desk.expires(USER_ID) == desk.expires(PHONE) == -1


# -- what the operator does -------------------------------------------------------------------------------------------


def test_a_contact_is_set_and_changed(desk: Desk) -> None:
    """A contact can be created before its first message; unnamed values stay, and "" removes a value."""
    contacts = desk.store.contacts
    assert contacts.change(ACCOUNT, PHONE, version="1", language="ca", aliases=[USER_ID])
    assert contacts.change(ACCOUNT, USER_ID, version="2", preference="es", assignment=(OURS, SPANISH, "es"))
    contact = contacts.get(ACCOUNT, PHONE)
    assert contact is not None
    assert contact.known == Known("2", "es", "ca")
    assert desk.accept(DEFAULT).flow_sid == SPANISH
    contacts.change(ACCOUNT, PHONE, version="3", preference="")
    assert contacts.get(ACCOUNT, PHONE).known == Known("3", "", "ca")  # type: ignore[union-attr]
    assert contacts.get(OTHER_ACCOUNT, PHONE) is None


def test_a_conversation_is_closed(desk: Desk) -> None:
    """One or all of a contact's conversations end; an unknown contact has nothing to close."""
    contacts = desk.store.contacts
    assert not contacts.change(ACCOUNT, PHONE, version="1", close=ALL)
    assert desk.expires(PHONE) == -2
    for ours in (OURS, OTHER_OURS):
        desk.accept(SPANISH, _spanish(ours=ours))
    assert contacts.change(ACCOUNT, PHONE, version="1", close=OURS)
    assert (desk.stay(), desk.stay(ours=OTHER_OURS) is not None) == (None, True)
    contacts.change(ACCOUNT, PHONE, version="1", close=ALL)
    assert not desk.accept(DEFAULT).kept


def test_a_contact_is_erased_with_its_aliases(desk: Desk) -> None:
    """Nothing is left of an erased contact, whichever of its addresses it was erased by."""
    desk.accept(SPANISH, _spanish(identities=(PHONE, USER_ID), learned={"es": 1.0}))
    assert desk.store.contacts.erase(ACCOUNT, USER_ID)
    assert not desk.store.flows._client.call("KEYS", f"{KEYS.contacts}*")
    assert desk.store.contacts.erase(ACCOUNT, USER_ID) is None
    assert desk.store.contacts.first(ACCOUNT, (USER_ID, PHONE)) is None
    assert NOTHING_KNOWN.version == ""
