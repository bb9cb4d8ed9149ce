"""A flow that gives way to another one, contact by contact: what accept.lua decides."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from router.routing.contact import Candidate, Choice, Migration, Strength, contact_id, keeps, moves
from router.store import connect
from router.store.lanes import Acceptance, Room, Settlement
from router.store.proxied import SENDING_SECONDS
from tests.integrations import sending
from tests.store.test_contacts import ACCOUNT, CHOICE, DEFAULT, ENGLISH, HOUR_MS, HOURS, OURS, PHONE, SPANISH, Desk
from tests.valkey import ValkeyServer

LANE = contact_id(OURS)
FROM, TO = DEFAULT, ENGLISH
MOVE = Migration(FROM, TO, share=True, drain=False, proxy=True)
MOVING = replace(
    CHOICE,
    candidates=tuple(Candidate(sid, "queue", lasting=False) for sid in (FROM, TO, SPANISH)),
    migration=MOVE,
)
DRAINING = replace(MOVING, migration=replace(MOVE, drain=True))


@pytest.fixture
def desk(valkey: ValkeyServer) -> Iterator[Desk]:
    """A store whose list of sessions is up to date, and empty."""
    store = connect(sending.settings(ROUTER_REDIS_URL=valkey.url, ROUTER_STICKY_HOURS=str(HOURS)))
    store.proxied.put(ACCOUNT, (), seconds=60)
    yield Desk(store)
    store.close()


def accept(desk: Desk, choice: Choice = MOVING, **more: Any) -> Acceptance:
    """Let a message arrive for the flow that is migrated, and deliver it."""
    accepted = desk.accept(FROM, choice, lease=False, **more)
    finish(desk)
    return accepted


def forget_sending(desk: Desk) -> None:
    """Let five minutes pass since the last message was sent to Proxy."""
    desk.store.flows._client.call("UNLINK", f"proxying:{{{ACCOUNT[-2:]}}}:{ACCOUNT}:{LANE}")


def finish(desk: Desk) -> None:
    """Deliver what waits."""
    for lease in desk.store.lanes.claim(ACCOUNT[-2:], Room(9)).leases:
        desk.store.lanes.settle(lease, Settlement("delivered"), next_token="")


def test_a_new_contact_moves_and_stays_where_it_moved(desk: Desk) -> None:
    """A contact that moved stays with the new flow, also when the share is lowered; record and counts have it."""
    moved = accept(desk)
    assert (moved.flow_sid, moved.moved, desk.stored("flow")) == (TO, True, TO)
    assert desk.stored("why") == f"chosen\nThe contact moves to {TO}"
    back = replace(MOVING, migration=replace(MOVE, share=False))
    kept = accept(desk, back)
    assert (kept.flow_sid, kept.kept, kept.moved) == (TO, True, False)
    desk.idle(HOURS + 1)
    assert accept(desk, back).flow_sid == FROM
    progress = desk.store.proxied.progress(ACCOUNT, FROM)
    assert (progress.moved, progress.to, progress.from_, progress.live) == (1, 2, 1, 0)


def test_a_contact_outside_the_share_does_not_move(desk: Desk) -> None:
    """The hash of the contact decides, and the same choice is kept."""
    assert accept(desk, replace(MOVING, migration=replace(MOVE, share=False))).flow_sid == FROM
    assert accept(desk).flow_sid == FROM


def test_the_conversations_there_are_stay_until_they_are_idle_or_drained(desk: Desk) -> None:
    """With a share of the new contacts, one that has the old flow keeps it; when it drains it moves at its message."""
    accept(desk, replace(MOVING, migration=replace(MOVE, share=False)))
    assert accept(desk).flow_sid == FROM
    assert accept(desk, DRAINING).flow_sid == FROM  # it was sent to Proxy just now
    forget_sending(desk)
    assert accept(desk, DRAINING).flow_sid == TO
    desk.store.contacts.erase(ACCOUNT, PHONE)
    accept(desk, replace(MOVING, migration=replace(MOVE, share=False)))
    desk.idle(HOURS + 1)
    forget_sending(desk)
    assert accept(desk).flow_sid == TO


@pytest.mark.parametrize("choice", [MOVING, DRAINING], ids=["new", "drain"])
@pytest.mark.parametrize("why", ["session", "alias", "sending", "waiting", "unknown"])
def test_a_contact_that_may_be_in_a_session_stays(desk: Desk, choice: Choice, why: str) -> None:
    """A contact in a session, just sent to Proxy, with a message on its way, or unknown, stays with the old flow."""
    if choice is DRAINING:
        accept(desk, replace(MOVING, migration=replace(MOVE, share=False)))
        forget_sending(desk)
    identities: tuple[str, ...] = (PHONE,)
    if why == "session":
        desk.store.proxied.put(ACCOUNT, [contact_id(PHONE)], seconds=60)
    elif why == "alias":
        identities = (PHONE, "whatsapp:ES.1")
        desk.store.proxied.put(ACCOUNT, [contact_id("whatsapp:ES.1")], seconds=60)
    elif why == "sending":
        desk.store.proxied.sending(ACCOUNT, LANE, FROM)
    elif why == "waiting":
        desk.accept(FROM, replace(MOVING, migration=replace(MOVE, share=False)), lease=False)
        if choice is MOVING:  # it was accepted before the migration began, when no contact was kept
            desk.store.contacts.erase(ACCOUNT, PHONE)
        forget_sending(desk)
    else:
        desk.store.flows._client.call("UNLINK", f"proxied:{{{ACCOUNT[-2:]}}}:{ACCOUNT}")
    stayed = accept(desk, replace(choice, identities=identities))
    assert (stayed.flow_sid, stayed.moved) == (FROM, False)
    progress = desk.store.proxied.progress(ACCOUNT, FROM)
    assert (progress.session, progress.unknown, progress.moved) == ((0, 1, 0) if why == "unknown" else (1, 0, 0))


def test_what_goes_to_proxy_is_remembered_for_long_enough(desk: Desk) -> None:
    """A message sent to Proxy is remembered for as long as the list of sessions may not have its contact yet."""
    accept(desk, replace(MOVING, migration=replace(MOVE, share=False)))
    key = f"proxying:{{{ACCOUNT[-2:]}}}:{ACCOUNT}:{LANE}"
    first = desk.store.flows._client.call("TTL", key)
    desk.store.proxied.sending(ACCOUNT, LANE, FROM)
    assert SENDING_SECONDS - 2 <= first <= desk.store.flows._client.call("TTL", key) == SENDING_SECONDS
    assert desk.store.proxied.progress(ACCOUNT, FROM).settling == SENDING_SECONDS


def test_a_flow_that_is_not_of_proxy_needs_no_list(desk: Desk) -> None:
    """From Studio to Conversations no contact is in a session."""
    desk.store.flows._client.call("UNLINK", f"proxied:{{{ACCOUNT[-2:]}}}:{ACCOUNT}")
    assert accept(desk, replace(MOVING, migration=replace(MOVE, proxy=False))).flow_sid == TO


def test_an_opt_out_moves_no_contact(desk: Desk) -> None:
    """STOP goes to the flow of the conversation, and to the old flow without a conversation."""
    stop = replace(DRAINING, transient=True)
    assert accept(desk, stop).flow_sid == FROM
    forget_sending(desk)
    accept(desk)
    assert accept(desk, stop).flow_sid == TO


def test_sessions_are_wanted_while_contacts_may_move(desk: Desk) -> None:
    """A message of a migrated flow asks for its service's list, also before any contact moves; for an hour."""
    shadow = replace(MOVE, share=False, service="KS" + "1" * 32)
    accept(desk, replace(MOVING, migration=shadow))
    at = float(desk.stored("at")) / 1000
    assert desk.store.proxied.wanted([ACCOUNT[-2:]], at + 3000) == {ACCOUNT: {"KS" + "1" * 32}}
    assert desk.store.proxied.wanted([ACCOUNT[-2:]], at + 4000) == {}


