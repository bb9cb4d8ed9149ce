"""Webhooks as Twilio sends them, one of each channel and shape: the field names, their order and forms are Twilio's.

Accounts, numbers and texts are made up. https://www.twilio.com/docs/messaging/guides/webhook-request
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode

AC = "AC" + "0123456789abcdef" * 2
SM = "SM" + "fedcba9876543210" * 2
MM = "MM" + "fedcba9876543210" * 2
MG = "MG" + "00112233445566778899aabbccddeeff"
KEY = "an auth token of thirty-two chars"


@dataclass(frozen=True, slots=True)
class Sample:
    """One webhook: its fields in wire order, and the values that Message.parse must read from them."""

    label: str
    channel: str
    fields: tuple[tuple[str, str], ...]
    reads: Mapping[str, object] = field(default_factory=dict)

    @property
    def body(self) -> bytes:
        """The form as it is sent."""
        return urlencode(self.fields).encode()

    def but(self, **changed: str | None) -> list[tuple[str, str]]:
        """The same fields, with some changed, added, or left out (None)."""
        kept = [(name, changed.pop(name, value)) for name, value in self.fields]
        return [(name, value) for name, value in (*kept, *changed.items()) if value is not None]


def _sample(label: str, channel: str, fields: dict[str, str], **reads: object) -> Sample:
    """Add the fields that every webhook has to those of this one."""
    sid = fields.pop("MessageSid", SM)
    start = {"SmsMessageSid": sid, "NumMedia": fields.pop("NumMedia", "0")}
    end = {"SmsSid": sid, "SmsStatus": "received", "NumSegments": "1", "ReferralNumMedia": "0", "MessageSid": sid}
    both = {**start, **fields, **end, "AccountSid": AC, "ApiVersion": "2010-04-01"}
    return Sample(label, channel, tuple(both.items()), {"message_sid": sid, "body": fields.get("Body", ""), **reads})


_PLACES = {
    "ToCountry": "US",
    "ToState": "CA",
    "ToCity": "",
    "ToZip": "",
    "FromCountry": "US",
    "FromState": "CA",
    "FromCity": "SAN FRANCISCO",
    "FromZip": "94105",
}
_SMS = {"From": "+14155550123", "To": "+15005550006"}
_WHATSAPP = {
    "From": "whatsapp:+5215512345678",
    "To": "whatsapp:+14155238886",
    "ProfileName": "José 🌵",
    "WaId": "5215512345678",
}

SMS = _sample("sms", "sms", {**_PLACES, **_SMS, "Body": "Hola, ¿dónde está mi pedido? +1 & 50%"}, num_media=0)

SAMPLES = (
    SMS,
    _sample("sms-empty-body", "sms", {**_SMS, "Body": ""}),
    _sample("sms-short-code", "sms", {"From": "+14155550123", "To": "40404", "Body": "JOIN"}, to="40404"),
    _sample("sms-alphanumeric-sender", "sms", {"From": "MyBank", "To": "+447700900123", "Body": "Hi"}, from_="MyBank"),
    _sample(
        "mms",
        "sms",
        {
            **_PLACES,
            **_SMS,
            "MessageSid": MM,
            "NumMedia": "2",
            "Body": "",
            "MediaUrl0": f"https://api.twilio.com/2010-04-01/Accounts/{AC}/Messages/{MM}/Media/ME{'1' * 32}",
            "MediaContentType0": "image/jpeg",
            "MediaUrl1": f"https://api.twilio.com/2010-04-01/Accounts/{AC}/Messages/{MM}/Media/ME{'2' * 32}",
            "MediaContentType1": "video/mp4",
        },
        num_media=2,
    ),
    _sample(
        "messaging-service",
        "sms",
        {**_SMS, "MessagingServiceSid": MG, "Body": "Hello"},
        messaging_service_sid=MG,
    ),
    _sample(
        "opt-out",
        "sms",
        {**_SMS, "MessagingServiceSid": MG, "OptOutType": "STOP", "Body": "Stop"},
        opt_out_type="STOP",
        messaging_service_sid=MG,
    ),
    _sample(
        "fallback-call",
        "sms",
        {**_SMS, "Body": "Hello", "ErrorCode": "11200", "ErrorUrl": "https://router.example/webhooks/sms"},
        error_code="11200",
    ),
    _sample(
        "whatsapp-text",
        "whatsapp",
        {**_WHATSAPP, "MessageType": "text", "Body": "مرحبا\nline two", "ChannelMetadata": '{"type":"whatsapp"}'},
        profile_name="José 🌵",
        wa_id="5215512345678",
    ),
    _sample(
        "whatsapp-media",
        "whatsapp",
        {
            **_WHATSAPP,
            "MessageSid": MM,
            "NumMedia": "1",
            "Body": "factura.pdf",
            "MediaUrl0": f"https://api.twilio.com/2010-04-01/Accounts/{AC}/Messages/{MM}/Media/ME{'3' * 32}",
            "MediaContentType0": "application/pdf",
        },
        num_media=1,
    ),
    _sample(
        "whatsapp-button",
        "whatsapp",
        {**_WHATSAPP, "MessageType": "button", "Body": "Sí", "ButtonText": "Sí", "ButtonPayload": "yes-42"},
        button_text="Sí",
        button_payload="yes-42",
    ),
    _sample(
        "whatsapp-location",
        "whatsapp",
        {
            **_WHATSAPP,
            "MessageType": "location",
            "Body": "",
            "Latitude": "19.4326",
            "Longitude": "-99.1332",
            "Label": "Zócalo",
            "Address": "Plaza de la Constitución, Ciudad de México",
        },
    ),
    _sample(
        "whatsapp-reply",
        "whatsapp",
        {
            **_WHATSAPP,
            "Body": "This one",
            "OriginalRepliedMessageSid": "SM" + "9" * 32,
            "OriginalRepliedMessageSender": "whatsapp:+14155238886",
        },
        original_replied_message_sid="SM" + "9" * 32,
    ),
    _sample(
        "whatsapp-referral",
        "whatsapp",
        {
            **_WHATSAPP,
            "Body": "I saw your ad",
            "ReferralBody": "50% off, today only",
            "ReferralHeadline": "Sale & more",
            "ReferralSourceId": "118588094077142",
            "ReferralSourceType": "ad",
            "ReferralSourceUrl": "https://fb.me/xyz?a=1&b=2",
            "ReferralCtwaClid": "ARAkLkA8rmlFeiCktEJQ-QTwRiyYHAFDLMNDBH0CD3qpjd0HR4irJ6LE",
        },
    ),
    _sample(
        "whatsapp-without-phone-number",
        "whatsapp",
        {
            "From": "whatsapp:US.13491208655302741918",
            "To": "whatsapp:+14155238886",
            "ProfileName": "Ana",
            "ExternalUserId": "whatsapp:US.13491208655302741918",
            "Body": "Hi",
        },
        from_="whatsapp:US.13491208655302741918",
        external_user_id="whatsapp:US.13491208655302741918",
        wa_id="",
    ),
    _sample(
        "whatsapp-parent-business-id",
        "whatsapp",
        {
            "From": "whatsapp:US.ENT.11815799212886844830",
            "To": "whatsapp:+14155238886",
            "ExternalUserIdentifier": "whatsapp:US.ENT.11815799212886844830",
            "Body": "Hi",
        },
        external_user_id="whatsapp:US.ENT.11815799212886844830",
    ),
    _sample(
        "messenger",
        "facebook",
        {"From": "messenger:4915550123456789", "To": "messenger:104925788412345", "Body": "👋"},
        contact_identity="messenger:104925788412345",
    ),
    _sample(
        "rcs",
        "rcs",
        {
            "From": "rcs:+14155550123",
            "To": "rcs:Acme_Support_agent",
            "Body": "Hello",
            "ChannelMetadata": json.dumps({"type": "rcs", "data": {"context": {}}}),
        },
        contact_identity="rcs:Acme_Support_agent",
    ),
    _sample("line", "line", {"From": "line:U4af4980629", "To": "line:Ub1234567", "Body": "こんにちは"}),
    _sample("custom", "custom", {"From": "apple:urn:mbid:AQAAY", "To": "apple:0a1b2c3d", "Body": "Hello"}),
)
"""One inbound message of each kind; `pytest.param` labels come from `label`."""

STATUS_CALLBACK = (
    ("SmsSid", SM),
    ("SmsStatus", "delivered"),
    ("MessageStatus", "delivered"),
    ("To", "+14155550123"),
    ("MessageSid", SM),
    ("AccountSid", AC),
    ("From", "+15005550006"),
    ("ApiVersion", "2010-04-01"),
)
"""A status callback about an outbound message."""

CONVERSATIONS_EVENT = (
    ("EventType", "onMessageAdded"),
    ("AccountSid", AC),
    ("ConversationSid", "CH" + "4" * 32),
    ("ChatServiceSid", "IS" + "5" * 32),
    ("MessageSid", "IM" + "6" * 32),
    ("Index", "0"),
    ("Author", "whatsapp:+5215512345678"),
    ("Body", "Hello"),
    ("Source", "WHATSAPP"),
    ("RetryCount", "0"),
)
"""A Conversations webhook event; it is not an inbound message."""
