"""Migrations in the console: each step forward and back, and who may take it."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from router.flow.flex_flow import FlexFlow, Integration
from tests.e2e.service import ACCOUNT
from tests.e2e.world import Reply, World
from tests.integrations.target import Target, answer
from tests.web.accounts import CONFIG
from tests.web.console import HERE, READING, Person, signed_in, text_of

PAGE = f"{HERE}/migration"


@pytest.fixture(scope="module")
def target() -> Iterator[Target]:
    """The target of both flows."""
    with Target({"/old": answer(), "/new": answer()}) as running:
        yield running


def pair(world: World, target: Target, **more: Any) -> tuple[FlexFlow, FlexFlow]:
    """Write the old flow and the new one."""
    old = world.flow(target.url("/old"), friendly_name="Old <b>one</b>", response="accept", **more)
    address = old.contact_identity
    return old, world.flow(target.url("/new"), friendly_name="New one", contact_identity=address, match="false")


def now(world: World, flow: FlexFlow) -> FlexFlow:
    """Read a flow that must exist."""
    with world.flows() as flows:
        found = flows.get(ACCOUNT, flow.sid)
    assert found is not None
    return found


def version_in(reply: Reply) -> str:
    """Return the migration's version from a page."""
    found = re.search(r'name="version" value="([^"]+)"', reply.body.decode())
    assert found is not None
    return found[1]


def step(admin: Person, old: FlexFlow, do: str, **form: str) -> str:
    """Send the form of a step; return the text of the page after it."""
    version = version_in(admin.get(f"{PAGE}/{old.sid}"))
    return text_of(admin.follow(admin.post(f"{PAGE}/{old.sid}", {"do": do, "version": version, **form})))


def test_every_step_forward_and_back(world: World, admin: Person, target: Target) -> None:
    """Each step forward and back is a form; the page counts contacts, and each step is logged."""
    old, new = pair(world, target)
    listed = admin.get(PAGE)
    assert f"{old.sid}?to={new.sid}" in listed.body.decode()
    assert f'value="{new.sid}"' in admin.get(f"{PAGE}/{old.sid}?to={new.sid}").body.decode()
    assert "Step shadow 0 % of the contacts" in step(admin, old, "start", to=new.sid)
    first = world.text(old).sid
    assert world.ends(first)["flex_flow_sid"] == old.sid
    said = step(admin, old, "share", percent="99")
    assert "Step share 99 % of the contacts" in said
    assert "Of the 1 contacts that wrote to the old flow within a day (1 messages" in said
    moved = [world.ends(world.text(old).sid)["flex_flow_sid"] for _ in range(8)].count(new.sid)
    assert moved >= 6
    said = step(admin, old, "drain")
    assert f"Moved {moved} contacts" in said
    assert f"Messages {9 - moved} to the old flow, {moved} to the new one" in said
    said = step(admin, old, "all")
    assert "Step all" in said
    assert f"router migrate hand-over {old.sid}" in said
    assert (now(world, old).enabled, now(world, new).match) == (False, "")
    assert "Old <b>one</b> New one all" in text_of(admin.get(PAGE))
    for phase in ("drain", "shadow", "none"):
        assert f"Step {phase}" in step(admin, old, "back")
    assert now(world, old).migrate_to == ""
    changes = text_of(admin.get(f"{HERE}/changes"))
    assert "console admin updated Old <b>one</b> migrate_to: MigrateTo" not in changes
    assert "migrate_percent: 0 → 99" in changes
    assert "migrate_percent: 0 → 99" in text_of(admin.get(f"{PAGE}/{old.sid}"))


def test_a_step_that_cannot_be_taken_changes_nothing(world: World, admin: Person, target: Target) -> None:
    """A step that is impossible, invalid or out of date is refused with the reason and changes nothing."""
    old, new = pair(world, target, integration=Integration("proxy", proxy_service_sid="KS" + "1" * 32))
    page = f"{PAGE}/{old.sid}"
    other = world.flow(target.url("/new"), match="false")
    version = version_in(admin.get(page))
    refused = admin.post(page, {"do": "start", "version": version, "to": other.sid})
    assert (refused.status, b"must have the address of" in refused.body) == (409, True)
    step(admin, old, "start", to=new.sid)
    assert admin.post(page, {"do": "share", "version": version, "percent": "10"}).status == 409
    step(admin, old, "drain")
    before, version = now(world, old), version_in(admin.get(page))
    refused = admin.post(page, {"do": "all", "version": version})
    assert (refused.status, b"the sessions of Proxy are not known yet" in refused.body) == (409, True)
    for form in ({"do": "share", "percent": "100"}, {"do": "share", "percent": "-1"}, {"do": "explode"}, {}):
        assert admin.post(page, {"version": version, **form}).status == 400, form
    assert now(world, old) == before
    assert "not known: no contact moves" in text_of(admin.get(page))


def test_a_viewer_reads_and_another_account_sees_nothing(world: World, admin: Person, target: Target) -> None:
    """A viewer has no form and may not take a step; under another account the flow is 404."""
    old, new = pair(world, target)
    step(admin, old, "start", to=new.sid)
    viewer = signed_in(world, READING)
    assert "Step shadow" in text_of(viewer.get(f"{PAGE}/{old.sid}"))
    assert b'name="do"' not in viewer.get(f"{PAGE}/{old.sid}").body
    form = {"do": "drain", "version": version_in(admin.get(f"{PAGE}/{old.sid}"))}
    assert viewer.post(f"{PAGE}/{old.sid}", form).status == 403
    other = f"/console/{CONFIG.partition('sid = ')[2][1:35]}/migration"
    assert old.sid.encode() not in admin.get(other).body
    assert admin.get(f"{other}/{old.sid}").status == 404
    assert admin.post(f"{other}/{old.sid}", form).status == 404
    assert now(world, old).migrate_percent == 0
