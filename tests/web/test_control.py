"""What an operator does to waiting messages, by REST and on the command line; nothing is sent here."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from click.testing import Result

from router.message.raw import FORM, Raw
from router.queries.replay import REPLAY_DOES_NOT_ANSWER
from router.store.lanes import Room, Settlement, new_token
from tests.e2e.commands import invoke
from tests.e2e.service import parameters
from tests.web.rest import ONE, TWO, Reply, Rest

LANE = "a" * 24


class Driver:
    """The application over an empty store, one flow, and messages of one conversation that wait for it."""

    def __init__(self, rest: Rest, config: Path) -> None:
        self.rest, self.config = rest, config
        self.flow = rest.create(IntegrationType="external", Integration__Url="https://example.com/in")["sid"]
        self.lanes = rest.store.lanes
        self._count = 0

    def queue(self, count: int = 1, theirs: str = "+15557654321") -> list[str]:
        """Queue messages and return their SIDs."""
        sids = []
        for _ in range(count):
            self._count += 1
            fields = parameters(self._count, theirs, AccountSid=ONE, To="+15550000001")
            sids.append(fields["MessageSid"])
            raw = Raw("POST", FORM, urlencode(fields).encode()).pack()
            self.lanes.accept(
                token=new_token(), account_sid=ONE, message_sid=sids[-1], lane=LANE, disposition="queue", lease=False,
                versions=(), facts={"raw": raw, "flow": self.flow},
            )  # fmt: skip
        return sids

    def end(self, outcome: str, **more: float) -> str:
        """Claim the conversation's head and settle it so; return its SID."""
        (lease,) = self.lanes.claim(ONE[-2:], Room(1)).leases
        self.lanes.settle(lease, Settlement(outcome, **more), next_token="")  # type: ignore[arg-type]
        return lease.message_sid

    def update(self, sid: str, user: str = ONE, **form: str) -> Reply:
        """Update a delivery by REST."""
        return self.rest.call("POST", f"/v1/Deliveries/{sid}", form, user=user)

    def fetch(self, sid: str) -> dict[str, Any]:
        """Return a delivery's JSON."""
        return dict(self.rest.call("GET", f"/v1/Deliveries/{sid}").json)

    def order(self) -> list[str]:
        """Return the SIDs of the conversation's messages in order."""
        ids = self.rest.store.changes._client.call("LRANGE", f"lane:{{{ONE[-2:]}}}:{LANE}", 0, -1)
        return [id_.decode()[35:] for id_ in ids]

    def cli(self, *args: str) -> Result:
        """Run a command over the same store."""
        return invoke(*args, ROUTER_CONFIG=str(self.config), ROUTER_REDIS_URL=self.rest.valkey.url)


@pytest.fixture
def driver(rest: Rest) -> Driver:
    """A driver for this test alone."""
    return Driver(rest, rest.config)


# -- REST -------------------------------------------------------------------------------------------------------------


def test_a_held_message_lets_its_conversation_go_on(driver: Driver) -> None:
    """Held=true keeps a message queued while the next ones are sent; Held=false puts it behind them."""
    first, second, third = driver.queue(3)
    for _ in range(2):
        held = driver.update(first, Held="true")
        assert (held.status, held.json["status"], held.json["held"]) == (200, "queued", True)
    (waits,) = driver.fetch(first)["waiting_for"]
    assert waits.startswith(f"its release: it is held by {ONE} since 20")
    assert waits.endswith(", and its conversation goes on without it")
    assert driver.order() == [second, third]
    assert driver.rest.listed("/v1/Deliveries?Status=queued&Held=true") == [first]
    assert driver.rest.listed("/v1/Deliveries?Held=false") == [third, second]
    assert driver.end("delivered") == second
    released = driver.update(first, Held="False")
    assert (released.status, released.json["held"]) == (200, False)
    assert driver.order() == [third, first]
    assert driver.update(first, Held="false").error[:2] == (409, 20409)
    assert driver.update(second, Held="true").error[:2] == (409, 20409)


