"""Customers in the console: their chats and their contacts."""

from urllib.parse import urlencode

from tests.e2e.service import ACCOUNT
from tests.e2e.world import World
from tests.web.console import HERE, READING, Person, form_of, signed_in, text_of

HOSTILE = "<script>alert(1)</script> \u202e"


def begin(world: World) -> tuple[str, str]:
    """Start a chat at its own address and write as its visitor; return the SIDs of flow and chat."""
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
    """Return the author and text of each message of a chat."""
    found = world.rest("GET", f"/v1/Conversations/{sid}/Messages").json["messages"]
    return [(each["author"], each["body"]) for each in found]


def test_a_chat_is_read_answered_and_ended(world: World, admin: Person) -> None:
    """An agent reads, answers and ends a chat in the console; waiting chats are marked, and changes logged."""
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
    assert "The chat has ended: the agent ended it" in text_of(admin.follow(admin.post(f"{HERE}/chats/{sid}/end")))
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


def test_chats_that_wait_for_an_answer_are_listed_first(world: World, admin: Person) -> None:
    """The list of chats shows those that wait for an answer before newer ones that do not."""
    waiting, answered = begin(world)[1], begin(world)[1]
    places = [admin.get(f"{HERE}/chats").body.decode().index(sid) for sid in (answered, waiting)]
    assert places == sorted(places), "the newer one is first"
    admin.post(f"{HERE}/chats/{answered}/answer", {"body": "Hello"})
    places = [admin.get(f"{HERE}/chats").body.decode().index(sid) for sid in (waiting, answered)]
    assert places == sorted(places)
    for sid in (waiting, answered):
        admin.post(f"{HERE}/chats/{sid}/end")


def test_an_invalid_answer_to_a_chat_is_refused(world: World, admin: Person) -> None:
    """An empty or too long answer is 400 and shown again; a viewer's is 403, and an unknown chat 404."""
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


# -- contacts --------------------------------------------------------------------------------------------------------


def shown(admin: Person, identity: str) -> str:
    """Return the text of a contact's page."""
    return text_of(admin.get(f"{HERE}/contacts?{urlencode({'identity': identity})}"))


def test_a_contact_is_found_changed_and_erased(world: World, admin: Person) -> None:
    """A contact's language, alias and conversation can be set; erasing needs the address typed and logs no number."""
    flow = world.flow("http://127.0.0.1:9/", language=("es",), paused=True)
    who, also = "+14155559911", "+14155559922"
    assert "Nothing is stored about this address" in shown(admin, who)
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
    assert "Nothing is stored about this address" in shown(admin, also)
    changes = admin.get(f"{HERE}/changes").body
    assert b"erased a contact" in changes
    assert who[1:].encode() not in changes


def test_an_invalid_value_of_a_contact_is_refused_with_the_reason(world: World, admin: Person) -> None:
    """An invalid value shows its reason and changes nothing; a viewer's change is 403."""
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
