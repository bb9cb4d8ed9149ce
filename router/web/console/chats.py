"""Web chats: the list, and one chat with its messages; answer it, end it."""

from itertools import islice
from typing import Any, Final

from flask import Blueprint, Response, request

from router.chat.agent import answer
from router.sid import is_sid
from router.store.chat_record import Chat, Look
from router.web.console.desk import Desk, now_ms, see, view
from router.web.console.guard import Refused
from router.web.console.message_rows import names
from router.web.console.page import page

_LOOKS: Final = 500
_SIZE: Final = 50
_SHOWN: Final = 100
_WRONG: Final = {
    "empty": "Write something first.",
    "long": "The answer is too long for a chat: 32 KB at most.",
    "closed": "The chat has ended in the meantime, so the visitor would not see the answer.",
    "gone": "The chat has expired.",
    "elsewhere": "This chat lives in a Conversation at Twilio: answer it there, for example in Flex. An answer from "
    "here would not reach its agents or its Studio flow.",
}
_STATUS: Final = {"empty": 400, "long": 400}


def register(console: Blueprint, desk: Desk) -> None:
    """Add the routes."""
    store = desk.store

    @console.get("/<account_sid>/chats")
    def chats() -> Response:
        ended = request.args.get("ended") == "1"
        walked = islice(store.chats.newest(view().sid), _LOOKS)
        found = list(islice(((at, chat) for at, chat in walked if ended or chat.state != "closed"), _SIZE))
        rows = [_row(at, chat, store.chats.look(view().sid, chat.sid, "last", most=1)) for at, chat in found]
        return page(
            "chats.html",
            rows=sorted(rows, key=lambda each: not each["waits"]),
            names=names((chat.flow_sid for _, chat in found), store),
            ended=ended,
            size=_SIZE,
        )

    @console.get("/<account_sid>/chats/<sid>")
    def chat_page(sid: str) -> Response:
        return _show(desk, _find(desk, sid))

    @console.post("/<account_sid>/chats/<sid>/answer")
    def answer_one(sid: str) -> Response:
        chat, body = _find(desk, sid), request.form.get("body", "")
        result = answer(chat, body, "agent", store, now=now_ms())
        if result != "sent":
            return _show(desk, chat, wrong=_WRONG[result], typed=body, status=_STATUS.get(result, 409))
        store.changes.note(view().sid, view().who, "answered a chat", chat=sid)
        return see(f"chats/{sid}")

    @console.post("/<account_sid>/chats/<sid>/end")
    def end_one(sid: str) -> Response:
        if desk.ending.end(_find(desk, sid), "agent"):
            store.changes.note(view().sid, view().who, "ended a chat", chat=sid)
        return see(f"chats/{sid}")


def _find(desk: Desk, sid: str) -> Chat:
    chat = desk.store.chats.get(view().sid, sid) if is_sid(sid, "CH") else None
    if chat is None:
        raise Refused(404, "No such chat", f"This account has no chat {sid[:40]!r}; it may have expired.")
    return chat


def _show(desk: Desk, chat: Chat, *, wrong: str = "", typed: str = "", status: int = 200) -> Response:
    look = desk.store.chats.look(view().sid, chat.sid, "last", most=_SHOWN)
    flow = desk.store.flows.get(view().sid, chat.flow_sid) if chat.flow_sid else None
    return page("chat.html", status, chat=chat, look=look, flow=flow, wrong=wrong, typed=typed, shown_most=_SHOWN)


def _row(at: float, chat: Chat, look: Look | None) -> dict[str, Any]:
    last = look.messages[-1][1] if look and look.messages else None
    return {
        "sid": chat.sid,
        "name": chat.customer_name or chat.identity,
        "state": chat.state,
        "flow": chat.flow_sid,
        "at": at,
        "count": look.next if look else 0,
        "last": last.body if last else "",
        "waits": bool(last and last.side == "visitor" and chat.state != "closed"),
    }
