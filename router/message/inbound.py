"""The inbound message: the parsed fields of a request, and the id of its conversation.

https://www.twilio.com/docs/messaging/guides/webhook-request
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import blake2b
from types import MappingProxyType
from typing import Final, Self

from router.errors import NotAMessage
from router.message.address import canonical, channel_of
from router.message.channel import WEB
from router.message.masking import mask
from router.message.raw import Raw
from router.sid import is_sid
from router.value import value

_ADDRESS = re.compile(r"[^\x00-\x1f\x7f-\x9f\u2028\u2029]{1,256}")
_ROUTING_FIELDS: Final = frozenset(
    ("AccountSid", "MessageSid", "From", "To", "MessagingServiceSid", "Body", "OptOutType", "SmsStatus", "ErrorCode")
)


_NO_PARAMS: Final[Mapping[str, str]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Media:
    """One attachment: its URL at Twilio, and its MIME type."""

    url: str
    content_type: str


@value
class Message:
    """One inbound message. Addresses and texts are as Twilio sent them; missing ones are "".

    `params` has all fields by name, known or not. `error_code` is set only in a call to the fallback URL: the error of
    the call to the primary URL. Only the SIDs and the channel are in the repr, which may be logged.
    """

    account_sid: str
    message_sid: str
    from_: str = field(repr=False)
    to: str = field(repr=False)
    channel: str
    body: str = field(repr=False, default="")
    messaging_service_sid: str = ""
    num_media: int = 0
    opt_out_type: str = ""
    error_code: str = ""
    params: Mapping[str, str] = field(repr=False, hash=False, default_factory=lambda: _NO_PARAMS)

    @classmethod
    def parse(cls, fields: Collection[tuple[str, str]]) -> Self:
        """Read the decoded fields of a webhook.

        Raises NotAMessage, with the reason, if they are not the fields of an inbound message from one address to
        another one of the same channel.
        """
        params = dict(fields)
        if len(params) != len(fields):
            params = _first_values(fields)
        get = params.get
        account_sid, message_sid = get("AccountSid", ""), get("MessageSid", "")
        if not is_sid(account_sid, "AC"):
            raise NotAMessage(f"AccountSid is not an account's SID: {account_sid[:40]!r}")
        from_, to = get("From", ""), get("To", "")
        # The router itself creates the messages of web chats, in the form of a Conversations event.
        if not is_sid(message_sid, "SM", "MM") and not (is_sid(message_sid, "IM") and channel_of(to) == WEB):
            raise NotAMessage(_why_not(message_sid, get("EventType", "")))
        channel = _channel_between(from_, to)
        num_media = get("NumMedia", "")
        return cls(
            account_sid,
            message_sid,
            from_,
            to,
            channel,
            get("Body", ""),
            get("MessagingServiceSid", ""),
            int(num_media) if num_media.isascii() and num_media.isdecimal() and len(num_media) < 4 else 0,  # noqa: PLR2004
            get("OptOutType", ""),
            get("ErrorCode", ""),
            MappingProxyType(params),
        )

    @classmethod
    def unpack(cls, packed: bytes) -> Self:
        """Read a stored request, see `Raw.pack`. Raises ValueError if it is damaged."""
        return cls.parse(Raw.unpack(packed).fields())

    @property
    def contact_identity(self) -> str:
        """The address the customer wrote to, in its canonical form."""
        return canonical(self.to, self.channel)

    @property
    def media(self) -> tuple[Media, ...]:
        """The attachments, in order."""
        numbered = ((f"MediaUrl{n}", f"MediaContentType{n}") for n in range(self.num_media))
        return tuple(
            Media(self.params[url], self.params.get(type_, "")) for url, type_ in numbered if url in self.params
        )

    @property
    def profile_name(self) -> str:
        """WhatsApp and web: the sender's display name."""
        return self.params.get("ProfileName", "")

    @property
    def conversation_sid(self) -> str:
        """Web: the SID of the chat."""
        return self.params.get("ConversationSid", "")

    @property
    def pre_engagement_data(self) -> str:
        """Web: the data that the website sent when the chat began, such as the visitor's form; JSON."""
        return self.params.get("PreEngagementData", "")

    @property
    def wa_id(self) -> str:
        """WhatsApp: the sender's id, digits; "" for a sender who hides the phone number."""
        return self.params.get("WaId", "")

    @property
    def external_user_id(self) -> str:
        """WhatsApp: the sender's business-scoped id, such as `whatsapp:US.…`; Twilio's pages have both field names."""
        return self.params.get("ExternalUserId") or self.params.get("ExternalUserIdentifier", "")

    @property
    def button_payload(self) -> str:
        """The payload of the button that was pressed."""
        return self.params.get("ButtonPayload", "")

    @property
    def button_text(self) -> str:
        """The text of the button that was pressed."""
        return self.params.get("ButtonText", "")

    @property
    def original_replied_message_sid(self) -> str:
        """WhatsApp: the message that this one answers."""
        return self.params.get("OriginalRepliedMessageSid", "")


def _first_values(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    params: dict[str, str] = {}
    for name, text in pairs:
        if name in params and name in _ROUTING_FIELDS:
            raise NotAMessage(f"{name} is given twice")
        params.setdefault(name, text)
    return params


def _why_not(message_sid: str, event_type: str) -> str:
    if event_type or message_sid.startswith("IM"):
        return f"a Conversations event ({event_type or message_sid[:40]!r}), not an inbound message"
    return f"MessageSid is not a message's SID: {message_sid[:40]!r}"


def _channel_between(from_: str, to: str) -> str:
    """Return the channel by the recipient's address; a sender's bare number may be on any channel."""
    for name, address in (("From", from_), ("To", to)):
        if not _ADDRESS.fullmatch(address) or not address.rpartition(":")[2].strip():
            raise NotAMessage(f"{name} is missing, empty, over 256 characters or holds control characters")
    channel = channel_of(to)
    if channel_of(from_) not in (channel, "sms"):
        raise NotAMessage(f"From ({mask(from_)}) and To ({mask(to)}) are of different channels")
    return channel


def is_status_callback(params: Mapping[str, str]) -> bool:
    """Return whether this is a status callback of a sent message, not an inbound message.

    An inbound message has no `SmsStatus`, or `received` (`receiving` while its media is still being received).
    """
    status = params.get("SmsStatus") or params.get("MessageStatus")
    return bool(status) and status not in ("received", "receiving")


@lru_cache(maxsize=1024)  # called several times for each message
def conversation_id(account_sid: str, channel: str, ours: str, theirs: str) -> str:
    """Return the id of a conversation: 24 hex digits, the same for any spelling of the two addresses."""
    parts = (account_sid, channel, canonical(ours, channel), canonical(theirs, channel))
    # No part contains a line feed (Message.parse refuses control characters), so different parts give different texts.
    return blake2b("\n".join(parts).encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()
