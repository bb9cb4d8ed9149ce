"""Begins a visitor's chat, or resumes the chat of this browser or signed identity."""

import hmac
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final

from router.chat.address import WebAddress
from router.chat.form import NAME, answers, language_of
from router.language import tag as language_tag
from router.sid import new_sid
from router.store.chat_record import Chat
from router.store.chats import Chats, digest

# The maximum length of an identity that a website signs: with its prefix it is an address of at most 256 characters.
IDENTITY_MOST: Final = 200
# The minimum length of a browser's random id: it gives access to the chat, so it must not be guessable.
CLIENT_LEAST: Final = 16
_CLIENT_MOST: Final = 200
_CUSTOMER: Final = "Customer"
TITLE: Final = "Webchat widget"  # the name that Twilio's own widget gives to a chat


class Refused(Exception):  # noqa: N818 - an expected answer, not an error
    """A chat that must not begin; the text is the reason."""


@dataclass(frozen=True, slots=True)
class Wish:
    """A browser's request to begin a chat.

    `origin` is the website's origin, which the loader sends; "" for the router's own pages.
    """

    client_id: str = field(repr=False, default="")
    form: object = field(repr=False, default=None)
    language: str = ""
    identity: str = field(repr=False, default="")
    identity_hash: str = field(repr=False, default="")
    origin: str = ""
    new: bool = False


@dataclass(frozen=True, slots=True)
class Begun:
    """A chat, and whether it existed before."""

    chat: Chat
    resumed: bool


def check_origin(address: WebAddress, origin: str, own: Callable[[], frozenset[str]]) -> None:
    """Raise Refused unless a page of this origin may show the chat; `own` returns the router's own origins."""
    if origin and not address.flow.web_chat.allows(origin) and origin not in own():
        raise Refused(f"the origin {origin[:100]!r} is not one of the address's WebChat.AllowedOrigins")
    if not origin and not address.flow.test_page:
        raise Refused("the test page of this address is closed (TestPage=false); only websites may show the chat")


def check_identity(address: WebAddress, wish: Wish) -> str:
    """Return the identity that the website has signed, "" for an unknown visitor; raise Refused."""
    secret = address.flow.web_chat.identity_secret
    if not wish.identity:
        if address.flow.web_chat.require_identity:
            raise Refused("identity: this address takes only visitors whom the website has signed in")
        return ""
    signed = hmac.new(secret.encode(), wish.identity.encode("utf-8", "surrogatepass"), "sha256").hexdigest()
    if not secret or not hmac.compare_digest(signed.encode(), wish.identity_hash.lower().encode("utf-8", "replace")):
        raise Refused("identity_hash: is not the identity's HMAC-SHA256 with the address's WebChat.IdentitySecret")
    return wish.identity


def visitor_of(address: WebAddress, identity: str, client_id: str) -> str:
    """Return the digest under which a visitor's chat is found again, "" for a visitor without identity or client id."""
    if not (identity or client_id):
        return ""
    visitor = ("identity", identity) if identity else ("browser", client_id)
    return digest(address.flow.sid, "pinned" if address.pinned else "", *visitor)


def make(address: WebAddress, wish: Wish, identity: str, *, now_ms: int, idle_ms: int) -> Chat:
    """Make the chat that a browser requested; raise BadForm.

    Args:
        address: the web address.
        wish: the browser's request.
        identity: as `check_identity` returned it.
        now_ms: the time, in ms since 1970.
        idle_ms: the time after which the janitor closes an idle chat.
    """
    form = answers(address.flow.web_chat.fields, wish.form)
    language = read_language(wish.language) or read_language(language_of(form)) or ""
    data: dict[str, Any] = dict(form)
    name = form.get(NAME, "")
    if name:
        data["friendlyName"] = name
    if language:
        data["language"] = language
    if wish.origin:
        data["origin"] = wish.origin
    return chat_of(
        address,
        identity=identity or secrets.token_hex(16),
        now_ms=now_ms,
        idle_ms=idle_ms,
        friendly_name=TITLE,
        customer_name=name or _CUSTOMER,
        pre_engagement_data=json.dumps(data, ensure_ascii=False) if data else "",
        origin=wish.origin,
        language=language,
        chat_service_sid=address.flow.chat_service_sid,
    )


def chat_of(address: WebAddress, *, identity: str, now_ms: int, idle_ms: int, **more: Any) -> Chat:
    """Make the record of a chat at an address; `more` are its other fields."""
    flow = address.flow
    return Chat(
        account_sid=flow.account_sid,
        sid=new_sid("CH"),
        state="active",
        flow_sid=flow.sid,
        address=address.to,
        identity=identity,
        participant_sid=new_sid("MB"),
        pinned=address.pinned,
        idle=idle_ms if flow.janitor_enabled else 0,
        lasting=flow.is_lasting,
        created=now_ms,
        updated=now_ms,
        **more,
    )


def begin(chats: Chats, chat: Chat, visitor: str, *, resume: bool) -> Begun | None:
    """Write a chat, or find the visitor's open one; None if that has expired in between."""
    outcome, sid = chats.begin(chat, visitor=visitor, resume=resume)
    if outcome == "begun":
        return Begun(replace(chat, sid=sid), resumed=False)
    existing = chats.get(chat.account_sid, sid)
    return Begun(existing, resumed=True) if existing else None


def read_language(text: str) -> str:
    """Return a language tag in canonical form, "" for a text that is not a tag."""
    try:
        return language_tag.canonical_tag(text.strip().replace("_", "-")) if text else ""
    except ValueError:
        return ""


def read_wish(body: dict[str, Any]) -> Wish:
    """Read a browser's request; raise a ValueError that names the field."""
    texts = {}
    for name, most in (
        ("client_id", _CLIENT_MOST),
        ("language", 64),
        ("identity", IDENTITY_MOST),
        ("identity_hash", 64),
        ("origin", 300),
    ):
        value = body.get(name) or ""
        if not isinstance(value, str) or len(value) > most:
            raise ValueError(f"{name}: must be a string of at most {most} characters")
        texts[name] = value
    if 0 < len(texts["client_id"]) < CLIENT_LEAST:
        raise ValueError(
            f"client_id: must have at least {CLIENT_LEAST} random characters, because it gives access to the chat"
        )
    if not texts["identity"].isprintable():
        raise ValueError("identity: control characters are not allowed")
    if texts["language"] and not read_language(texts["language"]):
        raise ValueError(f"language: {texts['language']!r} is not a language tag such as es or pt-BR")
    if (new := body.get("new") or False) is not True and new is not False:
        raise ValueError("new: must be true or false")
    return Wish(form=body.get("form"), new=new, **(texts | {"origin": texts["origin"].lower().rstrip("/")}))