@pytest.mark.parametrize("held", [True, False])
@pytest.mark.parametrize("status", ["canceled", "cancelled"])
def test_a_cancelled_message_is_undelivered(driver: Driver, status: str, held: bool) -> None:
    """A cancelled message is undelivered with the reason `cancelled`, and can be replayed by its SID."""
    first, second = driver.queue(2)
    if held:
        driver.update(first, Held="true")
    cancelled = driver.update(first, Status=status)
    assert (cancelled.status, cancelled.json["status"], cancelled.json["error"]) == (200, "undelivered", "cancelled")
    assert cancelled.json["held"] is False
    assert driver.order() == [second]
    assert driver.rest.store.deliveries.counts(ONE).queued == 1
    assert driver.update(first, Status=status).error[2] == f"{first}: it is undelivered, so it no longer waits"
    assert driver.update(first, Status="queued").json["status"] == "queued"
    assert driver.order() == [second, first]


def test_a_message_that_is_sent_now_does_not_wait_for_its_retry(driver: Driver) -> None:
    """Status=sending makes the conversation due at once, in order; a held or delivered message is 409."""
    first, second = driver.queue(2)
    driver.end("retry", delay=300.0)
    assert driver.lanes.claim(ONE[-2:], Room(1)).leases == []
    assert driver.update(second, Status="sending").status == 200
    assert driver.end("delivered") == first
    driver.update(second, Held="true")
    assert driver.update(second, Status="sending").error[:2] == (409, 20409)
    assert driver.update(first, Status="sending").error[2] == f"{first}: it is delivered, so it no longer waits"


def test_a_message_of_a_paused_flow_cannot_be_hurried(driver: Driver) -> None:
    """Status=sending for a message of a paused flow is 409 and names the flow."""
    (sid,) = driver.queue()
    driver.rest.call("POST", f"/v1/FlexFlows/{driver.flow}", {"Paused": "true"})
    status, _, why = driver.update(sid, Status="sending").error
    assert (status, driver.flow in why) == (409, True)


def test_a_message_being_sent_cannot_be_held_or_cancelled(driver: Driver) -> None:
    """Hold and cancel of a message that is being sent are 409, and the answer says when to try again."""
    (sid,) = driver.queue()
    driver.lanes.claim(ONE[-2:], Room(1))
    for form in ({"Held": "true"}, {"Status": "canceled"}):
        status, _, why = driver.update(sid, **form).error
        assert (status, "it is being sent" in why, "ends within 22 s: try again then" in why) == (409, True, True)
    assert driver.update(sid, Status="sending").status == 200


@pytest.mark.parametrize(
    "form",
    [{}, {"Held": "perhaps"}, {"Status": "held"}, {"Status": "queued", "Held": "true"}, {"Status": "undelivered"}],
)
def test_an_update_needs_exactly_one_of_status_and_held(driver: Driver, form: dict[str, str]) -> None:
    """An update without Status and Held, with both, or with an invalid value is 400 and changes nothing."""
    (sid,) = driver.queue()
    assert driver.update(sid, **form).error[:2] == (400, 20001)
    assert driver.fetch(sid)["held"] is False


def test_another_accounts_message_is_404(driver: Driver) -> None:
    """A message of another account is 404 for every update."""
    (sid,) = driver.queue()
    for form in ({"Held": "true"}, {"Status": "canceled"}, {"Status": "sending"}):
        assert driver.update(sid, TWO, **form).error[:2] == (404, 20404)
    assert driver.fetch(sid)["status"] == "queued"


def test_each_action_on_a_message_is_recorded_with_its_author(driver: Driver) -> None:
    """Each hold, release, hurry, cancel and replay is recorded with its author on the message and in the log."""
    (sid,) = driver.queue()
    driver.cli("deliveries", "hold", sid)
    assert driver.update(sid, Held="true").status == 200  # already held: no record
    for form in ({"Held": "false"}, {"Status": "sending"}, {"Status": "canceled"}, {"Status": "queued"}):
        assert driver.update(sid, **form).status == 200
    assert driver.update(sid, Status="queued").status == 409
    by = ["router deliveries hold", ONE, ONE, ONE, ONE]
    did = ["held", "released", "hurried", "cancelled", "replayed"]
    actions = driver.fetch(sid)["actions"]
    assert [(each["action"], each["by"]) for each in actions] == list(zip(did, by, strict=True))
    changes = list(driver.rest.store.changes.newest(ONE, others=True))[:5][::-1]
    assert [(each.action, each.by) for each in changes] == list(zip(did, by, strict=True))
    assert all(each.fields["message"] == (None, sid) for each in changes)
    assert f"replayed by {ONE}, {actions[-1]['date_created']}" in driver.cli("deliveries", "show", sid).output
    for _ in range(200):
        driver.update(sid, Held="true")
        driver.update(sid, Held="false")
    kept = driver.fetch(sid)["actions"]
    assert kept[-1]["action"] == "released"
    assert len(kept) < 200


