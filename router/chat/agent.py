"""Messages of agents in a web chat."""

from typing import Final, Literal

from router.chat.elsewhere import place_at_twilio
from router.chat.limit import BODY_MOST
from router.sid import new_sid
from router.store import Store
from router.store.chat_record import Chat, ChatMessage

Answered = Literal["sent", "empty", "long", "closed", "gone", "elsewhere"]
_REFUSED: Final[dict[int, Answered]] = {-1: "gone", -2: "closed"}


def answer(chat: Chat, body: str, author: str, store: Store, *, now: int) -> Answered:
    """Send a message to a chat as the agent `author`; `now` is in ms since 1970. Return `sent`, or why it was not."""
    body = body.replace("\r\n", "\n").strip()
    if not body:
        return "empty"
    if len(body.encode()) > BODY_MOST:
        return "long"
    if place_at_twilio(chat, store):
        return "elsewhere"
    index = store.chats.post(chat, ChatMessage(new_sid("IM"), author, body, now, "agent"))
    return _REFUSED.get(index, "sent")
