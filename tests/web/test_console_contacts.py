from collections.abc import Iterator
from urllib.parse import urlencode

import pytest

from tests.e2e.world import World
from tests.valkey import ValkeyServer
from tests.web.console import CONSOLE, HERE, READING, Person, signed_in, text_of


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One router with a console."""
    valkey = ValkeyServer()
    world = World(tmp_path_factory.mktemp("world"), valkey, config=CONSOLE)
    yield world
    world.close()
    valkey.close()


@pytest.fixture(scope="module")
def admin(world: World) -> Person:
    """A person who may do everything."""
    return signed_in(world)


def shown(admin: Person, identity: str) -> str:
    """Open a contact's page, and return what it says."""
    return text_of(admin.get(f"{HERE}/contacts?{urlencode({'identity': identity})}"))


def test_a_contact_is_found_changed_and_erased(world: World, admin: Person) -> None:
    """Language, alias and conversation are set and shown; erasing wants the address typed, and leaves no trace."""
    flow = world.flow("http://127.0.0.1:9/", language=("es",), paused=True)
    who, also = "+14155559911", "+14155559922"
    assert "Nothing is known of this address" in shown(admin, who)
    given = {"identity": who, "Language": "es-mx", "Alias": also}
    assert "The contact is changed" in text_of(admin.follow(admin.post(f"{HERE}/contacts", given)))
    assert "es-MX, set by an operator" in shown(admin, also)
    assign = {"identity": who, "Address": flow.contact_identity, "FlexFlowSid": flow.sid}
    assert f"{flow.contact_identity} with" in text_of(admin.follow(admin.post(f"{HERE}/contacts", assign)))
    close = {"identity": who, "Address": flow.contact_identity, "Status": "closed"}
    admin.post(f"{HERE}/contacts", close)
    assert " active " not in shown(admin, who)
    refused = admin.post(f"{HERE}/contacts/erase", {"identity": who, "typed": "yes"})
    assert refused.status == 400
    assert "es-MX" in shown(admin, who)
    erased = admin.post(f"{HERE}/contacts/erase", {"identity": who, "typed": who})
    assert "The contact is erased" in text_of(admin.follow(erased))
    assert "Nothing is known of this address" in shown(admin, also)
    changes = admin.get(f"{HERE}/changes").body
    assert b"erased a contact" in changes
    assert who[1:].encode() not in changes


def test_what_cannot_be_set_says_why(world: World, admin: Person) -> None:
    """The reason stands beside its field, what was typed stays, and nothing is changed; a viewer sets nothing."""
    who = "+14155559933"
    admin.post(f"{HERE}/contacts", {"identity": who, "Language": "fr"})
    for name, wrong in (("Language", "<b>"), ("Preference", "en,fr"), ("Alias", "*"), ("FlexFlowSid", "FO1")):
        reply = admin.post(f"{HERE}/contacts", {"identity": who, "Address": "+15550001111", name: wrong})
        assert reply.status == 400, name
        assert b'class="error"' in reply.body, name
        assert b"<b>" not in reply.body.replace(b"<b>Nothing", b""), name
    assert b"role=" in admin.get(f"{HERE}/contacts?identity=%3Cscript%3E*").body
    assert "fr, set by an operator" in shown(admin, who)
    viewer = signed_in(world, READING)
    assert "fr, set by an operator" in shown(viewer, who)
    for path in ("contacts", "contacts/erase"):
        assert viewer.post(f"{HERE}/{path}", {"identity": who, "typed": who}).status == 403
