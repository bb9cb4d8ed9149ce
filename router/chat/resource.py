"""Chats in the format of Twilio's resources: Conversations, their messages and participants, and WebChannels.

https://www.twilio.com/docs/conversations/api
"""

import re
from typing import Any, Final

from router.iso_time import utc
from router.store.chat_record import Chat, ChatMessage, Participant

# ISO 8601 durations as Twilio allows them, for example `PT30M` or `P1DT2H`: years and months have no fixed length.
_DURATION: Final = re.compile(r"P(?:(\d{1,6})D)?(?:T(?:(\d{1,8})H)?(?:(\d{1,8})M)?(?:(\d{1,9})S)?)?")


def seconds(text: str) -> int:
    """Return the seconds of an ISO 8601 duration; raise ValueError for any other text."""
    found = _DURATION.fullmatch(text)
    if not found or not any(found.groups()):
        raise ValueError(f"{text[:40]!r} is not an ISO 8601 duration, as PT10M or P1D")
    days, hours, minutes, rest = (int(each or 0) for each in found.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + rest


def service_of(chat: Chat) -> str:
    """Return the conversation service of a chat; the account's default one if its flow has none."""
    return chat.chat_service_sid or f"IS{chat.account_sid[2:]}"


def conversation(chat: Chat, base: str) -> dict[str, Any]:
    """Return a chat as a Conversation; `base` is the URL before `/Conversations`."""
    url = f"{base}/Conversations/{chat.sid}"
    return {
        "sid": chat.sid,
        "account_sid": chat.account_sid,
        "chat_service_sid": service_of(chat),
        "messaging_service_sid": None,
        "friendly_name": chat.friendly_name or None,
        "unique_name": chat.unique_name or None,
        "attributes": chat.attributes,
        "state": chat.state,
        "timers": timers(chat),
        "bindings": {},
        "date_created": utc(chat.created),
        "date_updated": utc(chat.updated),
        "url": url,
        "links": {name: f"{url}/{name.capitalize()}" for name in ("messages", "participants", "webhooks")},
    }


def timers(chat: Chat) -> dict[str, str]:
    """Return the time at which the chat is closed if it stays idle."""
    return {"date_closed": utc(chat.updated + chat.idle)} if chat.idle and chat.state != "closed" else {}


def message(chat: Chat, index: int, each: ChatMessage, base: str) -> dict[str, Any]:
    """Return one message of a chat."""
    url = f"{base}/Conversations/{chat.sid}/Messages/{each.sid}"
    own = chat.participant_sid if each.side == "visitor" else each.participant_sid
    return {
        "sid": each.sid,
        "account_sid": chat.account_sid,
        "conversation_sid": chat.sid,
        "index": index,
        "author": each.author,
        "body": each.body,
        "media": None,
        "attributes": each.attributes,
        "participant_sid": own or None,
        "date_created": utc(each.date),
        "date_updated": utc(each.updated or each.date),
        "delivery": None,
        "content_sid": None,
        "url": url,
        "links": {"delivery_receipts": f"{url}/Receipts", "channel_metadata": f"{url}/ChannelMetadata"},
    }


def participants(chat: Chat) -> tuple[Participant, ...]:
    """Return all participants of a chat, the visitor first."""
    visitor = Participant(
        chat.participant_sid,
        chat.identity,
        chat.participant_attributes,
        chat.read_visitor,
        chat.read_visitor_at,
        chat.created,
        chat.created,
    )
    return ((visitor,) if chat.participant_sid else ()) + chat.participants


def participant(chat: Chat, each: Participant, base: str) -> dict[str, Any]:
    """Return one participant of a chat."""
    return {
        "sid": each.sid,
        "account_sid": chat.account_sid,
        "conversation_sid": chat.sid,
        "identity": each.identity,
        "attributes": each.attributes,
        "messaging_binding": None,
        "role_sid": None,
        "last_read_message_index": each.read if each.read >= 0 else None,
        "last_read_timestamp": utc(each.read_at) if each.read_at else None,
        "date_created": utc(each.created),
        "date_updated": utc(each.updated or each.created),
        "url": f"{base}/Conversations/{chat.sid}/Participants/{each.sid}",
    }


def participant_conversation(chat: Chat, each: Participant, base: str) -> dict[str, Any]:
    """Return a chat as one of the conversations of a participant."""
    url = f"{base}/Conversations/{chat.sid}"
    return {
        "account_sid": chat.account_sid,
        "chat_service_sid": service_of(chat),
        "participant_sid": each.sid,
        "participant_user_sid": None,
        "participant_identity": each.identity,
        "participant_messaging_binding": None,
        "conversation_sid": chat.sid,
        "conversation_unique_name": chat.unique_name or None,
        "conversation_friendly_name": chat.friendly_name or None,
        "conversation_attributes": chat.attributes,
        "conversation_date_created": utc(chat.created),
        "conversation_date_updated": utc(chat.updated),
        "conversation_created_by": chat.identity or "system",
        "conversation_state": chat.state,
        "conversation_timers": timers(chat),
        "links": {"participant": f"{url}/Participants/{each.sid}", "conversation": url},
    }


def web_channel(chat: Chat, base: str) -> dict[str, Any]:
    """Return a chat in the format of the older resource WebChannels."""
    return {
        "sid": chat.sid,
        "account_sid": chat.account_sid,
        "flex_flow_sid": chat.flow_sid or None,
        "date_created": utc(chat.created),
        "date_updated": utc(chat.updated),
        "url": f"{base}/v1/WebChannels/{chat.sid}",
    }
