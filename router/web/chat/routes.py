"""The visitor's API: `/chat/address`, `/chat/sessions`, `/chat/messages`, `/chat/events` and others.

Requests and answers are JSON, with a token instead of a password. It is made for the widget: docs/web-chat.md.
"""

import time
from collections.abc import Iterator
from functools import partial
from typing import Any, Final

from flask import Blueprint, Response, g, request

from router import metrics
from router.chat.event import iso
from router.chat.limit import MESSAGE_REQUEST_MOST
from router.chat.session import Refused, check_origin
from router.chat.token import LATE_SECONDS, RENEWED_SECONDS, Visitor
from router.errors import StoreUnavailable
from router.message.channel import WEB
from router.store import Store
from router.store.chat_record import Chat
from router.web.chat.guard import answer, check_limit, private, read_json, refusal, visitor_error
from router.web.chat.stream import events
from router.web.chat.view import messages_of
from router.web.chat.visitor import PAGE, VisitorApi
from router.web.errors import ApiError
from router.web.number import whole_number
from router.web.request import Refusal

# The maximum number of messages in one answer.
_PAGE_MOST: Final = 100
_DIGITS: Final = 15  # a number with more is beyond every index

# The outcome of a request in the log, by its path and the status of its answer.
_OUTCOMES: Final = {
    "sessions": {201: "begun", 200: "resumed"},
    "messages": {201: "accepted", 200: "duplicate"},
}


def blueprint(api: VisitorApi, log: Any) -> Blueprint:
    """Return the routes of the visitor's API; `log` gets a line for each new chat and each message."""
    views = Blueprint("chat_visitor", __name__, url_prefix="/chat")
    for error in (ApiError, StoreUnavailable, Refusal):
        views.register_error_handler(error, visitor_error)
    _add_reading(views, api)
    _add_writing(views, api)
    views.before_request(_begin)
    views.after_request(partial(_report, log))
    return views


def _begin() -> None:
    g.arrived, g.names = time.monotonic(), {}


def _report(log: Any, response: Response) -> Response:
    """Log each new chat and each message with its outcome, without its content."""
    name = request.path.rpartition("/")[2]
    if request.method == "POST" and name in _OUTCOMES:
        status = response.status_code
        metrics.CHATS.labels(name, str(status)).inc()
        write = log.error if status >= 500 else log.warning if status >= 400 else log.info  # noqa: PLR2004
        outcome = _OUTCOMES[name].get(status, "refused")
        write(
            "chat",
            channel=WEB,
            outcome=outcome,
            answer=status,
            seconds=round(time.monotonic() - g.arrived, 4),
            **g.names,
        )
    return response


def _add_reading(views: Blueprint, api: VisitorApi) -> None:
    def reader() -> Visitor:
        visitor = api.guard.visitor()
        check_limit(api.limits.reading(visitor.account_sid, visitor.conversation_sid))
        return visitor

    @views.get("/address")
    def address() -> Response:
        return answer(api.address(request.args, account="accountSid", flow="flexFlowSid").resource())

    @views.get("/messages")
    def history() -> Response:
        chat = api.guard.chat(reader())
        limit = max(1, min(_whole("limit", PAGE), _PAGE_MOST))
        look = api.store.chats.look(chat.account_sid, chat.sid, "before", _whole("before", 2**53), limit)
        if look is None:
            raise refusal(404, "The chat no longer exists")
        return answer({"messages": messages_of(look.messages), "more": look.start > look.first})

    @views.get("/events")
    def stream() -> Response:
        visitor = reader()
        api.guard.chat(visitor)
        return events(visitor, api.streams, api.store)

    @views.get("/transcript.txt")
    def transcript() -> Response:
        chat = api.guard.chat(reader())
        response = Response(_transcript(api.store, chat), content_type="text/plain; charset=utf-8")
        response.headers["Content-Disposition"] = f'attachment; filename="chat-{chat.sid}.txt"'
        response.headers["X-Content-Type-Options"] = "nosniff"
        return private(response)


