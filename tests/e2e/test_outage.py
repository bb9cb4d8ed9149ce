"""Outages heal: what Twilio received meanwhile is fetched and accepted, where no other program can have handled it."""

import signal
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from router.delivery.intake import Intake
from router.flow.flex_flow import FlexFlow, Integration
from router.queries.outage import Healer
from router.settings import Settings, load
from router.store import Store, connect
from router.store.client import Client
from router.store.keys import PROCESSES, AccountKeys
from router.store.lanes import Written, new_token
from router.store.outages import Gap, Report
from tests.e2e.service import ACCOUNT, OURS, TOKEN, Service, sid
from tests.e2e.twilio_rest import TwilioRest
from tests.valkey import ValkeyServer
from tests.waiting import wait_until

BASE = "https://sms.example.com"
HERE = f"{BASE}/webhooks/sms"


class Ward:
    """A router that was away for five minutes, and what Twilio knows of them."""

    def __init__(self, twilio: TwilioRest, settings: Settings, store: Store) -> None:
        self.twilio = twilio
        self.settings = settings
        self.store = store
        self.reported: list[dict[str, Any]] = []
        self.healer = self._healer(settings)
        self.now = time.time()
        self.gap = Gap(int((self.now - 600) * 1000), int((self.now - 300) * 1000))

    def _healer(self, settings: Settings) -> Healer:
        store = self.store

        def nothing(*_: object) -> None:
            return None

        def report(**found: Any) -> None:
            self.reported.append(found)

        intake = Intake(store, None, nothing)
        return Healer(settings, store, intake, nothing, bases=lambda: settings.public_urls, report=report)

    def another(self, **settings: Any) -> Healer:
        """Return the healer of another process, with other settings."""
        return self._healer(self.settings.model_copy(update=settings))

    def flow(self, identity: str = OURS) -> None:
        """Make a flow for an address."""
        self.store.flows.put(
            FlexFlow(
                sid="FO" + "1" * 32,
                account_sid=ACCOUNT,
                friendly_name="Support",
                chat_service_sid="IS" + "1" * 32,
                channel_type="sms",
                contact_identity=identity,
                integration=Integration("external", url="https://target.example/hook"),
            )
        )

    def received(self, number: int, *, seconds_ago: float = 400, **more: Any) -> None:
        """Let Twilio have received a message."""
        created = (datetime.now(UTC) - timedelta(seconds=seconds_ago)).replace(microsecond=0)
        self.twilio.message(sid(number), created, **more)

    def heal(self) -> Report:
        """Look into the gap."""
        return self.healer.heal(self.settings.accounts[0], self.gap, lambda: True)

    def kept(self) -> list[str]:
        """Return the SIDs of all messages that the router has, the oldest first."""
        return [each.message_sid for each in self.store.deliveries.newest(ACCOUNT)][::-1]

    def beat(self) -> None:
        """Write a heartbeat and recover what was missed, with the gap pending."""
        self.store.outages.extend({ACCOUNT: self.gap})
        self.healer.beat()
        self.healer.recover()


@pytest.fixture
def ward(valkey: ValkeyServer) -> Iterator[Ward]:
    """An outage of an account with one number that leads here."""
    with TwilioRest(ACCOUNT, TOKEN) as twilio:
        environ = {
            "TWILIO_ACCOUNT_SID": ACCOUNT,
            "TWILIO_AUTH_TOKEN": TOKEN,
            "ROUTER_REDIS_URL": valkey.url,
            "ROUTER_PUBLIC_URL": BASE,
            "ROUTER_TWILIO_API_URL": twilio.url,
        }
        settings = load(environ)
        store = connect(settings)
        twilio.number(OURS, HERE, sms_fallback_url="")
        twilio.most = 50
        yield Ward(twilio, settings, store)
        store.close()


def test_what_was_missed_is_accepted_in_order_once(ward: Ward) -> None:
    """Messages of the outage come in the order in which Twilio received them; a second look finds nothing."""
    ward.flow()
    for number, ago in ((1, 500), (2, 450), (3, 450), (4, 310)):
        ward.received(number, seconds_ago=ago)
    assert ward.heal().accepted == 4
    assert ward.kept() == [sid(number) for number in range(1, 5)]
    again = ward.heal()
    assert (again.accepted, again.left) == (0, {})
    assert [each.recovered for each in ward.store.deliveries.newest(ACCOUNT)] == [True] * 4


