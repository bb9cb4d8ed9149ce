"""`router migrate` over a store, through all steps and back."""

import json
import secrets
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from router.errors import RouterError
from router.message.inbound import Message, conversation_id
from router.message.raw import FORM, Raw
from router.queries.migration_steps import everything
from router.routing.resolve import Circumstance, identities, resolve
from router.store import Store, connect
from router.store.keys import AccountKeys
from router.store.lanes import new_token
from router.store.proxied import Progress, Proxied
from tests.e2e.commands import invoke
from tests.integrations.sending import ACCOUNT_SID, TOKEN, settings

OURS = "+15005550006"
FLOWS = f"""
[[flow]]
friendly_name = "Proxy"
channel_type = "sms"
contact_identity = "{OURS}"
integration_type = "proxy"
integration.proxy_service_sid = "KS{"1" * 32}"

[[flow]]
friendly_name = "Conversations"
channel_type = "sms"
contact_identity = "{OURS}"
integration_type = "conversation"
match = "false"

[[flow]]
friendly_name = "Another number"
channel_type = "sms"
contact_identity = "+15005550007"
integration_type = "conversation"
match = "false"
"""


class MigrateCommands:
    """The migrate commands, and messages that arrive between them."""

    def __init__(self, redis_url: str, folder: Path) -> None:
        self.environ = {"ROUTER_REDIS_URL": redis_url, "ROUTER_DATA_DIR": str(folder)}
        self.environ |= {"TWILIO_ACCOUNT_SID": ACCOUNT_SID, "TWILIO_AUTH_TOKEN": TOKEN}
        self.store: Store = connect(settings(ROUTER_REDIS_URL=redis_url))
        invoke("flows", "apply", "-", given=FLOWS, **self.environ)
        self.flows = {each.friendly_name: each for each in self.store.flows.walk(ACCOUNT_SID)}
        self.old, self.new = self.flows["Proxy"].sid, self.flows["Conversations"].sid

    def run(self, *args: str) -> Any:
        """Run a step and return its JSON."""
        result = invoke("migrate", *args, "--json", **self.environ)
        assert result.exit_code == 0, result.output
        return json.loads(result.output)

    def refused(self, *args: str) -> str:
        """Run a step that is refused and return its error."""
        result = invoke("migrate", *args, **self.environ)
        assert result.exit_code == 1, result.output
        return str(result.stderr)

    def receive(self, theirs: str) -> str:
        """Accept a message as the webhook does and return its flow's SID."""
        fields = {"AccountSid": ACCOUNT_SID, "MessageSid": f"SM{secrets.token_hex(16)}", "From": theirs, "To": OURS}
        message = Message.parse(fields.items())
        route = resolve(message, self.store.flows.entries(ACCOUNT_SID, identities(message)), Circumstance(0.0))
        assert route.flow is not None
        accepted = self.store.lanes.accept(
            token=new_token(), account_sid=ACCOUNT_SID, message_sid=message.message_sid, disposition="queue",
            lane=conversation_id(ACCOUNT_SID, "sms", OURS, theirs), lease=False, versions=(), final=True,
            facts={"raw": Raw("POST", FORM, urlencode(fields).encode()).pack(), "why": "", "flow": route.flow.sid},
            choice=route.choice,
        )  # fmt: skip
        return accepted.flow_sid or route.flow.sid


@pytest.fixture
def migrate(redis_url: str, tmp_path: Path) -> Iterator[MigrateCommands]:
    """Two flows of one address, and one of another."""
    migrate = MigrateCommands(redis_url, tmp_path)
    yield migrate
    migrate.store.close()


def test_every_step_forward_and_back(migrate: MigrateCommands) -> None:
    """Each step reports its phase and counts, and messages go to the flow of that phase, forward and back."""
    assert migrate.run("status", migrate.old)["phase"] == "none"
    begun = migrate.run("start", migrate.old, "--to", migrate.new)
    assert (begun["phase"], begun["migrate_to"], begun["contacts_in_live_sessions"]) == ("shadow", migrate.new, None)
    assert migrate.receive("+15551110001") == migrate.old
    migrate.store.proxied.put(ACCOUNT_SID, (), seconds=60)
    assert migrate.run("share", migrate.old, "99")["phase"] == "share"
    there = [migrate.receive(f"+1555222{number:04d}") for number in range(30)]
    assert there.count(migrate.new) > 25
    assert migrate.receive("+15551110001") == migrate.old
    status = migrate.run("status", migrate.old)
    assert (status["contacts_moved"], status["messages_to_the_new_flow"]) == (there.count(migrate.new),) * 2
    assert migrate.run("drain", migrate.old)["phase"] == "drain"
    assert "--force" in migrate.refused("all", migrate.old)
    ended = migrate.run("all", migrate.old, "--force")
    assert (ended["phase"], ended["next"].startswith("The old flow is disabled")) == ("all", True)
    assert migrate.receive("+15551119999") == migrate.new
    assert migrate.run("back", migrate.old)["phase"] == "drain"
    assert migrate.run("back", migrate.old)["phase"] == "shadow"
    assert migrate.receive("+15553330001") == migrate.old
    assert migrate.run("back", migrate.old)["phase"] == "none"
    assert "no step to go back" in migrate.refused("back", migrate.old)
    log = [change.fields for change in migrate.store.changes.newest(ACCOUNT_SID)]
    assert any("migrate_percent" in fields for fields in log)


