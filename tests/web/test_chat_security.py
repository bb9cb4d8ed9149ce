"""What a visitor, a website or a stranger may not do with a web chat."""

import base64
import hmac
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import jwt
import pytest

from router.chat.limit import MESSAGES_OF_NETWORK, READS, RESUMED, SESSIONS_OF_ADDRESS, SIGNALS
from router.flow.web_chat import WebChat
from router.store.chats import digest
from router.store.keys import AccountKeys
from tests.e2e.service import ACCOUNT
from tests.e2e.world import World
from tests.valkey import ValkeyServer
from tests.web.visitor import Visitor, web_flow

CONFIG = 'trusted_proxies = ["127.0.0.1"]\n[handlers]\necho = "router.demo:handle"\n'
NOBODY = "0" * 32
SHOP = "https://shop.example"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One router behind a proxy that forwards the visitor's address."""
    valkey = ValkeyServer()
    world = World(tmp_path_factory.mktemp("world"), valkey, config=CONFIG)
    yield world
    world.close()
    valkey.close()


@pytest.fixture
def visitor(world: World) -> Visitor:
    """A visitor with a chat."""
    made = Visitor(world, web_flow(world))
    assert made.begin().status == 201
    return made


def kept(world: World) -> set[bytes]:
    """Return the keys that a chat or a message would add; counters of limits are left out, and old keys may expire."""
    kinds = ("chat:*", "chats:*", "chat_[imnv]*", "message:*", "lane:*", "log:*", "contact:*")
    return {key for kind in kinds for key in world.call("KEYS", kind)}


# -- tokens -----------------------------------------------------------------------------------------------------------


def key(world: World) -> str:
    """Return the key that signs tokens."""
    return str(world.call("LINDEX", "chat_keys:{0}", 0).decode().partition(" ")[2])


def claims(visitor: Visitor) -> dict[str, object]:
    """Return the claims of the visitor's token."""
    middle = visitor.token.split(".")[1]
    found: dict[str, object] = json.loads(base64.urlsafe_b64decode(middle + "=" * (-len(middle) % 4)))
    return found


def written(world: World, visitor: Visitor, algorithm: str = "HS256", **changes: Any) -> str:
    """Sign a token with other claims or another algorithm."""
    signed_with = "" if algorithm == "none" else key(world)
    return jwt.encode(claims(visitor) | changes, signed_with, algorithm=algorithm)


def test_an_invalid_token_is_401(world: World, visitor: Visitor) -> None:
    """A forged, damaged, unsigned, foreign or expired token is 401 without a login prompt, and nothing is written."""
    good, before = visitor.token, kept(world)
    wrong = [
        "",
        "x",
        good[:-3] + "abc",
        jwt.encode(claims(visitor), "another key of the same length, 64 digits"),
        written(world, visitor, "none"),
        written(world, visitor, "HS512"),
        written(world, visitor, aud="console"),
        written(world, visitor, exp=int(time.time()) - 1),
        written(world, visitor, ep=7),
        written(world, visitor, cnv="chat"),
        written(world, visitor, exp="soon"),
    ]
    for token in wrong:
        visitor.token = token
        for reply in (
            visitor.say("x"),
            visitor.ask("GET", "/chat/events?wait=0"),
            visitor.ask("POST", "/chat/end", {}),
        ):
            assert reply.status == 401, token
            assert "WWW-Authenticate" not in reply.headers
            assert reply.json["message"]
    assert kept(world) <= before
    visitor.token = good
    assert visitor.bodies() == []


def test_a_token_opens_its_own_chat_only(world: World, visitor: Visitor) -> None:
    """A token shows only its own chat; one with another account or an unknown chat is 404."""
    other = Visitor(world, web_flow(world))
    other.begin()
    other.say("a secret")
    assert visitor.bodies() == []
    visitor.token = written(world, visitor, acc="AC" + "9" * 32)
    assert visitor.say("x").status == 404
    visitor.token = written(world, visitor, cnv=f"CH{NOBODY}")
    assert visitor.ask("GET", "/chat/events?wait=0").status == 404