@pytest.mark.parametrize("elsewhere", [False, True], ids=["fallback here", "fallback elsewhere"])
def test_a_message_in_doubt_counts_as_missed(ward: Ward, elsewhere: bool) -> None:
    """A message that no replica confirmed is accepted if no other program can have handled it, else left in doubt."""
    ward.flow()
    if elsewhere:
        ward.twilio.numbers[0].update({"sms_fallback_url": "https://other.example"})
    ward.received(1)
    written = Written(new_token(), ACCOUNT, sid(1), "a" * 24)
    ward.store.lanes.accept(
        token=written.token, account_sid=ACCOUNT, message_sid=sid(1), lane=written.lane, disposition="queue",
        lease=True, versions=(), facts={"raw": b"body", "flow": "FO" + "1" * 32},
    )  # fmt: skip
    assert ward.heal().accepted == 0
    assert ward.store.lanes.doubt(written, "in doubt") == "doubt"
    assert ward.heal().accepted == int(not elsewhere)
    (delivery,) = ward.store.deliveries.newest(ACCOUNT)
    assert (delivery.state, delivery.doubt) == (("undelivered", True) if elsewhere else ("queued", False))


def test_what_came_outside_of_the_gap_is_left(ward: Ward) -> None:
    """A message of an hour ago is not of this outage; one of this minute may still be on its way."""
    ward.flow()
    for number, ago in ((1, 3600), (2, 400), (3, 30)):
        ward.received(number, seconds_ago=ago)
    assert ward.heal().accepted == 1
    assert ward.kept() == [sid(2)]


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        pytest.param({"sms_url": "https://other.example/sms"}, "does not lead to this router", id="elsewhere"),
        pytest.param(
            {"sms_url": f"{HERE}?lang=es#rc=2", "sms_fallback_url": "https://o.example"}, "fallback", id="fallback"
        ),
        pytest.param({"sms_url": ""}, "does not lead to this router", id="no webhook"),
    ],
)
def test_what_another_program_may_have_handled_is_only_reported(
    ward: Ward, number: dict[str, str], reason: str
) -> None:
    """A message that another program may have answered is not delivered here as well; a person decides."""
    ward.flow()
    ward.twilio.numbers[0].update(number)
    ward.received(1)
    found = ward.heal()
    assert (found.accepted, list(found.left.values())) == (0, [1])
    assert reason in next(iter(found.left))
    assert ward.kept() == []


@pytest.mark.parametrize("fallback", ["", f"{BASE}/webhooks/message?x=1"])
def test_a_fallback_that_leads_here_or_nowhere_is_safe(ward: Ward, fallback: str) -> None:
    """With a fallback URL that leads here, or none, no other program can have handled the message: it is accepted."""
    ward.flow()
    ward.twilio.numbers[0]["sms_fallback_url"] = fallback
    ward.received(1)
    assert ward.heal().accepted == 1


def test_an_address_that_was_never_ours_is_only_reported(ward: Ward) -> None:
    """A flow for `*` does not claim every number of the account; a message that came here before does."""
    ward.flow("*")
    ward.received(1)
    assert ward.heal().accepted == 0
    ward.healer.matched(ACCOUNT, OURS)
    ward.healer.beat()
    assert ward.heal().accepted == 1


def test_without_a_public_url_nothing_is_accepted(ward: Ward) -> None:
    """Without a public URL nothing is accepted: the router cannot know which webhooks lead to it."""
    ward.flow()
    ward.received(1)
    healer = ward.another(public_urls=())
    found = healer.heal(ward.settings.accounts[0], ward.gap, lambda: True)
    assert "ROUTER_PUBLIC_URL" in next(iter(found.left))


def test_an_address_whose_webhook_cannot_be_read_is_only_reported(ward: Ward) -> None:
    """Messages of a Facebook page stay: Twilio's API does not show the page's webhook."""
    ward.flow("messenger:1")
    ward.received(1, from_="messenger:2", to="messenger:1")
    assert "facebook" in next(iter(ward.heal().left))


def test_a_gap_is_looked_into_once_by_one_process(ward: Ward) -> None:
    """The beat looks, reports and closes the gap; another process that has the turn keeps this one away."""
    ward.flow()
    ward.received(1)
    assert ward.store.outages.take_turn(ACCOUNT, "another", 60)
    ward.beat()
    assert ward.kept() == []
    ward.store.outages.end_turn(ACCOUNT, "another")
    ward.beat()
    assert ward.kept() == [sid(1)]
    assert ward.reported == [{"account_sid": ACCOUNT, "accepted": 1, "left": {}}]
    assert [each.accepted for each in ward.store.outages.reports(ACCOUNT)] == [1]
    assert ward.store.outages.beat([ACCOUNT], master="here", silence=12) == {}


def test_a_young_gap_waits(ward: Ward) -> None:
    """A look begins only after the time in which Twilio may still call the fallback URL."""
    ward.store.outages.extend({ACCOUNT: Gap(int((ward.now - 60) * 1000), int((ward.now - 10) * 1000))})
    ward.healer.beat()
    ward.healer.recover()
    assert ward.twilio.requests == []


