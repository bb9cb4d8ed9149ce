"""Finds the Conversation at Twilio of a chat whose agents work there: messages written here do not reach them."""

from typing import Final

from router.flow.integration_type import integration_type
from router.message.channel import WEB
from router.message.inbound import conversation_id
from router.store import Store
from router.store.chat_record import Chat

_API: Final = "https://conversations.twilio.com/v1"


def place_at_twilio(chat: Chat, store: Store) -> str:
    """Return the URL of the chat's Conversation at Twilio; "" if it has none (any more).

    A chat has one from its first message on, if its flow's integration type keeps chats at Twilio.
    """
    flow = store.flows.get(chat.account_sid, chat.flow_sid) if chat.flow_sid else None
    if flow is None or not integration_type(flow.integration.type).chats_at_twilio:
        return ""
    lane = conversation_id(chat.account_sid, WEB, chat.address, f"web:{chat.identity}")
    known = store.bindings.get(chat.account_sid, lane)
    sid = known.get("conversation", "") if known.get("chat") == chat.sid else ""
    service = f"/Services/{flow.chat_service_sid}" if flow.chat_service_sid else ""
    return f"{_API}{service}/Conversations/{sid}" if sid else ""
