"""Accepts a visitor's message: one step of the store adds it to the chat and to its conversation's lane, once."""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from router.chat.event import added, message_sid
from router.delivery.intake import Arrival, Intake
from router.errors import StoreUnavailable
from router.store import Store
from router.store.chat_record import Chat, ChatMessage
from router.store.chat_write import Appended

# How often a message is tried with a new index after a concurrent message of the chat took its index.
_ROUNDS: Final = 20


@dataclass(frozen=True, slots=True)
class Sent:
    """The result for a message; `refusal` is why the chat does not take it: `gone`, `closed`, `revoked`, else ""."""

    sid: str
    index: int = -1
    date: int = 0
    repeated: bool = False
    refusal: str = ""


class Sending:
    """Accepts visitors' messages; `safe` raises StoreUnavailable if the store cannot keep messages now."""

    def __init__(self, store: Store, intake: Intake, safe: Callable[[float], None]) -> None:
        self._store = store
        self._intake = intake
        self._safe = safe

    def send(self, chat: Chat, body: str, client_message_id: str, *, language: str = "") -> Sent:
        """Accept a message of a chat's visitor.

        Raises StoreUnavailable if it is not certain that the store has it; the call may be repeated.

        Args:
            chat: the record of the chat that the visitor's token is for.
            body: the text.
            client_message_id: the browser's id of the message: a repeated id is the same message. "" if it has no id.
            language: the language that the visitor chose; "" for that of the chat.
        """
        arrived = time.monotonic()
        self._safe(arrived)
        sid = message_sid(chat, client_message_id or secrets.token_hex(16))
        look = self._store.chats.look(chat.account_sid, chat.sid, "last", most=0)
        index, now_ms = look.next if look else 0, time.time_ns() // 1_000_000
        for _ in range(_ROUNDS):
            message = ChatMessage(sid, chat.identity, body, now_ms, "visitor", client_message_id)
            raw, parsed = added(chat, message, index)
            appended = Appended(
                chat.sid, index, chat.epoch, message.write(), chat.keep_ms(self._store.chats.retention_ms)
            )
            pinned = chat.flow_sid if chat.pinned else ""
            arrival = Arrival(parsed, raw, arrived, language or chat.language, pinned=pinned, appended=appended)
            acceptance = self._intake.take(arrival).acceptance
            if acceptance.kind == "duplicate":
                return self._first(chat, sid)
            if acceptance.kind != "chat":
                self._safe(arrived)
                return Sent(sid, index, now_ms)
            if acceptance.refusal != "moved":
                return Sent(sid, refusal=acceptance.refusal)
            index = acceptance.index
        raise StoreUnavailable("so many messages came at once that this one found no place; send it again")

    def _first(self, chat: Chat, sid: str) -> Sent:
        """Return the result for the first message with this SID, of which this one is a duplicate."""
        found = self._store.chats.find(chat, sid)
        if found is None:
            return Sent(sid, repeated=True)
        index, message = found
        return Sent(sid, index, message.date, repeated=True)