def test_when_twilio_is_away_the_gap_stays(ward: Ward) -> None:
    """A failed look is reported and repeated later; the traffic of other accounts is not affected."""
    ward.flow()
    ward.received(1)
    ward.twilio.refuse[0] = 429
    ward.beat()
    ward.beat()
    assert [each["failures"] for each in ward.reported] == [1]  # the second beat waits
    assert ward.store.outages.beat([ACCOUNT], master="here", silence=12) == {ACCOUNT: ward.gap}


def test_it_can_be_turned_off(ward: Ward) -> None:
    """ROUTER_RECOVER=false asks Twilio nothing, and keeps noting signs of life."""
    healer = ward.another(recover=False)
    ward.store.outages.extend({ACCOUNT: ward.gap})
    healer.beat()
    healer.recover()
    assert ward.twilio.requests == []


def test_a_503_is_a_gap(ward: Ward) -> None:
    """Messages that were answered 503 are fetched, however short the store was away."""
    ward.healer.missed(ACCOUNT)
    ward.healer.beat()
    assert list(ward.store.outages.beat([ACCOUNT], master="here", silence=12)) == [ACCOUNT]


def test_refusals_are_a_gap_once_a_signature_matches(ward: Ward) -> None:
    """After a wrong token is corrected, the refused messages are fetched. Refusals alone fetch nothing."""
    ward.healer.refused(ACCOUNT)
    ward.healer.refused("AC" + "f" * 32)
    ward.healer.beat()
    assert ward.store.outages.beat([ACCOUNT], master="here", silence=12) == {}
    ward.healer.matched(ACCOUNT, OURS)
    ward.healer.beat()
    assert list(ward.store.outages.beat([ACCOUNT], master="here", silence=12)) == [ACCOUNT]
    ward.store.outages.close(ACCOUNT, ward.store.outages.beat([ACCOUNT], master="here", silence=12)[ACCOUNT])
    ward.healer.refused(ACCOUNT)
    ward.healer.matched(ACCOUNT, OURS)
    ward.healer.beat()
    assert ward.store.outages.beat([ACCOUNT], master="here", silence=12) == {}


def test_the_gap_of_a_killed_process_is_written_when_the_store_answers_again(ward: Ward, valkey: ValkeyServer) -> None:
    """If the store does not answer when a killed process is found, a later heartbeat writes the gap."""
    valkey.pause()
    ward.healer.killed([ACCOUNT], ward.gap)
    valkey.resume()
    ward.healer.beat()
    assert ward.store.outages.beat([ACCOUNT], master="here", silence=12) == {ACCOUNT: ward.gap}


@pytest.mark.parametrize("sign", ["missed", "refused"])
def test_what_a_process_had_not_written_yet_is_a_gap_when_it_stops(ward: Ward, sign: str) -> None:
    """A 503 of the last seconds is not forgotten at a stop or a reload, nor are signatures that were refused."""
    ward.healer.beat()
    getattr(ward.healer, sign)(ACCOUNT)
    ward.healer.stop()
    assert list(ward.store.outages.beat([ACCOUNT], master="here", silence=12)) == [ACCOUNT]


def test_a_restart_and_a_kill_are_gaps_and_a_reload_is_none(valkey: ValkeyServer, tmp_path: Path) -> None:
    """What Twilio could not deliver while the only router was restarted is fetched, also if it was killed."""
    client, keys = Client(valkey.url), AccountKeys(ACCOUNT)

    def began(before: Any = None) -> Any:
        """Wait for a heartbeat after another one; return it."""
        wait_until(lambda: client.call("HGET", keys.alive, ACCOUNT) != before, what="a heartbeat")
        return client.call("HGET", keys.alive, ACCOUNT)

    service = Service(tmp_path, valkey.url, workers=1)
    try:
        at = began()
        [worker] = service.workers()
        assert service.process is not None
        service.process.send_signal(signal.SIGHUP)
        wait_until(lambda: worker not in service.workers() and service.workers(), what="the worker is replaced")
        began(at)
        assert client.call("HGETALL", keys.gaps) == []
        assert service.stop() == 0
        service.start()
        gap = wait_until(lambda: client.call("HGET", keys.gaps, ACCOUNT), what="a gap is written")
        from_, to = map(int, gap.split())
        assert from_ < to
        client.call("DEL", keys.gaps)
        entries = wait_until(lambda: client.call("ZRANGE", PROCESSES, 0, -1), what="the process is announced")
        service.kill()
        now = int(client.call("TIME")[0]) * 1000
        client.call("ZADD", PROCESSES, now, *entries)  # as if its entry had expired, 20 s later
        service.start()

        def covered() -> bool:
            from_, to = map(int, (client.call("HGET", keys.gaps, ACCOUNT) or b"0 0").split())
            return 0 < from_ <= now - 20_000 and now <= to

        wait_until(covered, what="a gap is written for the killed one")
        wait_until(lambda: "was killed, or could not reach the store" in service.log.read_text(), what="a log line")
    finally:
        service.close()
        client.close()
