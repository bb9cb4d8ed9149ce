"""Builds the form that Twilio sends to the webhook for an inbound message.

https://www.twilio.com/docs/messaging/guides/webhook-request
"""

import json
import math
import mimetypes
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from router.cli.send.signing import Fields
from router.language.country import country_of
from router.message.channel import ALL, WEBHOOKS

# The default address of the customer, and the default address that the customer writes to.
CUSTOMERS: Final = {name: ALL[name].customer for name in WEBHOOKS}
ADDRESSES: Final = {name: ALL[name].ours for name in WEBHOOKS}
_MEDIA_TYPE = re.compile(r"[\w.+-]+/[\w.+-]+")
_TRAILING_NUMBER = re.compile(r"\d+$")
# GSM 03.38: https://www.twilio.com/docs/glossary/what-is-gsm-7-character-encoding
_GSM: Final = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿"
    "abcdefghijklmnopqrstuvwxyzäöñüà"
)
_GSM_DOUBLE: Final = frozenset("^{}\\[~]|€\f")


@dataclass(frozen=True, slots=True)
class Attachment:
    """An attachment: its URL and its MIME type."""

    url: str
    content_type: str

    @classmethod
    def parse(cls, text: str) -> "Attachment":
        """Parse `URL` or `URL,TYPE`; without a type it is guessed from the URL."""
        url, _, content_type = text.rpartition(",")
        if not url or not _MEDIA_TYPE.fullmatch(content_type):
            url, content_type = text, mimetypes.guess_type(urlsplit(text).path)[0] or "application/octet-stream"
        return cls(url, content_type)


def new_message_sid(media: Sequence[Attachment]) -> str:
    """Create the SID of a message, `MM…` for a message with attachments."""
    return ("MM" if media else "SM") + secrets.token_hex(16)


def nth(address: str, n: int) -> str:
    """Return the address of the `n`-th customer after this one: `n` is added to the number at its end."""
    number = _TRAILING_NUMBER.search(address)
    if n == 0:
        return address
    return f"{address[: number.start()]}{int(number[0]) + n:0{len(number[0])}}" if number else f"{address}{n}"


def fields(  # noqa: PLR0913 - the parts of a message, passed by keyword
    channel: str,
    *,
    account_sid: str,
    message_sid: str,
    from_: str,
    to: str,
    body: str,
    media: Sequence[Attachment],
    more: Sequence[tuple[str, str]],
) -> Fields:
    """Return the form of a webhook: every parameter that Twilio sends for the channel, overridden by `more`."""
    form = {"SmsMessageSid": message_sid, "NumMedia": str(len(media))}
    if channel == "sms":
        for side, address in (("To", to), ("From", from_)):
            country = country_of(address) or "US"
            state = "CA" if country == "US" else ""
            form |= {f"{side}Country": country, f"{side}State": state, f"{side}City": "", f"{side}Zip": ""}
    if channel == "whatsapp":
        form |= _whatsapp(from_, media, dict(more))
    if channel == "rcs":
        form["ChannelMetadata"] = json.dumps({"type": "rcs", "data": {"context": {}}})
    form |= {"SmsSid": message_sid, "SmsStatus": "received", "Body": body, "To": to}
    form["NumSegments"] = str(_segments(body)) if channel == "sms" else "1"
    form |= {"ReferralNumMedia": "0", "MessageSid": message_sid, "AccountSid": account_sid, "From": from_}
    for n, each in enumerate(media):
        form |= {f"MediaContentType{n}": each.content_type, f"MediaUrl{n}": each.url}
    form["ApiVersion"] = "2010-04-01"
    return list((form | dict(more)).items())


def _whatsapp(from_: str, media: Sequence[Attachment], more: dict[str, str]) -> dict[str, str]:
    if media:
        kind = media[0].content_type.partition("/")[0]
        kind = kind if kind in ("image", "audio", "video") else "document"
    else:
        kind = "button" if "ButtonPayload" in more else "location" if "Latitude" in more else "text"
    form = {"ProfileName": "Ana", "MessageType": kind}
    number = from_.removeprefix("whatsapp:+")
    # A sender who hides the phone number has another id: whatsapp:US.13491208655302741918.
    form |= {"WaId": number} if number.isdecimal() else {"ExternalUserId": from_}
    context = {"type": "whatsapp", "data": {"context": {"ProfileName": "Ana"}}}
    return form | {"ChannelMetadata": json.dumps(context)}


def _segments(body: str) -> int:
    """Return the number of SMS segments of a text: https://www.twilio.com/docs/glossary/what-sms-character-limit."""
    if all(c in _GSM or c in _GSM_DOUBLE for c in body):
        length, single, part = sum(2 if c in _GSM_DOUBLE else 1 for c in body), 160, 153
    else:
        length, single, part = len(body.encode("utf-16-le")) // 2, 70, 67
    return 1 if length <= single else math.ceil(length / part)