def test_a_token_is_renewed(world: World, visitor: Visitor) -> None:
    """A token is renewed until 24 hours after it expired, unless its chat is closed or too old."""
    now, good = int(time.time()), visitor.token
    for ended in (now + 60, now - 60, now - 86_000):
        visitor.token = written(world, visitor, exp=ended)
        reply = visitor.ask("POST", "/chat/token", {})
        assert reply.status == 200, reply.body
        visitor.token = reply.json["token"]
        assert visitor.say("hello").status == 201
    visitor.token = good
    old, over = written(world, visitor, exp=now - 87_000), written(world, visitor, beg=now - 31 * 86_400)
    for token in (old, over):
        visitor.token = token
        assert visitor.ask("POST", "/chat/token", {}).status == 401
    visitor.token = good
    visitor.ask("POST", "/chat/end", {})
    assert visitor.ask("POST", "/chat/token", {}).status == 401


def test_removing_the_participant_revokes_the_token(world: World, visitor: Visitor) -> None:
    """Removing the visitor's participant ends open streams at once, and messages and renewal are 403."""
    chat = f"/v1/Conversations/{visitor.began['conversation_sid']}"
    with visitor.stream() as events:
        assert world.rest("DELETE", f"{chat}/Participants/{visitor.began['identity']}").status == 204
        with pytest.raises(EOFError):
            events.next()
    assert visitor.say("x").status == 403
    assert visitor.ask("GET", "/chat/events?wait=0").status == 403
    assert visitor.ask("POST", "/chat/token", {}).status == 403
    assert visitor.begin().status == 201
    assert not chat.endswith(visitor.began["conversation_sid"])


def test_a_token_of_the_previous_signing_key_is_valid(world: World, visitor: Visitor) -> None:
    """After a new signing key was added, tokens that the old key signed are still valid."""
    old = world.call("LINDEX", "chat_keys:{0}", 0)
    world.call("LSET", "chat_keys:{0}", 0, b"1 " + old.partition(b" ")[2])
    world.services[0].stop()
    world.services[0].start()
    assert visitor.say("with the old one").status == 201
    assert world.call("LLEN", "chat_keys:{0}") == 2
    assert visitor.ask("POST", "/chat/token", {}).status == 200


# -- websites ---------------------------------------------------------------------------------------------------------


def test_only_allowed_websites_embed_a_chat(world: World) -> None:
    """Only allowed origins and the router's own may frame and start a chat; a wildcard stands for one label."""
    chat = WebChat(allowed_origins=(SHOP, "https://*.shop.example"))
    visitor = Visitor(world, web_flow(world, web_chat=chat))
    policy = visitor.ask("GET", f"/chat/frame?address={visitor.address}").headers["Content-Security-Policy"]
    assert policy.endswith(f"frame-ancestors 'self' {SHOP} https://*.shop.example")
    for origin in (SHOP, "https://a.shop.example", "https://router.example.com", None):
        assert visitor.begin(origin=origin, new=True).status == 201, origin
    before = kept(world)
    wrong = (
        "http://shop.example",
        "https://shop.example.evil.example",
        "https://a.b.shop.example",
        "null",
        f"{SHOP}:8",
    )
    for origin in wrong:
        reply = visitor.begin(origin=origin, new=True)
        assert reply.status == 403, origin
        assert "AllowedOrigins" in reply.json["message"]
    assert kept(world) <= before
    for reply in (visitor.ask("POST", "/chat/sessions", {}), visitor.ask("GET", "/chat/address")):
        assert "Access-Control-Allow-Origin" not in reply.headers


def test_embed_js_says_whether_the_website_may_embed_the_chat(world: World) -> None:
    """/chat/embed.js is empty for an allowed website, and an error module for any other."""
    visitor = Visitor(world, web_flow(world, web_chat=WebChat(allowed_origins=(SHOP, "https://*.shop.example"))))
    path = f"/chat/embed.js?address={visitor.address}"
    for headers in ({"Origin": SHOP}, {"Origin": "https://a.shop.example"}, {}):
        allowed = visitor.ask("GET", path, **headers)
        assert (allowed.status, allowed.body) == (200, b"")
        assert allowed.headers["Cache-Control"] == "public, max-age=300"
    for origin in ("https://evil.example", "null", f"{SHOP}</script>\u2028\"'"):
        refused = visitor.ask("GET", path, Origin=origin.encode().decode("latin-1"))
        assert b"export const forbidden = true" in refused.body, origin
        assert b"WebChat.AllowedOrigins" in refused.body
        assert refused.body.isascii()
        assert (
            refused.headers.items()
            >= {
                "Cache-Control": "no-store",
                "Vary": "Origin",
                "Access-Control-Allow-Origin": "*",
            }.items()
        )
    unknown = visitor.ask("GET", f"/chat/embed.js?address=IG{NOBODY}", Origin=SHOP)
    assert unknown.body.startswith(b'console.error("The web chat cannot be used: This web address does not exist')
    assert b"forbidden" not in unknown.body


