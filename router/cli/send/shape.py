"""The kinds of inbound messages at Twilio, as a table: the parameters that each adds to the webhook of its channel.

Shapes can be combined: a reply with media, through a Messaging Service, on the fallback URL.

https://www.twilio.com/docs/messaging/guides/webhook-request
https://www.twilio.com/docs/messaging/tutorials/advanced-opt-out
https://www.twilio.com/docs/usage/webhooks/messaging-webhooks (the fallback)
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from string import Template
from types import MappingProxyType
from typing import Final

from router.message.channel import WEBHOOKS

_RICH: Final = ("whatsapp", "facebook", "rcs")
_MG: Final = "MG00112233445566778899aabbccddeeff"


@dataclass(frozen=True, slots=True)
class Shape:
    """One shape of an inbound message, or several combined.

    Args:
        name: its name on the command line.
        help: its description in a few words.
        channels: the channels that have it.
        parameters: the parameters that it adds; `$to`, `$from`, `$url` and `$sid` (of an earlier message) are replaced.
        body: the customer's default text; None for the usual text.
        media: the URL of an attachment, "" for none.
        from_: the customer's address, if it is a special one.
    """

    name: str
    help: str
    channels: tuple[str, ...] = WEBHOOKS
    parameters: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    body: str | None = None
    media: str = ""
    from_: str = ""

    def written(self, **values: str) -> dict[str, str]:
        """Return the parameters with the values of a message: `to`, `from`, `url`, `sid`."""
        return {name: Template(value).substitute(values) for name, value in self.parameters.items()}


def _opt(name: str, word: str) -> Shape:
    parameters = {"MessagingServiceSid": _MG, "OptOutType": word}
    return Shape(name, f"{word}, with Advanced Opt-Out", parameters=parameters, body=word)


_BUTTON: Final = {"ButtonText": "Yes", "ButtonPayload": "yes-42", "ButtonType": "REPLY"}
# Twilio's page does not say which of these parameters a list reply has; `interactive` was observed.
_LIST: Final = {
    "MessageType": "interactive",
    "ButtonText": "Tomorrow, 9:00",
    "ButtonPayload": "slot-2",
    "InteractiveData": '{"type": "list_reply", "list_reply": {"id": "slot-2", "title": "Tomorrow, 9:00"}}',
}
_FLOW: Final = {"MessageType": "interactive", "FlowData": json.dumps({"name": "Ana", "date": "2026-12-01"})}
_LOCATION: Final = {
    "Latitude": "19.4326",
    "Longitude": "-99.1332",
    "Label": "Zócalo",
    "Address": "Plaza de la Constitución, Ciudad de México",
}
_REFERRAL: Final = {
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
}
_REPLY: Final = {"OriginalRepliedMessageSid": "$sid", "OriginalRepliedMessageSender": "$to"}
_FALLBACK: Final = {"ErrorCode": "11200", "ErrorUrl": "$url"}
# A sender who hides the phone number: two letters of a country, and an id that only this business sees.
_BSUID: Final = "whatsapp:US.13491208655302741918"
_WHATSAPP: Final = ("whatsapp",)
_TABLE: Final = (
    Shape("text", "a text"),
    Shape("media", "a photo, without a text", body="", media="https://example.com/photo.jpg"),
    Shape("button", "a quick reply: the customer pressed the button of a message", _RICH, _BUTTON, body="Yes"),
    Shape("list", "the customer chose an item of a list", ("whatsapp", "rcs"), _LIST, body="Tomorrow, 9:00"),
    Shape("flow", "the customer filled in a form (WhatsApp Flow)", _WHATSAPP, _FLOW, body=""),
    Shape("location", "a location on the map", ("whatsapp", "rcs"), _LOCATION, body=""),
    Shape("reply", "a reply to one of our messages", _WHATSAPP, _REPLY, body="This one"),
    Shape("referral", "from a click-to-WhatsApp ad", _WHATSAPP, _REFERRAL, body="I saw your ad"),
    Shape("forwarded", "a forwarded message", _WHATSAPP, {"Forwarded": "true"}),
    Shape("bsuid", "a sender who hides the phone number: a business-scoped user id", _WHATSAPP, from_=_BSUID),
    _opt("opt-out", "STOP"),
    _opt("opt-in", "START"),
    _opt("help", "HELP"),
    Shape("service", "through a Messaging Service", parameters={"MessagingServiceSid": _MG}),
    Shape("fallback", "the call of the fallback URL, after the webhook failed", parameters=_FALLBACK),
)
SHAPES: Final[Mapping[str, Shape]] = MappingProxyType({each.name: each for each in _TABLE})


def combined(names: Sequence[str], channel: str) -> Shape:
    """Combine several shapes: of a body, media or sender that several set, the first applies; of a parameter the last.

    Raises:
        ValueError: one does not exist on the channel.
    """
    chosen = [SHAPES[name] for name in names]
    for each in chosen:
        if channel not in each.channels:
            raise ValueError(f"{each.name} does not exist on {channel}, only on {', '.join(each.channels)}")
    return Shape(
        " ".join(names),
        "",
        parameters={name: value for each in chosen for name, value in each.parameters.items()},
        body=next((each.body for each in chosen if each.body is not None), None),
        media=next((each.media for each in chosen if each.media), ""),
        from_=next((each.from_ for each in chosen if each.from_), ""),
    )
