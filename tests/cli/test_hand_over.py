"""`router migrate hand-over` lets Twilio's auto-creation replace the router, and back, with a local Twilio."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from router.flow.flex_flow import FlexFlow
from router.queries.checks import outside, resources
from tests.cli.test_migrate import OURS, MigrateCommands
from tests.cli.test_migrate_check import BASE, PROXY_SERVICE, SERVICE
from tests.e2e.commands import invoke
from tests.integrations.sending import ACCOUNT_SID, STUDIO_SID, TOKEN, settings
from tests.twilio.local import LocalTwilio
from tests.twilio.wire import problem

HERE = f"{BASE}/webhooks/sms"


class HandedOver(MigrateCommands):
    """A migration in its last step, with its Twilio."""

    def __init__(self, redis_url: str, folder: Path, twilio: LocalTwilio) -> None:
        super().__init__(redis_url, folder)
        self.twilio = twilio
        self.environ |= {"ROUTER_TWILIO_API_URL": twilio.url, "ROUTER_PUBLIC_URL": BASE}
        new = self.flow(self.new)
        studio = replace(new.integration, flow_sid=STUDIO_SID)
        self.store.flows.put(replace(new, integration=studio, chat_service_sid="IS" + "1" * 32), replaces=new)
        self.run("start", self.old, "--to", self.new)
        self.run("drain", self.old)
        self.run("all", self.old, "--force")

    def flow(self, sid: str) -> FlexFlow:
        """Read a flow."""
        found = self.store.flows.get(ACCOUNT_SID, sid)
        assert found is not None
        return found

    def hand_over(self, *args: str, status: int = 0) -> str:
        """Run the command and return its output."""
        result = invoke("migrate", "hand-over", self.old, "--wait", "0", *args, **self.environ)
        assert result.exit_code == status, result.output
        return str(result.output)

    @property
    def at_twilio(self) -> tuple[bool, str]:
        """Whether the address has auto-creation, and the number's webhook."""
        enabled = self.twilio.conversations.auto_creation.get(OURS, False)
        return enabled, str(self.twilio.numbers[0]["sms_url"]).partition("#")[0]


@pytest.fixture
def migrate(redis_url: str, tmp_path: Path) -> Iterator[HandedOver]:
    """A number that points here and whose contacts have all moved."""
    with LocalTwilio(ACCOUNT_SID, TOKEN) as twilio:
        twilio.number(OURS, HERE)
        twilio.conversations.studio_flows[STUDIO_SID] = {"incomingConversationMessage"}
        twilio.sessions.services.add(PROXY_SERVICE)
        migrate = HandedOver(redis_url, tmp_path, twilio)
        yield migrate
        migrate.store.close()


def test_hand_over_is_shown_done_and_undone(migrate: HandedOver) -> None:
    """Without --yes `hand-over` shows its changes and writes nothing; --yes makes them and --undo reverses them."""
    assert "all of this is set already" in migrate.hand_over("--undo")
    shown = migrate.hand_over()
    assert f"address configuration of {OURS}: enabled false → true" in shown
    assert f"studio_flow_sid (none) → {STUDIO_SID}" in shown
    assert f"number {OURS}: sms_url {HERE} → (none)" in shown
    assert "add --yes to do it" in shown
    assert (migrate.at_twilio, migrate.twilio.updates, migrate.twilio.writes()) == ((False, HERE), [], [])
    assert "Twilio makes the Conversations from now on" in migrate.hand_over("--yes")
    assert migrate.at_twilio == (True, "")
    assert migrate.twilio.conversations.creations[OURS] == {
        "type": "studio", "studio_flow_sid": STUDIO_SID, "conversation_service_sid": "IS" + "1" * 32
    }  # fmt: skip
    assert "nothing was changed" in migrate.hand_over("--yes")
    assert not migrate.flow(migrate.new).paused
    made = settings(**migrate.environ)
    found = [
        *resources.flows(made, made.accounts[0], migrate.store),
        *outside.twilio(made, made.accounts[0], migrate.store),
    ]
    assert {each.state for each in found} <= {"good", "look"}
    assert sum("handed over" in each.found for each in found) == 2
    assert "enabled true → false" in migrate.hand_over("--undo")
    assert "points here again" in migrate.hand_over("--undo", "--yes")
    assert migrate.at_twilio == (False, HERE)
    assert not migrate.flow(migrate.new).paused
    changes = [change.fields for change in migrate.store.changes.newest(ACCOUNT_SID) if change.by.endswith("hand-over")]
    assert [fields["paused"] for fields in changes] == [(True, False), (False, True)] * 2