def test_a_token_of_a_website_no_longer_allowed_is_not_renewed(world: World) -> None:
    """A token of a website that is no longer allowed is not renewed."""
    flow = web_flow(world, web_chat=WebChat(allowed_origins=(SHOP,)))
    visitor = Visitor(world, flow)
    visitor.begin(origin=SHOP)
    assert visitor.ask("POST", "/chat/token", {}).status == 200
    world.change(flow, web_chat=WebChat())
    assert visitor.ask("POST", "/chat/token", {}).status == 401


def test_a_signed_visitor_moves_from_website_to_website(world: World) -> None:
    """A visitor with a signed identity continues a chat on another website, and the token is then that website's."""
    other = "https://help.example"
    chat = WebChat(allowed_origins=(SHOP, other), identity_secret="hush")
    flow = web_flow(world, web_chat=chat)
    visitor = Visitor(world, flow)
    signed = {"identity": "ada", "identity_hash": hmac.new(b"hush", b"ada", "sha256").hexdigest()}
    first = visitor.begin(origin=SHOP, **signed).json["conversation_sid"]
    assert visitor.begin(origin=other, **signed).json["conversation_sid"] == first
    world.change(flow, web_chat=replace(chat, allowed_origins=(other,)))
    assert visitor.ask("POST", "/chat/token", {}).status == 200


def test_with_test_page_false_the_page_is_404(world: World) -> None:
    """With TestPage=false the test page is 404, and only allowed websites start chats."""
    flow = web_flow(world, test_page=False, web_chat=WebChat(allowed_origins=(SHOP,)))
    visitor = Visitor(world, flow)
    assert visitor.ask("GET", f"/chat?accountSid={ACCOUNT}&flexFlowSid={flow.sid}").status == 404
    pinned = {"address": None, "account_sid": ACCOUNT, "flex_flow_sid": flow.sid}
    assert visitor.begin(**pinned).status == 404
    assert visitor.begin().status == 403
    assert visitor.begin(origin=SHOP).status == 201


def test_require_identity_needs_a_signed_identity(world: World) -> None:
    """With RequireIdentity a chat starts only with a signed identity; a wrong signature is always 403."""
    secret = WebChat(identity_secret="hush")
    signed = {"identity": "ada", "identity_hash": hmac.new(b"hush", b"ada", "sha256").hexdigest()}
    visitor = Visitor(world, web_flow(world, web_chat=replace(secret, require_identity=True)))
    assert visitor.begin().status == 403
    assert visitor.begin(**signed).status == 201
    assert visitor.began["identity"] == "ada"
    assert visitor.begin().status == 403
    assert visitor.begin(identity="bob", identity_hash=signed["identity_hash"]).status == 403
    assert visitor.begin(identity="ada").status == 403
    sid = visitor.began["conversation_sid"]
    visitor.client_id = "another browser than before"
    assert visitor.begin(**signed).json["conversation_sid"] == sid
    open_ = Visitor(world, web_flow(world, web_chat=secret))
    assert open_.begin().status == 201
    assert open_.begin(**signed, new=True).status == 201
    assert open_.begin(identity="ada", identity_hash="0" * 64).status == 403
    without = Visitor(world, web_flow(world))
    assert without.begin(identity="ada", identity_hash="").status == 403


# -- bad input --------------------------------------------------------------------------------------------------------


