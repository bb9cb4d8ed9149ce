"""A flow with MigrateTo: which contacts move at its MigratePercent, and its warnings."""

from collections import Counter
from dataclasses import replace

import pytest

from router.flow.flex_flow import FlexFlow
from router.flow.warning import Surroundings, of_flows
from router.message.inbound import Message
from router.routing.contact import NOTHING_KNOWN, Assignment
from router.routing.resolve import Circumstance, Entry, Route, preview, resolve
from router.settings import load
from tests.core.crowd import crowd
from tests.core.flows import AC, flow

OURS = "+15551234567"
AROUND = Surroundings(load({"TWILIO_ACCOUNT_SID": AC, "TWILIO_AUTH_TOKEN": "5e" * 16}), made_up="")
TO = flow({"IntegrationType": "conversation"}, sid="FO" + "b" * 32, ContactIdentity=OURS, Match="false")


def old(percent: int, **more: str) -> FlexFlow:
    """Make the flow that contacts move away from."""
    given = {"ContactIdentity": OURS, "MigrateTo": TO.sid, "MigratePercent": str(percent)} | more
    given |= {"IntegrationType": "proxy", "Integration.ProxyServiceSid": "KS" + "1" * 32}
    return flow(given, sid="FO" + "a" * 32)


def message(number: int = 0, body: str = "Hola") -> Message:
    """Make a message of the contact with this number."""
    fields = {
        "AccountSid": AC,
        "MessageSid": f"SM{number:032x}",
        "From": f"+1556{number:07d}",
        "To": OURS,
        "Body": body,
    }
    return Message.parse(fields.items())


def route(percent: int, number: int = 0, *, to: FlexFlow = TO, body: str = "Hola") -> Route:
    """Route a message over the old flow and the new one."""
    return resolve(message(number, body), [Entry(OURS, "1", (old(percent), to)), Entry("*", "", ())])


def test_the_dry_run_predicts_who_moves_and_a_larger_percentage_moves_nobody_back() -> None:
    """Of 4,000 contacts, each percentage moves as many as predicted, within 1 %, and a larger one moves none back."""
    found = crowd(4_000)
    assert found.by_share == found.shadow
    assert max(found.errors().values()) < 1.0
    assert found.turned == 0
    assert found.by_share[100] == 4_000
    none = route(0).choice
    assert none is not None
    assert none.migration is not None
    assert not none.migration.share


def test_the_route_carries_the_old_flow_and_its_migration() -> None:
    """The route names the old flow and, for the store, the new flow, whether all contacts move, and the service."""
    found = route(100)
    assert found.flow is not None
    assert found.flow.sid == old(100).sid
    assert found.choice is not None
    assert found.choice.migration is not None
    assert (found.choice.migration.to, found.choice.migration.drain, found.choice.migration.proxy) == (
        TO.sid,
        True,
        True,
    )
    assert found.choice.migration.service == "KS" + "1" * 32
    assert any("gives way to" in step and "among them" in step for step in found.steps)
    below = route(99).choice
    assert below is not None
    assert below.migration is not None
    assert not below.migration.drain


@pytest.mark.parametrize("to", [replace(TO, enabled=False), replace(TO, channel_type="whatsapp"), None])
def test_no_contact_moves_to_a_flow_that_cannot_take_over(to: FlexFlow | None) -> None:
    """No contact moves to a flow that is disabled, missing or of another channel, and a warning says so."""
    entries = [Entry(OURS, "1", tuple(filter(None, (old(100), to)))), Entry("*", "", ())]
    found = resolve(message(), entries)
    assert found.flow is not None
    assert found.choice is None or found.choice.migration is None
    (warned,) = [each for each in of_flows(entries[0].flows, AROUND) if "names the MigrateTo" in each.text]
    assert "no contact moves" in warned.text


def test_the_flow_that_takes_over_has_no_warning() -> None:
    """A flow with Match "false" has no warning while another flow's MigrateTo names it."""
    assert of_flows([old(10), TO], AROUND) == []
    assert [each.flow for each in of_flows([replace(old(10), migrate_to=""), TO], AROUND)] == [TO]


def test_a_preview_respects_proxy_sessions() -> None:
    """A preview names the new flow if the contact may move, and the old one if not."""
    entries = [Entry(OURS, "1", (old(100), TO)), Entry("*", "", ())]
    stay = Assignment(old(100).sid, confident=False, at=1_000_000)
    for assignment in (None, stay):
        for free, sid in ((True, TO.sid), (False, old(100).sid)):
            found, _ = preview(
                message(), entries, Circumstance(1000.0), known=NOTHING_KNOWN, assignment=assignment, sticky_hours=24,
                may_move=lambda free=free: free,  # type: ignore[misc]
            )  # fmt: skip
            assert found.flow is not None
            assert found.flow.sid == sid


def test_mixed_traffic_is_split_by_contact_and_not_by_message() -> None:
    """All messages of a contact have the same share, whatever their text."""
    for percent in (10, 50, 100):
        for number in range(50):
            found = Counter(
                choice.migration.share
                for body in ("Hola", "", "ok 👍")
                if (choice := route(percent, number, body=body).choice) and choice.migration
            )
            assert len(found) == 1
