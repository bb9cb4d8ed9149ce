"""What a webhook at Twilio must be set to so that it leads here, and which of its fields are restored afterwards."""

import re
from dataclasses import dataclass
from typing import Final

from router.cli.connect.record import ConnectedWebhook
from router.cli.output import clean
from router.message.channel import ALL, ANY, WEBHOOKS
from router.twilio_api.webhooks import FIELDS, Kind, Place, Values

# Twilio itself tries once more, and only when it could not connect. A restart, or a store that is away, is answered 5xx
# within 2.5 s, so it is asked to try again after that too; but not after a silence: the message may have been taken.
# An answer may take a relay's 10 s; all attempts together may take 15 s.
# https://www.twilio.com/docs/usage/webhooks/webhooks-connection-overrides
OVERRIDES: Final = "#rc=2&rp=ct,5xx&ct=3000&rt=12000"
_PATHS: Final[dict[Kind, str]] = {
    "number": "/webhooks/sms",
    "sender": "/webhooks/whatsapp",
    "service": "/webhooks/message",  # WhatsApp and RCS senders may be in a service too
}
# What people call a channel, and its webhook.
_CHANNELS: Final = {ALL[name].title: name for name in WEBHOOKS} | {"any of them": ANY}
_CREDENTIALS: Final = re.compile(r"://[^/?#@\s]*@")
_A_ROUTERS: Final = re.compile(r"https?://[^/]+.*/webhooks/(sms|whatsapp|message)")


@dataclass(frozen=True, slots=True)
class Restored:
    """What became of a webhook that was to be restored.

    Args:
        name: whose it is.
        back: the fields that were restored, with their values.
        left: the fields that another person or program changed, and that were left alone.
        gone: the account no longer has the number.
    """

    name: str
    back: Values
    left: Values
    gone: bool = False

    def __str__(self) -> str:
        """Write it in one line."""
        if self.gone:
            return f"{self.name} no longer belongs to this account; there was nothing to restore"
        said = []
        if self.back:
            said.append(f"{self.name} is restored: {described(self.back)}")
        elif not self.left:
            said.append(f"{self.name} was set as before already")
        if self.left:
            said.append(f"{self.name} was changed by someone else meanwhile; left as it is: {described(self.left)}")
        return "; ".join(said)


def wanted(kind: Kind, base: str) -> Values:
    """Return what a webhook must be set to so that it leads to a public base.

    The fallback is this router too: a message that comes twice is delivered once, and a second attempt may succeed.
    """
    url = base + _PATHS[kind]
    # Overrides are not documented for senders. The last field is what would come before the inbound URL.
    values = {
        "number": (url + OVERRIDES, "POST", url, "POST", ""),
        "service": (url + OVERRIDES, "POST", url, "POST", "false"),
        "sender": (url, "POST", url, "POST"),
    }
    return dict(zip(FIELDS[kind], values[kind], strict=True))


def to_paste(base: str) -> list[str]:
    """Return, line by line, what is to be written at Twilio so that messages come to a public base."""
    urls = {name: f"{shown(base)}/webhooks/{channel}" for name, channel in _CHANNELS.items()}
    urls["SMS"] += OVERRIDES
    return [
        "  At Twilio, as the webhook for incoming messages, HTTP POST:",
        "",
        *(f"  {name:12} {url}" for name, url in urls.items()),
        "  fallback     the same address again: a message that comes twice is delivered once",
    ]


def inbound(place: Place) -> str:
    """Return the URL that a place's messages go to, without connection overrides; "" for none of its own."""
    if place.kind == "number" and place.values["sms_application_sid"]:
        return ""
    return plain(place.values[FIELDS[place.kind][0]])


def leads_elsewhere(place: Place, base: str) -> bool:
    """Say whether a place leads to another router, as the path of its webhook shows."""
    url = inbound(place)
    return bool(_A_ROUTERS.fullmatch(url)) and not url.startswith(f"{base}/")


def is_ours(place: Place, connection: ConnectedWebhook, field: str = "") -> bool:
    """Say whether a field, the inbound URL if none is named, still has a value that we wrote.

    Connection overrides are left out: Twilio may write them in another way.
    """
    field = field or FIELDS[place.kind][0]
    return any(plain(place.values[field]) == plain(ours[field]) for ours in connection.ours)


def ours(place: Place, connection: ConnectedWebhook) -> list[str]:
    """Return the fields that still have our values; a method counts only beside our URL."""
    return [
        field
        for url, others in _groups(place.kind)
        if is_ours(place, connection, url)
        for field in (url, *others)
        if is_ours(place, connection, field)
    ]


def before(place: Place, known: ConnectedWebhook) -> Values:
    """Return what a place was set to without us: the values from before, and what others have written since."""
    return {**place.values, **{field: known.before[field] for field in ours(place, known)}}


def merge(place: Place, connection: ConnectedWebhook) -> Restored:
    """Say field by field what is to be restored, which is what still has our value, and what others have changed."""
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
    """Return a field as it may be shown: a URL without the password that may be in it."""
    return clean(_CREDENTIALS.sub("://…@", value)) or "(none)"


def plain(url: str) -> str:
    """Return a URL without connection overrides."""
    return url.partition("#")[0]


def _groups(kind: Kind) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Return each URL with the fields that mean nothing without it: its method, and what comes before it."""
    url, method, fallback, fallback_method, *over = FIELDS[kind]
    return (url, (method, *over)), (fallback, (fallback_method,))
