from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import quote

import pytest

from router.flow.flex_flow import FlexFlow, Integration
from router.store.keys import AccountKeys
from tests.e2e.service import ACCOUNT
from tests.e2e.world import World, arrived
from tests.integrations.target import Target, answer
from tests.valkey import ValkeyServer
from tests.waiting import wait_until
from tests.web.console import CONSOLE, HERE, READING, Person, form_of, signed_in, text_of

KEYS = AccountKeys(ACCOUNT)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Two routers with a console over one store."""
    valkey = ValkeyServer()
    world = World(tmp_path_factory.mktemp("world"), valkey, processes=2, config=CONSOLE)
    yield world
    world.close()
    valkey.close()


@pytest.fixture
def target() -> Iterator[Target]:
    """A target with a path that refuses and a path that accepts."""
    with Target({"/bad": answer(404, b"no such hook"), "/good": answer()}) as running:
        yield running


def dead(world: World, target: Target, count: int, conversations: int) -> tuple[FlexFlow, list[str]]:
    """Make undelivered messages of a flow whose target has since been corrected."""
    flow = world.flow(integration=Integration("external", url=target.url("/bad"), retry_count=0))
    customers = [world.address() for _ in range(conversations)]
    sids = [world.text(flow, customers[n % conversations]).sid for n in range(count)]
    for sid in sids:
        world.ends(sid)
    mended = replace(flow.integration, url=target.url("/good"))
    return world.change(flow, integration=mended), sids


def begin(admin: Person, query: str, **given: str) -> dict[str, str]:
    """Ask for a dry run of all dead letters of a filter, and return its form."""
    first = form_of(admin.get(f"{HERE}/dead-letters?{query}")) | {"which": "all"} | given
    dry = admin.post(f"{HERE}/dead-letters/replay", first)
    assert dry.status == 200, dry.body
    return form_of(dry)


def results(world: World) -> dict[str, str]:
    """Read the record of the last replay."""
    reply = world.call("HGETALL", KEYS.bulk)
    return {name.decode(): value.decode() for name, value in zip(reply[::2], reply[1::2], strict=True)}


def finish(world: World, state: str = "done") -> dict[str, str]:
    """Wait until the replay has this state."""
    wait_until(lambda: results(world).get("state") == state, what=f"the replay is {state}", within=30)
    return results(world)


def test_a_bulk_replay_survives_killed_processes_and_repeats_nothing(
    world: World, target: Target, admin: Person
) -> None:
    """A bulk replay sends each matching message once, in order, though both processes are killed meanwhile."""
    flow, sids = dead(world, target, 40, 4)
    page = text_of(admin.get(f"{HERE}/dead-letters?flow={flow.sid}"))
    assert "40 4 undelivered" in page
    form = begin(admin, f"flow={flow.sid}")
    assert form["rate"] == "50"
    world.change(flow, integration=replace(flow.integration, url=target.url("/bad")))
    late = world.ends(world.text(flow.contact_identity).sid)["sid"]
    with world.flows() as flows:
        flows.put(replace(flow, priority=1), replaces=flows.get(ACCOUNT, flow.sid))
    begun = admin.post(f"{HERE}/dead-letters/replay", form | {"do": "start", "rate": "20"})
    assert "The replay has started" in text_of(admin.follow(begun))
    again = admin.post(f"{HERE}/dead-letters/replay", form | {"do": "start"})
    assert again.status == 409
    wait_until(lambda: int(results(world).get("queued", 0)) >= 5, what="some were sent again", within=20)
    for service in world.services:
        service.kill()
    assert results(world)["state"] == "running"
    for service in world.services:
        service.start()
    world.call("DEL", KEYS.bulk_turn)  # the killed process's turn would expire after 15 s
    ended = finish(world)
    assert (ended["queued"], ended.get("busy")) == ("40", None)
    assert [world.ends(sid)["replays"] for sid in sids] == [1] * 40
    assert world.delivery(late)["status"] == "undelivered"
    order = list(dict.fromkeys(sid for sid in arrived(target, "/good") if sid in sids))
    for conversation in range(4):
        own = sids[conversation::4]
        assert [sid for sid in order if sid in own] == own
    admin = signed_in(world)
    assert "done" in text_of(admin.get(f"{HERE}/dead-letters/job"))
    changes = text_of(admin.get(f"{HERE}/changes"))
    assert "replay of many messages: 40" in changes
    assert "replay of many done" in changes


def test_a_dry_run_says_what_would_be_different(world: World, target: Target, admin: Person) -> None:
    """A dry run counts messages, conversations, and those that would go elsewhere or nowhere; it changes nothing."""
    flow, sids = dead(world, target, 4, 2)
    other = world.flow(target.url("/good"), contact_identity=flow.contact_identity, match=f"from == {flow.sid!r}")
    first = form_of(admin.get(f"{HERE}/dead-letters?flow={flow.sid}")) | {"which": "all"}
    said = text_of(admin.post(f"{HERE}/dead-letters/replay", first))
    assert "4 messages, all that match the filter" in said
    assert "2 conversations" in said
    world.change(other, match="body.startsWith('message')")
    said = text_of(admin.post(f"{HERE}/dead-letters/replay", first | {"route": "current"}))
    assert "4 would go to a different flow" in said
    world.change(flow, enabled=False)
    said = text_of(admin.post(f"{HERE}/dead-letters/replay", first))
    assert "4 would go to no flow" in said
    assert [world.delivery(sid)["status"] for sid in sids] == ["undelivered"] * 4


def test_selected_ones_are_replayed_and_a_replay_can_be_stopped(world: World, target: Target, admin: Person) -> None:
    """Only selected messages are replayed; a replay that is stopped leaves the rest undelivered."""
    flow, sids = dead(world, target, 6, 3)
    form = form_of(admin.get(f"{HERE}/dead-letters?flow={flow.sid}")) | {"which": "selected", "sid": sids[2]}
    form["from"] = "+14155551234"
    dry = admin.post(f"{HERE}/dead-letters/replay", form)
    assert "1 message that you selected" in text_of(dry)
    admin.post(f"{HERE}/dead-letters/replay", form_of(dry) | {"do": "start"})
    assert finish(world)["total"] == "1"
    assert world.ends(sids[2])["status"] == "delivered"
    assert b"14155551234" not in admin.get(f"{HERE}/changes").body + admin.get(f"{HERE}/dead-letters/job").body
    slow = begin(admin, f"flow={flow.sid}") | {"do": "start", "rate": "1"}
    assert admin.post(f"{HERE}/dead-letters/replay", slow).status == 303
    wait_until(lambda: int(results(world).get("queued", 0)) >= 1, what="one was sent again", within=20)
    admin.post(f"{HERE}/dead-letters/stop")
    ended = finish(world, "stopped")
    assert int(ended["queued"]) < 5
    left = [sid for sid in sids if world.delivery(sid)["status"] == "undelivered"]
    assert len(left) == 5 - int(ended["queued"])
    assert world.call("EXISTS", f"{KEYS.bulk_left}{ended['id']}") == 0
    assert not world.call("SISMEMBER", "bulk:{0}", ACCOUNT)


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ({"which": "selected"}, 400),
        ({"until": "soon"}, 400),
        ({"until": ""}, 400),
        ({"do": "start", "until": "1"}, 409),
        ({"before": "never"}, 400),
        ({"rate": "<b>", "error": "<script>"}, 200),
        ({"rate": "99999", "status": "delivered"}, 200),
    ],
)
def test_an_invalid_replay_form_is_refused_or_a_dry_run(admin: Person, given: dict[str, str], status: int) -> None:
    """An invalid form is 400 or 409, or gets a dry run, and its markup is not shown."""
    reply = admin.post(f"{HERE}/dead-letters/replay", {"until": "9" * 13, "which": "all"} | given)
    assert reply.status == status, reply.body
    assert b"<script>" not in reply.body.replace(b'<script src="', b"")


def test_what_was_cancelled_is_not_replayed(world: World, admin: Person) -> None:
    """A cancelled message is not among the dead letters of a bulk replay; a viewer may not replay."""
    waiting = world.flow("http://127.0.0.1:9/", paused=True)
    sid = world.text(waiting).sid
    said = text_of(admin.follow(admin.post(f"{HERE}/messages/{sid}/control", {"do": "hold"})))
    assert "it is held until you release it" in said
    assert "held" in text_of(admin.get(f"{HERE}/messages/{sid}"))
    admin.post(f"{HERE}/messages/{sid}/control", {"do": "release"})
    cancelled = text_of(admin.follow(admin.post(f"{HERE}/messages/{sid}/control", {"do": "cancel"})))
    assert "it is cancelled" in cancelled
    assert "routes it again. Neither answers the customer" in cancelled
    nothing = admin.get(f"{HERE}/dead-letters?from=%2B14155559999").body
    assert f'href="{HERE}/messages?status=undelivered&amp;error=cancelled"'.encode() in nothing
    assert sid.encode() in admin.get(f"{HERE}/messages?status=undelivered&error=cancelled").body
    assert world.delivery(sid)["status"] == "undelivered"
    page = admin.get(f"{HERE}/dead-letters?flow={quote(waiting.sid)}")
    assert sid.encode() not in page.body
    assert admin.post(f"{HERE}/messages/{sid}/control", {"do": "explode"}).status == 400
    viewer = signed_in(world, READING)
    assert viewer.post(f"{HERE}/dead-letters/replay", {"which": "all", "until": "1"}).status == 403
    assert viewer.post(f"{HERE}/messages/{sid}/control", {"do": "hurry"}).status == 403