def test_an_unknown_address_is_404(world: World) -> None:
    """An address that is unknown, disabled, of another channel or account is 404, and no chat is made."""
    disabled, sms = web_flow(world, enabled=False), world.flow("https://a.example")
    before = kept(world)
    stranger = Visitor(world, disabled)
    for address in (f"IG{NOBODY}", f"IG{disabled.sid[2:]}", f"IG{sms.sid[2:]}", "x", ""):
        assert stranger.begin(address=address).status == 404, address
    assert stranger.begin(address=["x"]).status == 400
    flow = web_flow(world)
    for account in ("AC" + "9" * 32, "", "x"):
        assert stranger.begin(address="", account_sid=account, flex_flow_sid=flow.sid).status == 404
        assert stranger.ask("GET", f"/chat?accountSid={account}&flexFlowSid={flow.sid}").status == 404
    assert stranger.ask("GET", f"/chat/frame?address=IG{NOBODY}").status == 404
    assert kept(world) <= before


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        (b"{", 400, "not valid JSON"),
        (b"[1]", 400, "not a JSON object"),
        (b'{"client_id": "\\ud800"}', 400, "not valid JSON"),
        (b"[" * 50_000, 400, "not valid JSON"),
        (b'{"x": "' + b"x" * 70_000 + b'"}', 413, "over 65536 bytes"),
        ({"form": {}}, 400, "friendlyName: is required"),
        ({"form": {"friendlyName": "x" * 201}}, 400, "friendlyName: at most 200"),
        ({"form": {"friendlyName": "Ada", "email": "no"}}, 400, "email: is not an e-mail address"),
        ({"form": {"friendlyName": "Ada", "topic": "z"}}, 400, "topic: is not one of the options"),
        ({"form": {"friendlyName": "Ada", "more": "x" * 2001}}, 400, "more: at most 2000"),
        ({"form": {"friendlyName": 7}}, 400, "form: must be an object"),
        ({"form": {f"f{n}": "x" for n in range(21)} | {"friendlyName": "Ada"}}, 400, "at most 20 fields"),
        ({"language": "not a language"}, 400, "language: "),
        ({"client_id": "x" * 201}, 400, "client_id: "),
        ({"client_id": "guess me"}, 400, "client_id: must have at least 16"),
        ({"new": "yes"}, 400, "new: "),
    ],
)
def test_an_invalid_start_is_refused_with_the_field(world: World, body: object, status: int, says: str) -> None:
    """An invalid start is refused with a sentence that names the field, and no chat is made."""
    form = [
        {"name": "friendlyName", "required": True},
        {"name": "email", "type": "email"},
        {"name": "topic", "type": "select", "options": ["a", "b"]},
    ]
    visitor = Visitor(world, web_flow(world, form=json.dumps(form)))
    asked = {"address": visitor.address} | body if isinstance(body, dict) else body
    before = kept(world)
    reply = visitor.ask("POST", "/chat/sessions", asked)
    assert kept(world) <= before
    assert reply.status == status
    assert says in reply.json["message"]


def test_an_invalid_message_is_refused(world: World, visitor: Visitor) -> None:
    """An empty, too large or malformed message is refused, and nothing is written."""
    before = kept(world)
    for body in ("", " \n", None, 7, ["x"]):
        assert visitor.ask("POST", "/chat/messages", {"body": body}).status == 400, body
    refused = visitor.say("x" * 33 * 1024)
    assert (refused.status, refused.json["message"]) == (413, "body: at most 32768 bytes are allowed")
    assert visitor.say("é" * 17 * 1024).status == 413
    assert visitor.say("x", "i" * 201).status == 400
    assert visitor.ask("POST", "/chat/read", {"index": "last"}).status == 400
    assert visitor.ask("GET", "/chat/messages?before=-1").status == 400
    assert visitor.bodies() == []
    assert kept(world) <= before
    assert visitor.say("é" * 16 * 1024).status == 201
    visitor.ask("POST", "/chat/end", {})
    assert visitor.say("after the end").status == 409


def test_html_in_a_message_is_text(world: World) -> None:
    """HTML in a message is returned as text, and escaped on pages."""
    script = '<script>alert("x")</script>'
    visitor = Visitor(world, web_flow(world), form={"friendlyName": script})
    visitor.begin()
    visitor.say(script)
    visitor.sees(script, f"You wrote: {script}")
    flow = f"accountSid={ACCOUNT}&flexFlowSid=FO{visitor.address[2:]}"
    page = world.send("POST", "/chat", f"{flow}&token={visitor.token}".encode(), {})
    assert page.status == 200
    assert b"<script>alert" not in page.body