def test_many_messages_are_one_line_of_the_change_log(driver: Driver) -> None:
    """A command for many messages is one entry in the change log, and each message has its own record."""
    sids = driver.queue(3)
    driver.cli("deliveries", "hold", "--since", "1h", "--yes")
    (noted,) = (each for each in driver.rest.store.changes.newest(ONE, others=True) if not each.flex_flow_sid)
    assert (noted.action, noted.by, noted.fields) == ("held", "router deliveries hold", {"messages": (None, 3)})
    assert [driver.fetch(sid)["actions"][0]["action"] for sid in sids] == ["held"] * 3


def test_a_cancelled_message_is_not_counted_as_undelivered(driver: Driver) -> None:
    """A cancelled message needs no person: metric, doctor and console do not count it as undelivered."""
    cancelled, waiting = driver.queue(2)
    driver.cli("deliveries", "cancel", cancelled)
    counts = driver.rest.store.deliveries.counts(ONE)
    assert (counts.kept, counts.queued, counts.undelivered) == (2, 1, 0)
    assert driver.order() == [waiting]


# -- the command line -------------------------------------------------------------------------------------------------


def test_the_commands_say_what_they_did(driver: Driver) -> None:
    """Each command prints what became of the message; if nothing could be changed, exit status 1."""
    first, second, third = driver.queue(3)
    held = driver.cli("deliveries", "hold", first).output
    assert held.startswith(f"{first}: it is held until you release it; its conversation goes on without it\n")
    assert "router deliveries release SM…" in held
    shown = driver.cli("deliveries", "show", first).output
    assert "queued, held" in shown
    assert f"router deliveries release {first}" in shown
    checks = json.loads(driver.cli("doctor", "--offline", "--json").output)["checks"]
    (check,) = (each for each in checks if each["found"].startswith("1 held"))
    assert (check["state"], "the first of them now" in check["found"]) == ("look", True)
    assert first in driver.cli("deliveries", "list", "--held").output
    assert second not in driver.cli("deliveries", "list", "--held").output
    released = driver.cli("deliveries", "release", first).output
    assert (
        released
        == f"{first}: it is released: it is now the last message of its conversation, after 2 that arrived later\n"
    )
    assert driver.order() == [second, third, first]
    hurried = driver.cli("deliveries", "hurry", first).output
    assert f"it is sent now, after {second}, which is before it in its conversation" in hurried
    assert "it is cancelled: its status is now undelivered" in driver.cli("deliveries", "cancel", first).output
    failed = driver.cli("deliveries", "cancel", first)
    assert failed.exit_code == 1
    assert "1 of 1 messages could not be changed" in failed.stderr
    reported = json.loads(driver.cli("deliveries", "hold", second, "--json").output)
    assert reported == [
        {"sid": second, "account_sid": ONE, "done": True, "said": reported[0]["said"]},
    ]


def test_many_messages_are_counted_first(driver: Driver) -> None:
    """A command with a filter prints the number of messages first; cancel needs --yes without a terminal."""
    ours, theirs = driver.queue(3), driver.queue(2, "+15557654322")
    asked = driver.cli("deliveries", "cancel", "--from", "+15557654322", "--since", "1h")
    assert (asked.exit_code, "2 messages: 2 queued" in asked.output, "add --yes" in asked.stderr) == (1, True, True)
    assert driver.order() == [*ours, *theirs]
    cancelled = driver.cli("deliveries", "cancel", "--from", "+15557654322", "--since", "1h", "--yes")
    assert "2 of 2 done" in cancelled.output
    held = driver.cli("deliveries", "hold", "--flow", driver.flow[:10], "--since", "1h")
    assert (held.exit_code, "3 messages: 3 queued" in held.output) == (0, True)
    assert driver.order() == []
    assert "No message to hold" in driver.cli("deliveries", "hold", "--since", "1h").output
    assert "3 of 3 done" in driver.cli("deliveries", "release", "--since", "1h").output
    assert driver.order() == ours
    assert driver.cli("deliveries", "hurry", "--flow", driver.flow).exit_code == 2, "--since is missing"


