"""The migration of contacts from one flow to another: what accept.lua decides."""

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
from tests.store.test_contacts import ACCOUNT, CHOICE, DEFAULT, ENGLISH, HOUR_MS, HOURS, OURS, PHONE, SPANISH, Driver
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
def driver(valkey: ValkeyServer) -> Iterator[Driver]:
    """A store with a current list of Proxy sessions, which is empty."""
    store = connect(sending.settings(ROUTER_REDIS_URL=valkey.url, ROUTER_STICKY_HOURS=str(HOURS)))
    store.proxied.put(ACCOUNT, (), seconds=60)
    yield Driver(store)
    store.close()


def accept(driver: Driver, choice: Choice = MOVING, **more: Any) -> Acceptance:
    """Let a message arrive for the flow that is migrated, and deliver it."""
    accepted = driver.accept(FROM, choice, lease=False, **more)
    finish(driver)
    return accepted


def forget_sending(driver: Driver) -> None:
    """Let five minutes pass since the last message was sent to Proxy."""
    driver.store.flows._client.call("UNLINK", f"proxying:{{{ACCOUNT[-2:]}}}:{ACCOUNT}:{LANE}")


def finish(driver: Driver) -> None:
    """Deliver what waits."""
    for lease in driver.store.lanes.claim(ACCOUNT[-2:], Room(9)).leases:
        driver.store.lanes.settle(lease, Settlement("delivered"), next_token="")


def test_a_contact_that_moved_stays_with_the_new_flow(driver: Driver) -> None:
    """A contact that moved stays with the new flow while it is not idle, also when the share is lowered."""
    moved = accept(driver)
    assert (moved.flow_sid, moved.moved, driver.stored("flow")) == (TO, True, TO)
    assert driver.stored("why") == f"chosen\nThe contact moves to {TO}"
    back = replace(MOVING, migration=replace(MOVE, share=False))
    kept = accept(driver, back)
    assert (kept.flow_sid, kept.kept, kept.moved) == (TO, True, False)
    driver.idle(HOURS + 1)
    assert accept(driver, back).flow_sid == FROM
    progress = driver.store.proxied.progress(ACCOUNT, FROM)
    assert (progress.moved, progress.to, progress.from_, progress.live) == (1, 2, 1, 0)


def test_a_contact_outside_the_share_does_not_move(driver: Driver) -> None:
    """A contact outside the share gets the old flow, and keeps it when the share grows to include it."""
    assert accept(driver, replace(MOVING, migration=replace(MOVE, share=False))).flow_sid == FROM
    assert accept(driver).flow_sid == FROM


def test_existing_conversations_move_when_they_are_idle_or_drained(driver: Driver) -> None:
    """A contact with a conversation keeps the old flow until the conversation is idle or the old flow drains."""
    accept(driver, replace(MOVING, migration=replace(MOVE, share=False)))
    assert accept(driver).flow_sid == FROM
    assert accept(driver, DRAINING).flow_sid == FROM  # it was sent to Proxy just now
    forget_sending(driver)
    assert accept(driver, DRAINING).flow_sid == TO
    driver.store.contacts.erase(ACCOUNT, PHONE)
    accept(driver, replace(MOVING, migration=replace(MOVE, share=False)))
    driver.idle(HOURS + 1)
    forget_sending(driver)
    assert accept(driver).flow_sid == TO


@pytest.mark.parametrize("choice", [MOVING, DRAINING], ids=["new", "drain"])
@pytest.mark.parametrize("why", ["session", "alias", "sending", "waiting", "unknown"])
def test_a_contact_that_may_be_in_a_session_stays(driver: Driver, choice: Choice, why: str) -> None:
    """A contact stays while it is in a session, was just sent to Proxy, has a queued message, or may have a session."""
    if choice is DRAINING:
        accept(driver, replace(MOVING, migration=replace(MOVE, share=False)))
        forget_sending(driver)
    identities: tuple[str, ...] = (PHONE,)
    if why == "session":
        driver.store.proxied.put(ACCOUNT, [contact_id(PHONE)], seconds=60)
    elif why == "alias":
        identities = (PHONE, "whatsapp:ES.1")
        driver.store.proxied.put(ACCOUNT, [contact_id("whatsapp:ES.1")], seconds=60)
    elif why == "sending":
        driver.store.proxied.sending(ACCOUNT, LANE, FROM)
    elif why == "waiting":
        driver.accept(FROM, replace(MOVING, migration=replace(MOVE, share=False)), lease=False)
        if choice is MOVING:  # it was accepted before the migration began, when no contact was kept
            driver.store.contacts.erase(ACCOUNT, PHONE)
        forget_sending(driver)
    else:
        driver.store.flows._client.call("UNLINK", f"proxied:{{{ACCOUNT[-2:]}}}:{ACCOUNT}")
    stayed = accept(driver, replace(choice, identities=identities))
    assert (stayed.flow_sid, stayed.moved) == (FROM, False)
    progress = driver.store.proxied.progress(ACCOUNT, FROM)
    assert (progress.session, progress.unknown, progress.moved) == ((0, 1, 0) if why == "unknown" else (1, 0, 0))


