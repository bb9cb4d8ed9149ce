"""A visitor's actions, for the API and for the page without JavaScript: find an address, begin a chat, send."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from flask import request

from router.chat.address import Addresses, WebAddress
from router.chat.ending import Ending
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
from router.chat.token import Visitor
from router.errors import StoreUnavailable
from router.settings import Settings
from router.store import Store
from router.store.chat_record import Chat
from router.web.chat.guard import Guard, check_limit, refusal
from router.web.chat.view import messages_of
from router.web.public import client_address
from router.web.same_origin import own_origins

# The number of messages that a page shows at first and loads at a time.
PAGE: Final = 20
_ID_MOST: Final = 200
# Control characters that are removed from texts.
_CONTROLS: Final = dict.fromkeys((*range(9), 11, 12, *range(14, 32), 127))


@dataclass(frozen=True, slots=True)
class VisitorApi:
    """The dependencies of the visitor's API, and its actions."""

    settings: Settings
    store: Store
    addresses: Addresses
    guard: Guard
    limits: Limits
    sending: Sending
    ending: Ending
    streams: Streams

    def address(self, values: Mapping[str, Any], *, account: str, flow: str) -> WebAddress:
        """Find the address that a request names; `account` and `flow` are the keys for those of a test page."""
        names = [values.get(name) or "" for name in ("address", account, flow)]
        if not all(isinstance(each, str) for each in names):
            raise refusal(400, "address: must be a string")
        sid, account_sid, flow_sid = names
        found = self.addresses.find(sid) if sid else self.addresses.test_page(account_sid, flow_sid)
        if found is None:
            raise refusal(404, "This web address does not exist, or it is disabled")
        return found

    def network(self) -> str:
        """Return the client's network, which limits are counted for."""
        return network_of(client_address(request.environ, self.settings))

    def own(self) -> frozenset[str]:
        """Return the origins of the router's own pages."""
        return own_origins(request.environ, self.settings)

    def begin(self, address: WebAddress, body: dict[str, Any]) -> Begun:
        """Begin a chat, or resume the visitor's; raise ApiError."""
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
                return Begun(replace(chat, origin=wish.origin), resumed=True)  # the token is for this website
            made = make(address, wish, identity, now_ms=time.time_ns() // 1_000_000, idle_ms=idle_ms)
        except Refused as error:
            raise refusal(403, str(error)) from None
        except (BadForm, ValueError) as error:
            raise refusal(400, str(error)) from None
        check_limit(self.limits.session(account_sid, address.sid, network))
        begun = begin(self.store.chats, made, visitor, resume=resume)
        if begun is None:
            raise StoreUnavailable("the chat was just removed")
        return begun

    def token(self, chat: Chat, address_sid: str, *, began: int | None = None) -> dict[str, Any]:
        """Return a token of the visitor for a chat."""
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
        """Return the state of a chat that a page shows first."""
        look = self.store.chats.look(chat.account_sid, chat.sid, "last", most=PAGE)
        if look is None:
            raise refusal(404, "The chat no longer exists")
        return {
            "conversation_sid": chat.sid,
            "identity": chat.identity,
            "state": look.shown_state,
            "messages": messages_of(look.messages),
            "cursor": look.next - 1,
            "read": look.read_visitor,
            "more": look.start > look.first,
        }

    def send(self, chat: Chat, body: object, client_message_id: object, language: object) -> Sent:
        """Accept a message; raise ApiError."""
        if not isinstance(body, str) or not (text := body.translate(_CONTROLS)).strip():
            raise refusal(400, "body: the text of the message is missing")
        if len(text.encode()) > BODY_MOST:
            raise refusal(413, f"body: at most {BODY_MOST} bytes are allowed")
        id_ = client_message_id or ""
        if not isinstance(id_, str) or len(id_) > _ID_MOST:
            raise refusal(400, f"client_message_id: must be a string of at most {_ID_MOST} characters")
        if language is not None and not isinstance(language, str):
            raise refusal(400, "language: must be a language tag such as es")
        check_limit(self.limits.message(chat.account_sid, chat.sid, self.network()))
        sent = self.sending.send(chat, text, id_, language=read_language(language or ""))
        if sent.refusal:
            status = {"closed": 409, "revoked": 403}.get(sent.refusal, 404)
            raise refusal(status, f"The chat is {sent.refusal}; begin another one")
        return sent
