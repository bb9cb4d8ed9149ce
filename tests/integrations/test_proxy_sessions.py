"""Which contacts are in a live session of Proxy, with a local Twilio and a real store."""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from router.delivery.session_watch import SessionWatch
from router.integrations import Integrations, build
from router.integrations.proxy_sessions import ProxySessions
from router.routing.contact import Choice, Migration, Strength, contact_id
from router.settings import Settings
from router.store import Store, connect
from router.store.lanes import new_token
from tests.integrations.sending import ACCOUNT_SID, TOKEN, settings
from tests.twilio.local import LocalTwilio, busy
from tests.valkey import ValkeyServer

SERVICE, OTHER = "KS" + "1" * 32, "KS" + "2" * 32
OURS, LANE = "+15550001000", "0" * 24


@dataclass
class Watch:
    """A process that lists sessions, the Twilio that has them, and the store that accept.lua reads."""

    twilio: LocalTwilio
    store: Store
    made: Settings
    senders: Integrations
    faults: list[str]

    def watcher(self) -> SessionWatch:
        """Make the watch of another process."""
        return SessionWatch(self.store, self.made, ProxySessions(self.senders.rest), self.faults.append)

    def may_move(self, theirs: str) -> bool:
        """Return whether a contact may move to the new flow."""
        return self.store.proxied.may_move(ACCOUNT_SID, [contact_id(theirs)], LANE)

    def want(self, service: str = SERVICE) -> None:
        """Accept a message whose flow is migrated."""
        move = Migration("FO1", "FO2", share=False, drain=False, proxy=True, service=service)
        choice = Choice((OURS,), OURS, "", Strength.SILENT, confident=False, candidates=(), migration=move)
        self.store.lanes.accept(
            token=new_token(), account_sid=ACCOUNT_SID, message_sid=f"SM{secrets.token_hex(16)}", lane="1" * 24,
            disposition="unrouted", lease=False, versions=(), facts={"raw": b"", "why": ""}, choice=choice, final=True,
        )  # fmt: skip


@pytest.fixture
def watch(valkey: ValkeyServer) -> Iterator[Watch]:
    """An empty store and a Twilio with two Proxy services."""
    with LocalTwilio(ACCOUNT_SID, TOKEN) as twilio:
        twilio.sessions.services |= {SERVICE, OTHER}
        made = settings(ROUTER_REDIS_URL=valkey.url, ROUTER_TWILIO_API_URL=twilio.url)
        store, senders = connect(made), build(made, {})
        yield Watch(twilio, store, made, senders, [])
        senders.close()
        store.close()


def test_nothing_is_asked_before_a_flow_is_migrated(watch: Watch) -> None:
    """Without a migrated flow Twilio is not asked, and no contact may move."""
    watch.watcher().round()
    assert watch.twilio.log == []
    assert not watch.may_move("+15551")


def test_a_contact_in_a_live_session_may_not_move(watch: Watch) -> None:
    """Contacts in live sessions of any wanted service, page and channel may not move; all others may."""
    watch.twilio.sessions.page = 2
    people = [f"+1555{number:07d}" for number in range(5)]
    for theirs in people:
        watch.twilio.sessions.open(SERVICE, theirs, OURS)
    watch.twilio.sessions.open(OTHER, "whatsapp:+15551112222", "whatsapp:+15550001000", status="open")
    watch.twilio.sessions.close(watch.twilio.sessions.open(SERVICE, "+15559", OURS))
    for service in (SERVICE, OTHER):
        watch.want(service)
    watch.watcher().round()
    assert not any(watch.may_move(each) for each in [*people, "whatsapp:+15551112222"])
    assert watch.may_move("+15559")
    assert watch.may_move("+15550000099")
    assert watch.store.proxied.progress(ACCOUNT_SID, "FO1").live == 7  # six contacts and the agent


def test_a_session_is_read_once_and_a_closed_one_frees_its_contact(watch: Watch) -> None:
    """A session's participants are read once; when the session is closed its contact may move."""
    sid = watch.twilio.sessions.open(SERVICE, "+15551", OURS)
    watch.want()
    process = watch.watcher()
    process.round()
    watch.twilio.sessions.close(sid)
    watch.twilio.sessions.open(SERVICE, "+15552", OURS)
    before = len(watch.twilio.log)
    process.round()
    assert len(watch.twilio.log) - before == 2
    assert watch.may_move("+15551")
    assert not watch.may_move("+15552")


def test_one_process_lists_at_a_time(watch: Watch) -> None:
    """While one process has listed the sessions, a second one does not."""
    watch.want()
    watch.watcher().round()
    before = len(watch.twilio.log)
    watch.watcher().round()
    assert len(watch.twilio.log) == before


def test_if_sessions_cannot_be_listed_no_contact_moves(watch: Watch) -> None:
    """If Twilio refuses to list sessions, no contact may move, and the fault is reported once."""
    watch.want()
    watch.twilio.fault = lambda _: busy()
    process = watch.watcher()
    for _ in range(2):
        process.round()
    assert not watch.may_move("+15551")
    (said,) = watch.faults
    assert "429" in said


def test_a_service_that_is_not_known_moves_no_contact(watch: Watch) -> None:
    """Without a Proxy service of the flow or account no contact may move, and Twilio is not asked."""
    watch.want("")
    watch.watcher().round()
    assert not watch.may_move("+15551")
    assert watch.twilio.log == []