def test_a_message_to_proxy_is_remembered_until_the_sessions_are_listed(driver: Driver) -> None:
    """A message sent to Proxy is remembered for as long as the list of sessions may not have its contact yet."""
    accept(driver, replace(MOVING, migration=replace(MOVE, share=False)))
    key = f"proxying:{{{ACCOUNT[-2:]}}}:{ACCOUNT}:{LANE}"
    first = driver.store.flows._client.call("TTL", key)
    driver.store.proxied.sending(ACCOUNT, LANE, FROM)
    assert SENDING_SECONDS - 2 <= first <= driver.store.flows._client.call("TTL", key) == SENDING_SECONDS
    assert driver.store.proxied.progress(ACCOUNT, FROM).settling == SENDING_SECONDS


def test_a_flow_that_is_not_of_proxy_needs_no_list(driver: Driver) -> None:
    """A contact moves from a flow that is not of Proxy without a list of sessions."""
    driver.store.flows._client.call("UNLINK", f"proxied:{{{ACCOUNT[-2:]}}}:{ACCOUNT}")
    assert accept(driver, replace(MOVING, migration=replace(MOVE, proxy=False))).flow_sid == TO


def test_an_opt_out_moves_no_contact(driver: Driver) -> None:
    """STOP goes to the flow of the conversation, and to the old flow without a conversation."""
    stop = replace(DRAINING, transient=True)
    assert accept(driver, stop).flow_sid == FROM
    forget_sending(driver)
    accept(driver)
    assert accept(driver, stop).flow_sid == TO


def test_sessions_are_wanted_while_contacts_may_move(driver: Driver) -> None:
    """For an hour after a message of a migrated flow, its Proxy service's sessions are wanted, also without a share."""
    shadow = replace(MOVE, share=False, service="KS" + "1" * 32)
    accept(driver, replace(MOVING, migration=shadow))
    at = float(driver.stored("at")) / 1000
    assert driver.store.proxied.wanted([ACCOUNT[-2:]], at + 3000) == {ACCOUNT: {"KS" + "1" * 32}}
    assert driver.store.proxied.wanted([ACCOUNT[-2:]], at + 4000) == {}


def test_a_repeated_accept_reports_the_move_again(driver: Driver) -> None:
    """An `accept` that is repeated with its token, after a lost reply, gets the same reply and counts one move."""
    first = driver.accept(FROM, MOVING, token="t")
    driver.count -= 1
    assert driver.accept(FROM, MOVING, token="t") == first
    assert first.moved
    assert driver.store.proxied.progress(ACCOUNT, FROM).moved == 1


def test_a_moved_message_can_be_leased(driver: Driver) -> None:
    """A message that moves to the new flow is leased if the caller allows leases for another than the chosen flow."""
    assert driver.accept(FROM, MOVING, lease=True, lease_kept=True).kind == "leased"


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
def test_accept_agrees_with_keeps_and_moves(  # noqa: PLR0913 - what a decision depends on
    driver: Driver, *, before: str, confident: bool, hours: float, strength: Strength, share: bool, drain: bool,
    transient: bool, free: bool,
) -> None:  # fmt: skip
    """The script `accept` and the functions `keeps` and `moves` agree on the flow of every message."""
    driver.store.contacts.erase(ACCOUNT, PHONE)
    if before:
        driver.accept(before, replace(CHOICE, strength=Strength.OUTRIGHT, confident=confident), lease=False)
        finish(driver)
    driver.idle(hours)
    forget_sending(driver)
    driver.store.proxied.put(ACCOUNT, () if free else [contact_id(PHONE)], seconds=60)
    assignment = driver.assignment()
    choice = replace(MOVING, strength=strength, transient=transient, migration=replace(MOVE, share=share, drain=drain))
    now = assignment.at + int(hours * HOUR_MS) if assignment else 0
    to = moves(assignment, choice, now=now, sticky_hours=HOURS, may_move=free)
    kept = assignment.flow_sid if assignment and keeps(assignment, choice, now=now, sticky_hours=HOURS) else ""
    accepted = accept(driver, choice)
    assert (accepted.flow_sid, accepted.moved) == (to or kept or FROM, bool(to))
