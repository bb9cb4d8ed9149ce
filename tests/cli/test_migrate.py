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


class Walk:
    """The migrate commands, and messages that arrive between them."""

    def __init__(self, redis_url: str, folder: Path) -> None:
        self.environ = {"ROUTER_REDIS_URL": redis_url, "ROUTER_DATA_DIR": str(folder)}
        self.environ |= {"TWILIO_ACCOUNT_SID": ACCOUNT_SID, "TWILIO_AUTH_TOKEN": TOKEN}
        self.store: Store = connect(settings(ROUTER_REDIS_URL=redis_url))
        invoke("flows", "apply", "-", given=FLOWS, **self.environ)
        self.flows = {each.friendly_name: each for each in self.store.flows.walk(ACCOUNT_SID)}
        self.old, self.new = self.flows["Proxy"].sid, self.flows["Conversations"].sid

    def say(self, *args: str) -> Any:
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
def walk(redis_url: str, tmp_path: Path) -> Iterator[Walk]:
    """Two flows of one address, and one of another."""
    walk = Walk(redis_url, tmp_path)
    yield walk
    walk.store.close()


def test_every_step_forward_and_back(walk: Walk) -> None:
    """Each step reports its phase and counts, and messages go to the flow of that phase, forward and back."""
    assert walk.say("status", walk.old)["phase"] == "none"
    begun = walk.say("start", walk.old, "--to", walk.new)
    assert (begun["phase"], begun["migrate_to"], begun["contacts_in_live_sessions"]) == ("shadow", walk.new, None)
    assert walk.receive("+15551110001") == walk.old
    walk.store.proxied.put(ACCOUNT_SID, (), seconds=60)
    assert walk.say("share", walk.old, "99")["phase"] == "share"
    there = [walk.receive(f"+1555222{number:04d}") for number in range(30)]
    assert there.count(walk.new) > 25
    assert walk.receive("+15551110001") == walk.old
    status = walk.say("status", walk.old)
    assert (status["contacts_moved"], status["messages_to_the_new_flow"]) == (there.count(walk.new),) * 2
    assert walk.say("drain", walk.old)["phase"] == "drain"
    assert "--force" in walk.refused("all", walk.old)
    ended = walk.say("all", walk.old, "--force")
    assert (ended["phase"], ended["next"].startswith("The old flow is disabled")) == ("all", True)
    assert walk.receive("+15551119999") == walk.new
    assert walk.say("back", walk.old)["phase"] == "drain"
    assert walk.say("back", walk.old)["phase"] == "shadow"
    assert walk.receive("+15553330001") == walk.old
    assert walk.say("back", walk.old)["phase"] == "none"
    assert "no step to go back" in walk.refused("back", walk.old)
    log = [change.fields for change in walk.store.changes.newest(ACCOUNT_SID)]
    assert any("migrate_percent" in fields for fields in log)


def test_a_shadow_counts_contacts_and_changes_nothing(walk: Walk) -> None:
    """`shadow` counts messages, contacts, those in a session, and how many would move at each percentage."""
    walk.say("start", walk.old, "--to", walk.new)
    for number in range(20):
        for _ in range(2):
            walk.receive(f"+1555222{number:04d}")
    found = walk.say("shadow", walk.old)
    assert (found["messages"], found["contacts"], found["in_session_or_unknown"]) == (40, 20, 20)
    counts = list(found["by_percent"].values())
    assert counts == sorted(counts)
    assert counts[-1] == 20
    text = invoke("migrate", "shadow", walk.old, **walk.environ).output
    assert "at 100 %: 20" in text


@pytest.mark.parametrize(
    ("step", "says"),
    [
        (lambda walk: ("share", walk.old, "10"), "has no MigrateTo"),
        (lambda walk: ("start", walk.old, "--to", walk.flows["Another number"].sid), "must have the address of"),
        (lambda walk: ("start", walk.new, "--to", walk.old), 'have match = "false"'),
        (lambda walk: ("start", walk.old, "--to", "FO" + "9" * 32), "no flow FO999"),
    ],
)
def test_an_impossible_step_is_refused(walk: Walk, step: Callable[[Walk], tuple[str, ...]], says: str) -> None:
    """A step that is not possible is refused with the reason and changes nothing."""
    assert says in walk.refused(*step(walk))
    assert walk.say("status", walk.old)["phase"] == "none"


def test_all_is_refused_while_sessions_may_be_live(walk: Walk) -> None:
    """`all` is refused before the drain, and while Proxy sessions are live, unknown or may just have begun."""
    walk.say("start", walk.old, "--to", walk.new)
    assert "is not drained" in walk.refused("all", walk.old)
    walk.receive("+15551110001")
    walk.say("drain", walk.old)
    assert "the sessions of Proxy are not known yet" in walk.refused("all", walk.old)
    walk.store.proxied.put(ACCOUNT_SID, ["0" * 24], seconds=60)
    assert "1 addresses are in a session" in walk.refused("all", walk.old)
    walk.store.proxied.put(ACCOUNT_SID, (), seconds=60)
    refused = walk.refused("all", walk.old)
    assert "a message went to Proxy less than 5 minutes ago" in refused
    assert "Wait 300 s" in refused or "Wait 299 s" in refused
    walk.store.flows._client.call("UNLINK", AccountKeys(ACCOUNT_SID).proxying + walk.old)
    assert walk.say("all", walk.old)["phase"] == "all"


class Overtaken(Proxied):
    """Returns a migration's progress and then sends a message to Proxy, before the caller continues."""

    def progress(self, account_sid: str, flow_sid: str) -> Progress:
        """Return the progress from before the message."""
        known = super().progress(account_sid, flow_sid)
        self.sending(account_sid, "0" * 24, flow_sid)
        return known


def test_a_message_that_goes_to_proxy_while_all_is_being_written_stops_it(walk: Walk) -> None:
    """If a message goes to Proxy between the check and the write, `all` writes nothing and says when to retry."""
    walk.say("start", walk.old, "--to", walk.new)
    walk.say("drain", walk.old)
    walk.store.proxied.put(ACCOUNT_SID, (), seconds=60)
    old = walk.store.flows.get(ACCOUNT_SID, walk.old)
    assert old is not None
    store = replace(walk.store, proxied=Overtaken(walk.store.flows._client))
    with pytest.raises(RouterError, match=r"went to Proxy just now.*wait 5 minutes"):
        everything(old, store, by="test", now=0)
    assert walk.say("status", walk.old)["phase"] == "drain"
    assert everything(old, store, by="test", now=0, force=True).phase == "all"