def test_the_webhook_is_restored_as_it_was(migrate: HandedOver) -> None:
    """--undo restores the webhook with its query, also after a repeated hand-over; one with a password is refused."""
    number = migrate.twilio.numbers[0]
    number["sms_url"] = f"{HERE}?lang=es"
    migrate.twilio.updates_answered = 500
    migrate.hand_over("--yes", status=1)
    migrate.twilio.updates_answered = 200
    migrate.hand_over("--yes")
    assert migrate.flow(migrate.new).extra == {"webhook_before_hand_over": f"{HERE}?lang=es"}
    assert f"sms_url (none) → {HERE}?lang=es" in migrate.hand_over("--undo")
    migrate.hand_over("--undo", "--yes")
    assert (number["sms_url"], dict(migrate.flow(migrate.new).extra)) == (f"{HERE}?lang=es", {})
    number["sms_url"] = HERE.replace("https://", "https://user:secret@")
    migrate.hand_over("--yes", status=1)
    assert dict(migrate.flow(migrate.new).extra) == {}


def test_a_failed_hand_over_keeps_the_flow_paused_and_can_be_repeated(migrate: HandedOver) -> None:
    """If Twilio refuses the second change, the flow stays paused, and a second --yes finishes."""
    migrate.twilio.updates_answered = 500
    said = migrate.hand_over("--yes", status=1)
    assert "stays paused and its messages wait" in said
    assert (migrate.at_twilio, migrate.flow(migrate.new).paused) == ((True, HERE), True)
    migrate.twilio.updates_answered = 200
    assert "Done" in migrate.hand_over("--yes")
    assert (migrate.at_twilio, migrate.flow(migrate.new).paused) == ((True, ""), False)


def _live(migrate: HandedOver) -> None:
    migrate.twilio.sessions.open(PROXY_SERVICE, "+15551110001", OURS)


def _unknown(migrate: HandedOver) -> None:
    migrate.twilio.fault = lambda name: problem(403, 20403, "Forbidden") if name == "GET Sessions" else None


def _back(migrate: HandedOver) -> None:
    migrate.run("back", migrate.old)


def _interaction(migrate: HandedOver) -> None:
    new = migrate.flow(migrate.new)
    integration = replace(new.integration, interaction=json.dumps({"properties": {}}))
    migrate.store.flows.put(replace(new, integration=integration), replaces=new)


def _rule(migrate: HandedOver) -> None:
    new = migrate.flow(migrate.new)
    other: Any = replace(new, sid="FO" + "7" * 32, friendly_name="VIP", match='body == "vip"')
    migrate.store.flows.put(other)


def _service(migrate: HandedOver) -> None:
    migrate.twilio.service(SERVICE, HERE, OURS)


def _elsewhere(migrate: HandedOver) -> None:
    migrate.twilio.numbers[0]["sms_url"] = "https://elsewhere.example/in"


@pytest.mark.parametrize(
    ("cause", "says"),
    [
        (_live, "contacts are still in a session of Proxy"),
        (_unknown, "not known whether contacts are in a session"),
        (_back, "`router migrate all"),
        (_interaction, "creates Interactions"),
        (_rule, "Twilio cannot choose between them"),
        (_service, "By hand: 1. `router flows pause"),
        (_elsewhere, "is not this router"),
    ],
)
def test_an_unsafe_hand_over_is_refused(migrate: HandedOver, cause: Callable[[HandedOver], None], says: str) -> None:
    """`hand-over` is refused, and changes nothing, for live or unknown sessions and other unsafe states."""
    cause(migrate)
    before = migrate.at_twilio
    assert says in migrate.hand_over("--yes", status=1)
    assert migrate.at_twilio == before
    assert not migrate.flow(migrate.new).paused