def test_a_repeated_accept_says_again_that_the_contact_moved(desk: Desk) -> None:
    """The call whose reply was lost gives the same answer, and counts nothing twice."""
    first = desk.accept(FROM, MOVING, token="t")
    desk.count -= 1
    assert desk.accept(FROM, MOVING, token="t") == first
    assert first.moved
    assert desk.store.proxied.progress(ACCOUNT, FROM).moved == 1


def test_a_moved_message_has_a_lease_of_its_own(desk: Desk) -> None:
    """The slot that was taken for the old flow is not the new one's: the caller says whether it takes leases."""
    assert desk.accept(FROM, MOVING, lease=True, lease_kept=True).kind == "leased"


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    before=st.sampled_from(["", FROM, TO, SPANISH]),
    confident=st.booleans(),
    hours=st.sampled_from([0.0, HOURS + 1]),
    strength=st.sampled_from(list(Strength)),
    share=st.booleans(),
    drain=st.booleans(),
    transient=st.booleans(),
    free=st.booleans(),
)
def test_the_store_decides_as_the_rule_says(  # noqa: PLR0913 - what a decision depends on
    desk: Desk, *, before: str, confident: bool, hours: float, strength: Strength, share: bool, drain: bool,
    transient: bool, free: bool,
) -> None:  # fmt: skip
    """The script, and `keeps` and `moves`, which explain, agree on where every message goes."""
    desk.store.contacts.erase(ACCOUNT, PHONE)
    if before:
        desk.accept(before, replace(CHOICE, strength=Strength.OUTRIGHT, confident=confident), lease=False)
        finish(desk)
    desk.idle(hours)
    forget_sending(desk)
    desk.store.proxied.put(ACCOUNT, () if free else [contact_id(PHONE)], seconds=60)
    stay = desk.stay()
    choice = replace(MOVING, strength=strength, transient=transient, migration=replace(MOVE, share=share, drain=drain))
    now = stay.at + int(hours * HOUR_MS) if stay else 0
    to = moves(stay, choice, now=now, sticky_hours=HOURS, may_move=free)
    kept = stay.flow_sid if stay and keeps(stay, choice, now=now, sticky_hours=HOURS) else ""
    accepted = accept(desk, choice)
    assert (accepted.flow_sid, accepted.moved) == (to or kept or FROM, bool(to))