def test_a_replay_chooses_and_counts_and_says_what_it_does_not_do(driver: Driver) -> None:
    """`replay` selects by its options, prints the number first, and leaves out cancelled messages."""
    first, second, third, fourth = [*driver.queue(3), *driver.queue(1, "+15557654322")]
    for outcome in ("undelivered", "undelivered", "delivered", "undelivered"):
        driver.end(outcome)
    driver.cli("deliveries", "replay", second)
    driver.cli("deliveries", "cancel", second)
    foretold = driver.cli("deliveries", "replay", "--since", "1h", "--dry-run").output
    assert [line.split()[0] for line in foretold.splitlines()[1:3]] == [first, fourth]
    assert REPLAY_DOES_NOT_ANSWER in foretold
    nothing = driver.cli("deliveries", "replay", "--to", "+15550000009", "--since", "1h").output
    assert "nothing to send again. Cancelled ones are replayed by their SID only" in nothing
    one = driver.cli("deliveries", "replay", "--from", "+15557654322", "--to", "+15550000001", "--since", "1h").output
    assert one.splitlines()[0] == "1 message: 1 undelivered"
    assert REPLAY_DOES_NOT_ANSWER in one
    done = driver.cli("deliveries", "replay", "--flow", driver.flow, "--status", "delivered", "--since", "1h").output
    assert done.splitlines()[0] == "1 message: 1 delivered"
    assert driver.order() == [fourth, third]
    assert REPLAY_DOES_NOT_ANSWER.partition(":")[0].lower() in " ".join(
        driver.cli("deliveries", "replay", "--help").output.lower().split()
    )


def test_flows_are_switched_by_their_short_sid(driver: Driver) -> None:
    """pause, resume, disable and enable accept a short SID, and print what it means for the messages."""
    driver.queue(2)
    short = driver.flow[:10]
    for command, said, paused, enabled in (
        ("pause", "1 conversation waits for it now", True, True),
        ("pause", "Nothing to change. It is paused", True, True),
        ("disable", "their messages become unrouted when they are due", True, False),
        ("enable", "It is enabled. While it is paused", True, True),
        ("resume", "1 conversation waits for it, and their messages are sent in order", False, True),
    ):
        shown = driver.cli("flows", command, short)
        assert shown.exit_code == 0, shown.output
        assert said in shown.output
        flow = driver.rest.call("GET", f"/v1/FlexFlows/{driver.flow}").json
        assert (flow["paused"], flow["enabled"]) == (paused, enabled)
    assert "router flows resume" in driver.cli("flows", "log", short).output
    reported = json.loads(driver.cli("flows", "pause", short, "--json").output)
    assert (reported[0]["sid"], reported[0]["changed"]) == (driver.flow, True)


def test_a_flow_is_removed_only_with_a_yes(driver: Driver) -> None:
    """Without a terminal `flows remove` needs --yes; it prints how many conversations wait for the flow."""
    driver.queue(2)
    refused = driver.cli("flows", "remove", driver.flow)
    assert (refused.exit_code, "add --yes" in refused.stderr) == (1, True)
    removed = driver.cli("flows", "remove", driver.flow, "--yes")
    assert "It is removed. 1 conversation waits for it: " in removed.output
    assert driver.rest.call("GET", f"/v1/FlexFlows/{driver.flow}").status == 404
    assert "no flow" in driver.cli("flows", "pause", driver.flow).stderr


def test_a_flow_that_cannot_be_enabled_says_why(driver: Driver) -> None:
    """`flows enable` fails with the SID of another enabled flow at the same address."""
    driver.cli("flows", "disable", driver.flow)
    other = driver.rest.create(IntegrationType="external", Integration__Url="https://example.com/in")["sid"]
    refused = driver.cli("flows", "enable", driver.flow)
    assert (refused.exit_code, other in refused.stderr) == (1, True)
