"""Ends chats, and sends the event about it to the integration.

It gets Twilio's `onConversationStateUpdated` if its flow asks for it. The event is delivered like a message of the
chat: in the chat's lane, after all its messages, with retries. The store marks a chat as `untold` in the step that
closes it; the mark is removed when the event is accepted, or is not wanted. The upkeep finds the marks that a crash
left behind.

https://www.twilio.com/docs/conversations/conversations-webhooks#onconversationstateupdated
"""

import contextlib
import time
from hashlib import blake2b
from typing import Final

from router.chat.address import WebAddress
from router.chat.event import iso, request_of
from router.delivery.intake import Arrival, Intake
from router.errors import StoreUnavailable
from router.flow.flex_flow import FlexFlow
from router.flow.integration_type import integration_type
from router.message.inbound import Message
from router.message.raw import Raw
from router.store import Store
from router.store.chat_record import Chat

EVENT: Final = "onConversationStateUpdated"


class Ending:
    """Ends chats, and notifies their integrations."""

    def __init__(self, store: Store, intake: Intake) -> None:
        self._store = store
        self._intake = intake

    def end(self, chat: Chat, by: str) -> bool:
        """End a chat as `visitor` or `agent`, and notify its integration; return False if it had ended before."""
        if chat.state == "closed":
            return False
        values: dict[str, str | int | bool] = {"state": "closed", "closed_by": by}
        ended = self._store.chats.change(chat, values, event={"event": "state"}) == "changed"
        self.ended(chat.account_sid, chat.sid)
        return ended

    def ended(self, account_sid: str, sid: str) -> None:
        """Notify the integration of a chat that was just ended; if the store does not answer, the upkeep does it."""
        with contextlib.suppress(StoreUnavailable):
            self.tell(account_sid, sid)

    def tell(self, account_sid: str, sid: str) -> None:
        """Notify the integration of a chat's end, if the chat is `untold`; a repeated call sends one event.

        Raises StoreUnavailable.
        """
        chat = self._store.chats.get(account_sid, sid)
        if chat is None or not chat.untold:
            return
        flow = self._store.routing.get(account_sid, chat.served)
        if flow and _wants(flow, chat):
            raw, message = closed(chat, time.time_ns() // 1_000_000)
            self._intake.take(Arrival(message, raw, time.monotonic(), pinned=flow.sid))
        self._store.chats.change(chat, {"untold": ""}, active=False)


def asks(flow: FlexFlow) -> bool:
    """Return whether a flow asks for the event, by its own parameter or by the filters of its address."""
    return flow.web_chat.state_events or EVENT in flow.extra.get("webhook_filters", ())


def _wants(flow: FlexFlow, chat: Chat) -> bool:
    """Return whether a flow gets the event of a chat; not if it has moved to another address since."""
    kind = integration_type(flow.integration.type)
    local = kind.takes_web and not kind.chats_at_twilio
    return asks(flow) and local and flow.enabled and WebAddress(flow, ()).to == chat.address


def closed(chat: Chat, now_ms: int) -> tuple[Raw, Message]:
    """Return the request of the event that a chat was closed, and the message in it.

    `chat.untold` is its state before. The MessageSid is the event's own, and always the same for a chat.
    """
    digits = blake2b(f"{chat.account_sid}\n{chat.sid}\nclosed".encode(), digest_size=16).hexdigest()
    own = {
        "StateFrom": chat.untold,
        "StateTo": "closed",
        "StateUpdated": iso(now_ms),
        "Reason": "TIMER" if chat.closed_by == "janitor" else "API",
        "FriendlyName": chat.friendly_name,
        "UniqueName": chat.unique_name,
        "Attributes": chat.attributes,
    }
    return request_of(chat, EVENT, f"IM{digits}", own)