def test_invalid_cursors(visitor: Visitor) -> None:
    """A cursor past the end means the last message, and one that is not a number the beginning."""
    visitor.say("one", "1")
    visitor.sees("one", "You wrote: one")
    for cursor in (7, 10**14):
        assert visitor.news(cursor) | {"retry": 0} == {
            "messages": [],
            "state": "active",
            "by": None,
            "read": -1,
            "cursor": 1,
            "retry": 0,
        }
    with visitor.stream(after=1000) as events:
        visitor.say("two")
        assert events.next()[1]["body"] == "two"
    visitor.sees("one", "You wrote: one", "two", "You wrote: two")
    assert len(visitor.ask("GET", "/chat/events?wait=0&after=x").json["messages"]) == 4


# -- limits -----------------------------------------------------------------------------------------------------------


def test_a_network_starts_five_chats_in_ten_minutes(world: World) -> None:
    """An IPv4 address or IPv6 /64 starts five chats in ten minutes; more are 429 with Retry-After and make nothing."""
    visitor = Visitor(world, web_flow(world))

    def begin(address: str) -> int:
        visitor.token = ""
        asked = {"address": visitor.address, "new": True}
        reply = visitor.ask("POST", "/chat/sessions", asked, X_Forwarded_For=address)
        assert (reply.status == 429) == ("Retry-After" in reply.headers)
        if reply.status == 429:
            assert 0 < int(reply.headers["Retry-After"]) <= 600
            assert "try again in" in reply.json["message"]
        return reply.status

    assert [begin("203.0.113.7") for _ in range(5)] == [201] * 5
    before = kept(world)
    assert {begin("203.0.113.7") for _ in range(50)} == {429}
    assert kept(world) <= before
    assert begin("203.0.113.8") == 201
    assert [begin(f"2001:db8::{n}") for n in range(6)] == [201] * 5 + [429]
    assert begin("2001:db8:0:1::1") == 201


def test_a_chat_takes_thirty_messages_a_minute(visitor: Visitor) -> None:
    """A chat takes thirty messages a minute; further ones are 429 with Retry-After and are not kept."""
    statuses = [visitor.say(str(number)).status for number in range(31)]
    assert statuses == [201] * 30 + [429]
    reply = visitor.say("one more")
    assert 0 < int(reply.headers["Retry-After"]) <= 60
    own = [each["body"] for each in visitor.news()["messages"] if each["own"]]
    assert own == [str(number) for number in range(30)]


def test_the_other_limits_are_429(world: World, visitor: Visitor) -> None:
    """Each other limit (of an address, a network, reads, signals) is 429 with Retry-After, and nothing is written."""
    network, chat = "203.0.113.77", visitor.began["conversation_sid"]

    def ask(method: str, path: str, body: Any = None) -> int:
        reply = visitor.ask(method, path, body, X_Forwarded_For=network)
        assert (reply.status == 429) == ("Retry-After" in reply.headers)
        return reply.status

    begin = {"address": visitor.address, "new": True}
    for what, (most, _), request in (
        (f"sessions:{visitor.address}", SESSIONS_OF_ADDRESS, ("POST", "/chat/sessions", begin)),
        (f"resumed:{visitor.address}:{digest(network)}", RESUMED, ("POST", "/chat/sessions", begin)),
        (f"messages:{digest(network)}", MESSAGES_OF_NETWORK, ("POST", "/chat/messages", {"body": "Hello"})),
        (f"reads:{chat}", READS, ("GET", "/chat/events?wait=0")),
        (f"signals:{chat}", SIGNALS, ("POST", "/chat/read", {"index": 0})),
    ):
        counter = AccountKeys(ACCOUNT).chat_limits + what
        world.call("SET", counter, most - 1, "PX", 60_000)
        assert ask(*request) < 300, what
        before = kept(world)
        assert ask(*request) == 429, what
        assert kept(world) <= before
        world.call("DEL", counter)
