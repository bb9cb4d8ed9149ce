"""The events of a chat for the integration: Twilio's, such as `onMessageAdded`, with the fields of an SMS added.

https://www.twilio.com/docs/conversations/conversations-webhooks#onmessageadded
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import blake2b
from urllib.parse import urlencode

from router.message.inbound import Message
from router.message.raw import FORM, Raw
from router.store.chat_record import Chat, ChatMessage


def message_sid(chat: Chat, client_message_id: str) -> str:
    """Return the SID of a visitor's message. The same id gives the same SID, so that the store detects duplicates."""
    named = f"{chat.account_sid}\n{chat.sid}\n{client_message_id}".encode("utf-8", "surrogatepass")
    return "IM" + blake2b(named, digest_size=16).hexdigest()


def iso(milliseconds: int) -> str:
    """Format a time as Conversations does, with milliseconds."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def added(chat: Chat, message: ChatMessage, index: int) -> tuple[Raw, Message]:
    """Return the request that an integration gets for a visitor's message, and the message in it."""
    own = {
        "ParticipantSid": chat.participant_sid,
        "Index": str(index),
        "DateCreated": iso(message.date),
        "Author": message.author,
        "Body": message.body,
        "Attributes": message.attributes,
        "Source": "SDK",
        "RetryCount": "0",
    }
    return request_of(chat, "onMessageAdded", message.sid, own)


def request_of(chat: Chat, event: str, sid: str, own: Mapping[str, str]) -> tuple[Raw, Message]:
    """Return the request for an event of a chat, and the message in it.

    Args:
        chat: the chat; its fields are in every event.
        event: Twilio's name of the event.
        sid: the SID of the message, or the event's own SID.
        own: the fields that only this event has; empty ones are left out.
    """
    params = {
        "EventType": event,
        "AccountSid": chat.account_sid,
        "ChatServiceSid": chat.chat_service_sid,
        "ConversationSid": chat.sid,
        "ChannelSid": chat.sid,
        "MessageSid": sid,
        **own,
        "ClientIdentity": chat.identity,
        "From": f"web:{chat.identity}",
        "To": chat.address,
        "ProfileName": chat.customer_name,
        "PreEngagementData": chat.pre_engagement_data,
    }
    fields = {name: value for name, value in params.items() if value}
    raw = Raw(method="POST", content_type=f"{FORM}; charset=UTF-8", body=urlencode(fields).encode())
    return raw, Message.parse(raw.fields())
