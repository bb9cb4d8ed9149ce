"""The values that point a webhook at Twilio to this router, and the description of webhooks for people."""

import re
from typing import Final

from router.message.channel import ALL, ANY, WEBHOOKS
from router.printable import clean
from router.twilio_api.webhooks import FIELDS, Kind, Place, Values

# By default Twilio retries once, and only if it could not connect. During a restart, or without its store, the router
# answers 5xx within 2.5 s: Twilio must retry then as well. It must not retry after a timeout, because the router may
# have accepted the message. A relayed answer may take 10 s; all attempts together may take 15 s.
# https://www.twilio.com/docs/usage/webhooks/webhooks-connection-overrides
OVERRIDES: Final = "#rc=2&rp=ct,5xx&ct=3000&rt=12000"
_PATHS: Final[dict[Kind, str]] = {
    "number": "/webhooks/sms",
    "sender": "/webhooks/whatsapp",
    "service": "/webhooks/message",  # a service may have WhatsApp and RCS senders too
}
# The name of each channel for people, and its webhook.
_CHANNELS: Final = {ALL[name].title: name for name in WEBHOOKS} | {"any of them": ANY}
_CREDENTIALS: Final = re.compile(r"://[^/?#@\s]*@")
_A_ROUTERS: Final = re.compile(r"https?://[^/]+.*/webhooks/(sms|whatsapp|message)")


def wanted(kind: Kind, base: str) -> Values:
    """Return the values that point a webhook to a public base URL.

    The fallback is this router too: a second attempt may succeed, and a message received twice is delivered once.
    """
    url = base + _PATHS[kind]
    # Overrides are not documented for senders. The last field is a setting that would override the inbound URL.
    values = {
        "number": (url + OVERRIDES, "POST", url, "POST", ""),
        "service": (url + OVERRIDES, "POST", url, "POST", "false"),
        "sender": (url, "POST", url, "POST"),
    }
    return dict(zip(FIELDS[kind], values[kind], strict=True))


def to_paste(base: str) -> list[str]:
    """Return, as lines, the webhooks to set at Twilio so that messages are sent to a public base URL."""
    urls = {name: f"{shown(base)}/webhooks/{channel}" for name, channel in _CHANNELS.items()}
    urls["SMS"] += OVERRIDES
    return [
        "  At Twilio, as the webhook for incoming messages, HTTP POST:",
        "",
        *(f"  {name:12} {url}" for name, url in urls.items()),
        "  fallback     the same address again: a message received twice is delivered once",
    ]


def inbound(place: Place) -> str:
    """Return the URL that receives the messages of a place, without connection overrides; "" if it has no URL."""
    if place.kind == "number" and place.values["sms_application_sid"]:
        return ""
    return plain(place.values[FIELDS[place.kind][0]])


def leads_elsewhere(place: Place, base: str) -> bool:
    """Return whether a place points to another router, judging by the path of its webhook."""
    url = inbound(place)
    return bool(_A_ROUTERS.fullmatch(url)) and not url.startswith(f"{base}/")


def described(values: Values) -> str:
    """Return the fields of a webhook in one line."""
    return ", ".join(f"{name} {shown(value)}" for name, value in values.items())


def shown(value: str) -> str:
    """Return the value of a field for people: a URL without its credentials."""
    return clean(_CREDENTIALS.sub("://…@", value)) or "(none)"


def plain(url: str) -> str:
    """Return a URL without connection overrides."""
    return url.partition("#")[0]