def test_a_shadow_counts_contacts_and_changes_nothing(migrate: MigrateCommands) -> None:
    """`shadow` counts messages, contacts, those in a session, and how many would move at each percentage."""
    migrate.run("start", migrate.old, "--to", migrate.new)
    for number in range(20):
        for _ in range(2):
            migrate.receive(f"+1555222{number:04d}")
    found = migrate.run("shadow", migrate.old)
    assert (found["messages"], found["contacts"], found["in_session_or_unknown"]) == (40, 20, 20)
    counts = list(found["by_percent"].values())
    assert counts == sorted(counts)
    assert counts[-1] == 20
    text = invoke("migrate", "shadow", migrate.old, **migrate.environ).output
    assert "at 100 %: 20" in text


@pytest.mark.parametrize(
    ("step", "says"),
    [
        (lambda migrate: ("share", migrate.old, "10"), "has no MigrateTo"),
        (
            lambda migrate: ("start", migrate.old, "--to", migrate.flows["Another number"].sid),
            "must have the address of",
        ),
        (lambda migrate: ("start", migrate.new, "--to", migrate.old), 'have match = "false"'),
        (lambda migrate: ("start", migrate.old, "--to", "FO" + "9" * 32), "no flow FO999"),
    ],
)
def test_an_impossible_step_is_refused(
    migrate: MigrateCommands, step: Callable[[MigrateCommands], tuple[str, ...]], says: str
) -> None:
    """A step that is not possible is refused with the reason and changes nothing."""
    assert says in migrate.refused(*step(migrate))
    assert migrate.run("status", migrate.old)["phase"] == "none"


def test_all_is_refused_while_sessions_may_be_live(migrate: MigrateCommands) -> None:
    """`all` is refused before the drain, and while Proxy sessions are live, unknown or may just have begun."""
    migrate.run("start", migrate.old, "--to", migrate.new)
    assert "is not drained" in migrate.refused("all", migrate.old)
    migrate.receive("+15551110001")
    migrate.run("drain", migrate.old)
    assert "the sessions of Proxy are not known yet" in migrate.refused("all", migrate.old)
    migrate.store.proxied.put(ACCOUNT_SID, ["0" * 24], seconds=60)
    assert "1 addresses are in a session" in migrate.refused("all", migrate.old)
    migrate.store.proxied.put(ACCOUNT_SID, (), seconds=60)
    refused = migrate.refused("all", migrate.old)
    assert "a message went to Proxy less than 5 minutes ago" in refused
    assert "Wait 300 s" in refused or "Wait 299 s" in refused
    migrate.store.flows._client.call("UNLINK", AccountKeys(ACCOUNT_SID).proxying + migrate.old)
    assert migrate.run("all", migrate.old)["phase"] == "all"


class Overtaken(Proxied):
    """Returns a migration's progress and then sends a message to Proxy, before the caller continues."""

    def progress(self, account_sid: str, flow_sid: str) -> Progress:
        """Return the progress from before the message."""
        known = super().progress(account_sid, flow_sid)
        self.sending(account_sid, "0" * 24, flow_sid)
        return known


def test_a_message_that_goes_to_proxy_while_all_is_being_written_stops_it(migrate: MigrateCommands) -> None:
    """If a message goes to Proxy between the check and the write, `all` writes nothing and says when to retry."""
    migrate.run("start", migrate.old, "--to", migrate.new)
    migrate.run("drain", migrate.old)
    migrate.store.proxied.put(ACCOUNT_SID, (), seconds=60)
    old = migrate.store.flows.get(ACCOUNT_SID, migrate.old)
    assert old is not None
    store = replace(migrate.store, proxied=Overtaken(migrate.store.flows._client))
    with pytest.raises(RouterError, match=r"went to Proxy just now.*wait 5 minutes"):
        everything(old, store, by="test", now=0)
    assert migrate.run("status", migrate.old)["phase"] == "drain"
    assert everything(old, store, by="test", now=0, force=True).phase == "all"
