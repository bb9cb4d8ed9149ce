"""The shapes that an inbound message may have at Twilio, as a table: what each adds to the webhook of its channel.

Shapes may be combined: a reply with media, through a Messaging Service, on the fallback URL.

https://www.twilio.com/docs/messaging/guides/webhook-request
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from string import Template
from types import MappingProxyType
from typing import Final

from router.message.address import CHANNELS

_REQUEST: Final = "https://www.twilio.com/docs/messaging/guides/webhook-request"
_OPT_OUT: Final = "https://www.twilio.com/docs/messaging/tutorials/advanced-opt-out"
_SERVICE: Final = "https://www.twilio.com/docs/messaging/services"
_FALLBACK: Final = "https://www.twilio.com/docs/usage/webhooks/messaging-webhooks"
_RICH: Final = ("whatsapp", "facebook", "rcs")
_MG: Final = "MG00112233445566778899aabbccddeeff"
# A sender who hides the phone number: two letters of a country, and an id that is this business's alone.
BSUID: Final = "whatsapp:US.13491208655302741918"


@dataclass(frozen=True, slots=True)
class Shape:
    """One shape of an inbound message.

    Args:
        name: as it is said on the command line.
        help: what it is, in a few words.
        source: Twilio's page.
        channels: where it exists.
        parameters: what it adds; `$to`, `$from`, `$url` and `$sid` (of an earlier message) stand for what is sent.
        body: what the customer writes, when nobody says; None for the usual text.
        media: the URL of an attachment, "" for none.
        from_: the customer's address, where it is a special one.
    """

    name: str
    help: str
    source: str
    channels: tuple[str, ...] = CHANNELS
    parameters: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    body: str | None = None
    media: str = ""
    from_: str = ""

    def written(self, **values: str) -> dict[str, str]:
        """Return the parameters with the values of a message: `to`, `from`, `url`, `sid`."""
        return {name: Template(value).substitute(values) for name, value in self.parameters.items()}


def _opt(word: str) -> dict[str, str]:
    return {"MessagingServiceSid": _MG, "OptOutType": word}


SHAPES: Final[Mapping[str, Shape]] = MappingProxyType(
    {
        each.name: each
        for each in (
            Shape("text", "a text", _REQUEST),
            Shape("media", "a photo, without a text", _REQUEST, body="", media="https://example.com/photo.jpg"),
            Shape(
                "button",
                "a quick reply: the button of a message was pressed",
                _REQUEST,
                _RICH,
                {"ButtonText": "Yes", "ButtonPayload": "yes-42", "ButtonType": "REPLY"},
                body="Yes",
            ),
            # The page lists these parameters without saying which of them a list brings; `interactive` was observed.
            Shape(
                "list",
                "an entry of a list was chosen",
                _REQUEST,
                ("whatsapp", "rcs"),
                {
                    "MessageType": "interactive",
                    "ButtonText": "Tomorrow, 9:00",
                    "ButtonPayload": "slot-2",
                    "InteractiveData": json.dumps(
                        {"type": "list_reply", "list_reply": {"id": "slot-2", "title": "Tomorrow, 9:00"}}
                    ),
                },
                body="Tomorrow, 9:00",
            ),
            Shape(
                "flow",
                "a form (WhatsApp Flow) was filled in",
                _REQUEST,
                ("whatsapp",),
                {"MessageType": "interactive", "FlowData": json.dumps({"name": "Ana", "date": "2026-12-01"})},
                body="",
            ),
            Shape(
                "location",
                "a place on the map",
                _REQUEST,
                ("whatsapp", "rcs"),
                {
                    "Latitude": "19.4326",
                    "Longitude": "-99.1332",
                    "Label": "Zócalo",
                    "Address": "Plaza de la Constitución, Ciudad de México",
                },
                body="",
            ),
            Shape(
                "reply",
                "a reply to one of our messages",
                _REQUEST,
                ("whatsapp",),
                {"OriginalRepliedMessageSid": "$sid", "OriginalRepliedMessageSender": "$to"},
                body="This one",
            ),
            Shape(
                "referral",
                "the customer came from an ad that clicks to WhatsApp",
                _REQUEST,
                ("whatsapp",),
                {
                    "ReferralBody": "50% off, today only",
                    "ReferralHeadline": "Sale & more",
                    "ReferralSourceId": "118588094077142",
                    "ReferralSourceType": "ad",
                    "ReferralSourceUrl": "https://fb.me/xyz?a=1&b=2",
                    "ReferralMediaId": "1234567890",
                    "ReferralMediaContentType": "image/jpeg",
                    "ReferralMediaUrl": "https://example.com/ad.jpg",
                    "ReferralNumMedia": "1",
                    "ReferralCtwaClid": "ARAkLkA8rmlFeiCktEJQ-QTwRiyYHAFDLMNDBH0CD3qpjd0HR4irJ6LE",
                },
                body="I saw your ad",
            ),
            Shape("forwarded", "a forwarded message", _REQUEST, ("whatsapp",), {"Forwarded": "true"}),
            Shape(
                "bsuid",
                "a sender who hides the phone number: a business-scoped user id",
                _REQUEST,
                ("whatsapp",),
                from_=BSUID,
            ),
            Shape("opt-out", "STOP, with Advanced Opt-Out", _OPT_OUT, parameters=_opt("STOP"), body="STOP"),
            Shape("opt-in", "START, with Advanced Opt-Out", _OPT_OUT, parameters=_opt("START"), body="START"),
            Shape("help", "HELP, with Advanced Opt-Out", _OPT_OUT, parameters=_opt("HELP"), body="HELP"),
            Shape("service", "through a Messaging Service", _SERVICE, parameters={"MessagingServiceSid": _MG}),
            Shape(
                "fallback",
                "the call of the fallback URL, after the webhook failed",
                _FALLBACK,
                parameters={"ErrorCode": "11200", "ErrorUrl": "$url"},
            ),
        )
    }
)


@dataclass(frozen=True, slots=True)
class Shaped:
    """What some shapes together make of a message; None and "" where they leave it open."""

    names: tuple[str, ...]
    body: str | None
    media: tuple[str, ...]
    from_: str

    def parameters(self, **values: str) -> dict[str, str]:
        """Return all their parameters, written for one message."""
        return {name: text for each in self.names for name, text in SHAPES[each].written(**values).items()}


def shaped(names: Sequence[str], channel: str) -> Shaped:
    """Put shapes together.

    Raises:
        ValueError: one does not exist on the channel; the sentence says where it does.
    """
    for name in names:
        if channel not in SHAPES[name].channels:
            raise ValueError(f"{name} does not exist on {channel}, only on {', '.join(SHAPES[name].channels)}")
    chosen = [SHAPES[name] for name in names]
    return Shaped(
        names=tuple(names),
        body=next((each.body for each in chosen if each.body is not None), None),
        media=tuple(each.media for each in chosen if each.media),
        from_=next((each.from_ for each in chosen if each.from_), ""),
    )
