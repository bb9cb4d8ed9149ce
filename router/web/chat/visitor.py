"""The visitor's API: `/chat/address`, `/chat/sessions`, `/chat/messages`, `/chat/events` and what else a chat needs.

JSON both ways, and a token in the place of a password. The widget is its only client in mind: docs/web-chat.md.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from flask import Blueprint, Response, request

from router.chat.address import Addresses, WebAddress
from router.chat.event import iso
from router.chat.form import BadForm
from router.chat.limit import BODY_MOST, Limits, network_of
from router.chat.sending import Sending, Sent
from router.chat.session import (
    Begun,
    Refused,
    begin,
    check_identity,
    check_origin,
    make,
    read_language,
    read_wish,
    visitor_of,
)
from router.chat.streams import Streams
from router.chat.token import LATE_SECONDS, RENEWED_SECONDS, Visitor
from router.errors import StoreUnavailable
from router.settings import Settings
from router.store import Store
from router.store.chats import Chat
from router.web.chat.guard import Guard, answer, check_limit, read_json, refusal, visitor_error
from router.web.chat.stream import events
from router.web.chat.view import messages_of
from router.web.errors import ApiError
from router.web.public import client_address
from router.web.request import Refusal
from router.web.same_origin import own_origins

# Messages that a page shows at first, and asks for at once.
PAGE: Final = 20
_PAGE_MOST: Final = 100
_ID_MOST: Final = 200
# Control characters that have no place in a text.
_CONTROLS: Final = dict.fromkeys((*range(9), 11, 12, *range(14, 32), 127))


@dataclass(frozen=True, slots=True)
class VisitorApi:
    """The parts that the visitor's API is made of."""

    settings: Settings
    store: Store
    addresses: Addresses
    guard: Guard
    limits: Limits
    sending: Sending
    streams: Streams

    def address(self, given: Mapping[str, Any], *, account: str, flow: str) -> WebAddress:
        """Find the address that a request names; `account` and `flow` are its names for those of a test page."""
        names = [given.get(name) or "" for name in ("address", account, flow)]
        if not all(isinstance(each, str) for each in names):
            raise refusal(400, "address: a text is wanted")
        sid, account_sid, flow_sid = names
        found = self.addresses.find(sid) if sid else self.addresses.test_page(account_sid, flow_sid)
        if found is None:
            raise refusal(404, "There is no such web address, or it is disabled")
        return found

    def network(self) -> str:
        """Return the network that the request comes from, as limits count it."""
        return network_of(client_address(request.environ, self.settings))

    def own(self) -> frozenset[str]:
        """Return the origins of the router's own pages."""
        return own_origins(request.environ, self.settings)

    def begin(self, address: WebAddress, body: dict[str, Any]) -> Begun:
        """Begin a chat, or go on with the visitor's; raise ApiError."""
        network, account_sid = self.network(), address.flow.account_sid
        check_limit(self.limits.resumed(account_sid, address.sid, network))
        try:
            wish = read_wish(body)
            check_origin(address, wish.origin, self.own)
            identity = check_identity(address, wish)
            idle_ms = int(self.settings.sticky_hours * 3_600_000)
            visitor = visitor_of(address, identity, wish.client_id)
            resume = bool(visitor) and not wish.new
            if resume and (chat := self.store.chats.of_visitor(account_sid, visitor)):
                return Begun(chat, resumed=True)
            made = make(address, wish, identity, now_ms=time.time_ns() // 1_000_000, idle_ms=idle_ms)
        except Refused as error:
            raise refusal(403, str(error)) from None
        except (BadForm, ValueError) as error:
            raise refusal(400, str(error)) from None
        check_limit(self.limits.session(account_sid, address.sid, network))
        begun = begin(self.store.chats, made, visitor, resume=resume)
        if begun is None:
            raise StoreUnavailable("the chat has just gone")
        return begun

    def token(self, chat: Chat, address_sid: str, *, began: int | None = None) -> dict[str, Any]:
        """Make the visitor's token of a chat."""
        now = time.time()
        visitor = Visitor(
            account_sid=chat.account_sid,
            conversation_sid=chat.sid,
            identity=chat.identity,
            address=address_sid,
            origin=chat.origin,
            epoch=chat.epoch,
            began=int(now) if began is None else began,
        )
        token, expires = self.guard.tokens.write(visitor, now)
        return {"token": token, "expires": iso(expires * 1000)}

    def state(self, chat: Chat) -> dict[str, Any]:
        """Return what a page shows of a chat at first."""
        look = self.store.chats.look(chat.account_sid, chat.sid, "last", most=PAGE)
        if look is None:
            raise refusal(404, "The chat is gone")
        return {
            "conversation_sid": chat.sid,
            "identity": chat.identity,
            "state": look.state,
            "messages": messages_of(look.messages),
            "cursor": look.next - 1,
            "read": look.read_visitor,
            "more": bool(look.messages) and look.messages[0][0] > look.first,
        }

    def send(self, chat: Chat, body: object, client_message_id: object, language: object) -> Sent:
        """Take a message; raise ApiError."""
        if not isinstance(body, str) or not (text := body.translate(_CONTROLS)).strip():
            raise refusal(400, "body: the text of the message is missing")
        if len(text.encode()) > BODY_MOST:
            raise refusal(413, f"body: at most {BODY_MOST} bytes are allowed")
        id_ = client_message_id or ""
        if not isinstance(id_, str) or len(id_) > _ID_MOST:
            raise refusal(400, f"client_message_id: a text of at most {_ID_MOST} characters is wanted")
        if language is not None and not isinstance(language, str):
            raise refusal(400, "language: a language tag is wanted, as es")
        check_limit(self.limits.message(chat.account_sid, chat.sid, self.network()))
        sent = self.sending.send(chat, text, id_, language=read_language(language or ""))
        if sent.refusal:
            status = {"closed": 409, "revoked": 403}.get(sent.refusal, 404)
            raise refusal(status, f"The chat is {sent.refusal}; begin another one")
        return sent


def blueprint(api: VisitorApi) -> Blueprint:
    """Make the routes of the visitor's API."""
    visitor = Blueprint("chat_visitor", __name__, url_prefix="/chat")
    for error in (ApiError, StoreUnavailable, Refusal):
        visitor.register_error_handler(error, visitor_error)
    _add_reading(visitor, api)
    _add_writing(visitor, api)
    return visitor


def _add_reading(visitor: Blueprint, api: VisitorApi) -> None:
    def address() -> Response:
        found = api.address(request.args, account="accountSid", flow="flexFlowSid")
        return answer(found.resource())

    def history() -> Response:
        who = api.guard.visitor()
        api.guard.chat(who)
        limit = min(_whole("limit", PAGE), _PAGE_MOST)
        look = api.store.chats.look(
            who.account_sid, who.conversation_sid, "before", _whole("before", 2**53), max(1, limit)
        )
        if look is None:
            raise refusal(404, "The chat is gone")
        first = look.messages[0][0] if look.messages else look.first
        return answer({"messages": messages_of(look.messages), "more": first > look.first})

    def stream() -> Response:
        return events(api.guard, api.streams, api.store)

    visitor.add_url_rule("/address", view_func=_named(address, "address"))
    visitor.add_url_rule("/messages", view_func=_named(history, "history"))
    visitor.add_url_rule("/events", view_func=_named(stream, "events"))


def _add_writing(visitor: Blueprint, api: VisitorApi) -> None:
    @visitor.post("/sessions")
    def sessions() -> Response:
        body = read_json(request)
        address = api.address(body, account="account_sid", flow="flex_flow_sid")
        begun = api.begin(address, body)
        token = api.token(begun.chat, address.sid)
        return answer(token | api.state(begun.chat), 200 if begun.resumed else 201)

    @visitor.post("/messages")
    def send() -> Response:
        chat = api.guard.chat(api.guard.visitor())
        body = read_json(request)
        sent = api.send(chat, body.get("body"), body.get("client_message_id"), body.get("language"))
        found = {"sid": sent.sid, "index": sent.index, "date_created": iso(sent.date)}
        return answer(found, 200 if sent.repeated else 201)

    @visitor.post("/token")
    def token() -> Response:
        who = api.guard.visitor(late=LATE_SECONDS)
        chat = api.guard.chat(who)
        address = api.addresses.find(who.address)
        if address is None or (who.origin and who.origin not in api.own() and not _allowed(address, who.origin)):
            raise refusal(401, "The address is closed to this website; begin again at /chat/sessions")
        if chat.state == "closed" or time.time() - who.began > RENEWED_SECONDS:
            raise refusal(401, "The chat is over; begin another one at /chat/sessions")
        check_limit(api.limits.signal(chat.account_sid, chat.sid))
        return answer(api.token(chat, who.address, began=who.began))


def _allowed(address: WebAddress, origin: str) -> bool:
    return address.flow.web_chat.allows(origin)


def _named(view: Callable[[], Response], name: str) -> Callable[[], Response]:
    """Give a view the name of its endpoint."""
    view.__name__ = name
    return view


def _whole(name: str, default: int) -> int:
    text = request.args.get(name, "")
    if not text:
        return default
    if not (text.isascii() and text.isdecimal() and len(text) < 16):  # noqa: PLR2004 - beyond every index
        raise refusal(400, f"{name}: {text[:20]!r} is not a whole number")
    return int(text)