def _add_writing(views: Blueprint, api: VisitorApi) -> None:
    @views.post("/sessions")
    def sessions() -> Response:
        body = read_json(request)
        address = api.address(body, account="account_sid", flow="flex_flow_sid")
        begun = api.begin(address, body)
        g.names = _names(begun.chat)
        token = api.token(begun.chat, address.sid)
        return answer(token | api.state(begun.chat), 200 if begun.resumed else 201)

    @views.post("/messages")
    def send() -> Response:
        chat = api.guard.chat(api.guard.visitor())
        g.names = _names(chat)
        body = read_json(request, MESSAGE_REQUEST_MOST)
        sent = api.send(chat, body.get("body"), body.get("client_message_id"), body.get("language"))
        g.names["message_sid"] = sent.sid
        found = {"sid": sent.sid, "index": sent.index, "date_created": iso(sent.date)}
        return answer(found, 200 if sent.repeated else 201)

    _add_signals(views, api)

    @views.post("/token")
    def token() -> Response:
        visitor = api.guard.visitor(late=LATE_SECONDS)
        chat = api.guard.chat(visitor)
        address = api.addresses.find(visitor.address)
        if address is None:
            raise refusal(401, "The address was removed or disabled")
        try:
            check_origin(address, visitor.origin, api.own)
        except Refused as error:
            raise refusal(401, f"{error}; begin again at /chat/sessions") from None
        if chat.state == "closed" or time.time() - visitor.began > RENEWED_SECONDS:
            raise refusal(401, "The chat is over; begin another one at /chat/sessions")
        check_limit(api.limits.signal(chat.account_sid, chat.sid))
        return answer(api.token(chat, visitor.address, began=visitor.began))


def _add_signals(views: Blueprint, api: VisitorApi) -> None:
    def chat() -> Chat:
        visitor = api.guard.visitor()
        check_limit(api.limits.signal(visitor.account_sid, visitor.conversation_sid))
        return api.guard.chat(visitor)

    @views.post("/typing")
    def typing() -> Response:
        visitor = api.guard.visitor()
        if not api.limits.typing(visitor.account_sid, visitor.conversation_sid):
            api.store.chats.tell(api.guard.chat(visitor), {"event": "typing", "author": visitor.identity})
        return answer(None)

    @views.post("/read")
    def read() -> Response:
        found = chat()
        index = read_json(request).get("index")
        if type(index) is not int or not -1 <= index < 2**53:
            raise refusal(400, "index: must be the index of a message, an integer")
        look = api.store.chats.look(found.account_sid, found.sid, "last", most=0)
        index = min(index, look.next - 1) if look else -1
        if index > found.read_visitor:
            now_ms = time.time_ns() // 1_000_000
            api.store.chats.change(found, {"read_visitor": index, "read_visitor_at": now_ms}, active=False)
        return answer(None)

    @views.post("/end")
    def end() -> Response:
        api.ending.end(chat(), "visitor")
        return answer({"state": "closed"})


def _names(chat: Chat) -> dict[str, str]:
    return {"account_sid": chat.account_sid, "conversation_sid": chat.sid, "flex_flow_sid": chat.flow_sid}


def _transcript(store: Store, chat: Chat) -> Iterator[str]:
    """Yield the transcript, a line for each message, a page at a time: a chat may have 32 MB."""
    after = -1
    while look := store.chats.look(chat.account_sid, chat.sid, "after", after, _PAGE_MOST):
        for _, message in look.messages:
            author = chat.customer_name if message.side == "visitor" else message.author
            yield f"{iso(message.date)}  {author}: {message.body}\n"
        if look.end == look.next:
            return
        after = look.end - 1


def _whole(name: str, default: int) -> int:
    text = request.args.get(name, "")
    if not text:
        return default
    number = whole_number(text, _DIGITS)
    if number is None:
        raise refusal(400, f"{name}: {text[:20]!r} is not a whole number")
    return number
