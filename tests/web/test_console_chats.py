from collections.abc import Iterator

import pytest

from tests.e2e.service import ACCOUNT
from tests.e2e.world import World
from tests.valkey import ValkeyServer
from tests.web.console import CONSOLE, HERE, READING, Person, form_of, signed_in, text_of

HOSTILE = "<script>alert(1)</script> \u202e"


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


def begin(world: World) -> tuple[str, str]:
    """Begin a chat at an address of its own, and write in it as its visitor; return the flow's SID and the chat's."""
    flow = world.flow(
        "http://127.0.0.1:9/", channel_type="web", contact_identity=f"web:{world.sid('IG')}", friendly_name="Shop"
    )
    asked = {"AddressSid": f"IG{flow.sid[2:]}", "CustomerFriendlyName": "Ana <b>", "Identity": "ana"}
    reply = world.rest("POST", "/v2/WebChats", asked)
    assert reply.status == 201, reply.body
    sid = reply.json["conversation_sid"]
    written = {"Author": "ana", "Body": HOSTILE}
    assert world.rest("POST", f"/v1/Conversations/{sid}/Messages", written).status == 201
    return flow.sid, sid


def said(world: World, sid: str) -> list[tuple[str, str]]:
    """Return author and text of a chat's messages."""
    found = world.rest("GET", f"/v1/Conversations/{sid}/Messages").json["messages"]
    return [(each["author"], each["body"]) for each in found]


def test_a_chat_is_read_answered_and_ended(world: World, admin: Person) -> None:
    """The open ones are listed, those that wait first; an answer reaches the visitor; ending is told, and noted."""
    flow_sid, sid = begin(world)
    listed = text_of(admin.get(f"{HERE}/chats"))
    assert "Ana <b> active waits for an answer" in listed
    page = admin.get(f"{HERE}/chats/{sid}")
    assert b"<script>alert" not in page.body
    assert "\u202e" not in page.body.decode()
    assert "<script>alert(1)</script>" in text_of(page)
    reply = admin.post(f"{HERE}/chats/{sid}/answer", {"body": "Hello Ana\r\nhow are you?"})
    assert "Hello Ana" in text_of(admin.follow(reply))
    assert said(world, sid)[-1] == ("agent", "Hello Ana\nhow are you?")
    assert "waits for an answer" not in text_of(admin.get(f"{HERE}/chats"))
    assert "The chat has ended, by the agent" in text_of(admin.follow(admin.post(f"{HERE}/chats/{sid}/end")))
    assert world.rest("GET", f"/v1/Conversations/{sid}").json["state"] == "closed"
    late = admin.post(f"{HERE}/chats/{sid}/answer", {"body": "still there?"})
    assert late.status == 409
    assert sid not in admin.get(f"{HERE}/chats").body.decode()
    assert sid in admin.get(f"{HERE}/chats?ended=1").body.decode()
    changes = text_of(admin.get(f"{HERE}/changes"))
    assert f"answered a chat chat: {sid}" in changes
    assert f"ended a chat chat: {sid}" in changes
    snippet = text_of(admin.get(f"{HERE}/addresses/{flow_sid}"))
    assert f'data-address="IG{flow_sid[2:]}"' in snippet
    assert f"accountSid={ACCOUNT}".encode() in admin.get(f"{HERE}/addresses/{flow_sid}").body


def test_what_cannot_be_sent_stays_in_the_form(world: World, admin: Person) -> None:
    """An empty or endless answer is refused and kept; a viewer reads and does not write; another chat is none."""
    _, sid = begin(world)
    before = said(world, sid)
    assert admin.post(f"{HERE}/chats/{sid}/answer", {"body": "  "}).status == 400
    long = admin.post(f"{HERE}/chats/{sid}/answer", {"body": "x" * 33_000})
    assert long.status == 400
    assert form_of(admin.get(f"{HERE}/chats/{sid}")) == {}
    assert b"x" * 33_000 in long.body
    viewer = signed_in(world, READING)
    assert "alert" in text_of(viewer.get(f"{HERE}/chats/{sid}"))
    for action in ("answer", "end"):
        assert viewer.post(f"{HERE}/chats/{sid}/{action}", {"body": "hi"}).status == 403
        assert admin.post(f"{HERE}/chats/CH{'0' * 32}/{action}", {"body": "hi"}).status == 404
    assert said(world, sid) == before
