"""Copies messages from the Conversations at Twilio into the visitors' chats: those of agents, Studio flows and bots.

A webhook of the Conversation announces each message immediately. But messages of Studio's own widgets cause no webhook.
So after each message of a visitor the Conversation is also polled for a while.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Final

import gevent
from gevent.lock import BoundedSemaphore

from router.errors import StoreUnavailable
from router.flow.integration_type import integration_type
from router.integrations import Integrations
from router.integrations.base import AttemptError, Failure
from router.integrations.web_conversation import AgentMessage, agent_messages, close, read_messages, read_state
from router.message.channel import WEB
from router.message.inbound import conversation_id
from router.settings import Settings
from router.store import Store
from router.store.chat_record import Chat, ChatMessage
from router.store.lanes import Lease

# Seconds between two polls after a message of the visitor; the last value is repeated until `READ_SECONDS`.
PAUSES: Final = (1.0, 1.0, 1.0, 2.0, 3.0, 7.0, 15.0)
READ_SECONDS: Final = 600.0
# The maximum number of chats that one process polls, and of concurrent polls: Twilio's rate limit is per account, and
# deliveries need it, too.
CHATS: Final = 500
AT_ONCE: Final = 5
# The time limit of one poll, everything included.
SECONDS: Final = 10.0


class ChatMirror:
    """The polls of one process."""

    def __init__(
        self, store: Store, integrations: Integrations, settings: Settings, stopping: Callable[[], bool]
    ) -> None:
        self._store = store
        self._integrations = integrations
        self._settings = settings
        self._stopping = stopping
        self._since: dict[tuple[str, str], float] = {}
        self._turns = BoundedSemaphore(AT_ONCE)

    def delivered(self, lease: Lease) -> None:
        """Poll a chat's Conversation for a while, after a message of its visitor was delivered to it."""
        flow = lease.flow
        if flow is None or flow.channel_type != WEB or not integration_type(flow.integration.type).chats_at_twilio:
            return
        _, message = lease.read()
        key = (lease.account_sid, message.conversation_sid)
        known = key in self._since
        if known or len(self._since) < CHATS:
            self._since[key] = time.monotonic()
        if not known and key in self._since:
            gevent.spawn(self._read_on, *key)

    def show(self, chat: Chat, message: AgentMessage) -> int:
        """Append one message to the visitor's chat; return as chat_mirror.lua. Raises StoreUnavailable."""
        date = _ms(message.date)
        entry = ChatMessage(message.sid, message.author or "system", message.body, date, "agent")
        return self._store.chats.mirror(chat, entry)

    def changed(self, chat: Chat, sid: str, body: str | None) -> None:
        """Change the text of a message in the visitor's chat, or remove it (None). Raises StoreUnavailable."""
        if found := self._store.chats.find(chat, sid):
            index, message = found
            now = time.time_ns() // 1_000_000
            self._store.chats.edit(chat, index, sid, None if body is None else replace(message, body=body, updated=now))

    def ended(self, chat: Chat) -> None:
        """End a chat whose Conversation was closed. Raises StoreUnavailable."""
        if chat.state != "closed":
            values = {"state": "closed", "closed_by": "agent"}
            self._store.chats.change(chat, values, event={"event": "state", "state": "closed", "by": "agent"})

    def conversation_of(self, chat: Chat) -> str:
        """Return the SID of a chat's Conversation at Twilio, "" if it has none. Raises StoreUnavailable."""
        lane = conversation_id(chat.account_sid, WEB, chat.address, f"web:{chat.identity}")
        known = self._store.bindings.get(chat.account_sid, lane)
        return known.get("conversation", "") if known.get("chat") == chat.sid else ""

    def read(self, account_sid: str, chat_sid: str, *, state: bool) -> bool:
        """Poll a chat's Conversation once, with its state if wanted; return whether to continue polling."""
        chat, account = self._store.chats.get(account_sid, chat_sid), self._settings.account(account_sid)
        sid = self.conversation_of(chat) if chat else ""
        if chat is None or account is None or not sid:
            return False
        rest, service = self._integrations.rest, chat.chat_service_sid
        with self._turns, gevent.Timeout(SECONDS, AttemptError(Failure.REFUSED, f"no answer within {SECONDS:g} s")):
            if chat.state == "closed":
                if chat.closed_by == "visitor":
                    close(rest, account, service, sid)
                return False
            for message in agent_messages(read_messages(rest, account, service, sid), chat.identity):
                self.show(chat, message)
            if state and read_state(rest, account, service, sid) == "closed":
                self.ended(chat)
                return False
        return True

    def _read_on(self, account_sid: str, chat_sid: str) -> None:
        key, turn, began = (account_sid, chat_sid), 0, 0.0
        try:
            while not self._stopping():
                if self._since[key] != began:  # the visitor has written again
                    began, turn = self._since[key], 0
                if time.monotonic() - began > READ_SECONDS:
                    return
                gevent.sleep(PAUSES[min(turn, len(PAUSES) - 1)])
                turn += 1
                try:
                    if not self.read(account_sid, chat_sid, state=turn >= len(PAUSES)):
                        return
                except (AttemptError, StoreUnavailable):
                    continue  # the next poll tries again
        finally:
            del self._since[key]


def _ms(date: str) -> int:
    try:
        return int(datetime.fromisoformat(date).timestamp() * 1000)
    except ValueError:
        return time.time_ns() // 1_000_000
