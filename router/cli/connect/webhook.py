"""The values of a webhook at Twilio that point it to this router, and the fields that are restored afterwards."""

import re
from dataclasses import dataclass
from typing import Final

from router.cli.connect.record import ConnectedWebhook
from router.message.channel import ALL, ANY, WEBHOOKS
from router.printable import clean
from router.twilio_api.webhooks import FIELDS, Kind, Place, Values

# By default Twilio tries once more, and only if it could not connect. During a restart, or without its store, the
# router answers 5xx within 2.5 s: Twilio is to try again after that too. It is not to try again after a timeout: the
# router may have accepted the message. A relayed answer may take 10 s; all attempts together may take 15 s.
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


@dataclass(frozen=True, slots=True)
class Restored:
    """The result of restoring a webhook.

    Args:
        name: the name of its number, sender or service.
        back: the fields that were restored, with their values.
        left: the fields that were not restored, because another person or program has changed them.
        gone: whether the account no longer has the number.
    """

    name: str
    back: Values
    left: Values
    gone: bool = False

    def __str__(self) -> str:
        """Write it in one line."""
        if self.gone:
            return f"{self.name} no longer belongs to this account, so nothing was restored"
        parts = []
        if self.back:
            parts.append(f"{self.name} is restored: {described(self.back)}")
        elif not self.left:
            parts.append(f"{self.name} already had its previous webhook")
        if self.left:
            parts.append(f"another person or program changed {self.name}; not restored: {described(self.left)}")
        return "; ".join(parts)


def wanted(kind: Kind, base: str) -> Values:
    """Return the values that point a webhook to a public base URL.

    The fallback is this router too: a second attempt may succeed, and a message that comes twice is delivered once.
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
    """Return, as lines, the webhooks to set at Twilio so that messages come to a public base URL."""
    urls = {name: f"{shown(base)}/webhooks/{channel}" for name, channel in _CHANNELS.items()}
    urls["SMS"] += OVERRIDES
    return [
        "  At Twilio, as the webhook for incoming messages, HTTP POST:",
        "",
        *(f"  {name:12} {url}" for name, url in urls.items()),
        "  fallback     the same address again: a message that comes twice is delivered once",
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


def is_ours(place: Place, connection: ConnectedWebhook, field: str = "") -> bool:
    """Return whether a field, by default the inbound URL, still has a value that we wrote.

    Connection overrides are not compared: Twilio may write them in another way.
    """
    field = field or FIELDS[place.kind][0]
    return any(plain(place.values[field]) == plain(ours[field]) for ours in connection.ours)


def ours(place: Place, connection: ConnectedWebhook) -> list[str]:
    """Return the fields that still have our values; a method counts only together with our URL."""
    return [
        field
        for url, others in _groups(place.kind)
        if is_ours(place, connection, url)
        for field in (url, *others)
        if is_ours(place, connection, field)
    ]


def before(place: Place, known: ConnectedWebhook) -> Values:
    """Return the values of a place without ours: the previous ones, and those that others have written since."""
    return {**place.values, **{field: known.before[field] for field in ours(place, known)}}


def merge(place: Place, connection: ConnectedWebhook) -> Restored:
    """Return the fields to restore, which still have our values, and the fields that others have changed."""
    now, then = place.values, before(place, connection)
    back = {field: value for field, value in then.items() if value != now[field]}
    left = {
        field: now[field]
        for url, others in _groups(place.kind)
        for field in ((url, *others) if is_ours(place, connection, url) else (url,))
        if not is_ours(place, connection, field) and now[field] != connection.before[field]
    }
    return Restored(connection.name, back, left)


def described(values: Values) -> str:
    """Write the fields of a webhook on one line."""
    return ", ".join(f"{name} {shown(value)}" for name, value in values.items())


def shown(value: str) -> str:
    """Return the value of a field for people: a URL without its credentials."""
    return clean(_CREDENTIALS.sub("://…@", value)) or "(none)"


def plain(url: str) -> str:
    """Return a URL without connection overrides."""
    return url.partition("#")[0]


def _groups(kind: Kind) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Return each URL with the fields that belong to it: its method, and the setting that overrides it."""
    url, method, fallback, fallback_method, *over = FIELDS[kind]
    return (url, (method, *over)), (fallback, (fallback_method,))
