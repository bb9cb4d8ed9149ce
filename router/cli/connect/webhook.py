"""What a webhook has to say to lead here, which part of it is ours, and how that is put back and told."""

import re
from dataclasses import dataclass
from typing import Final

from router.cli.connect.record import Connection
from router.cli.output import clean
from router.twilio_api.webhooks import FIELDS, Kind, Place, Values

# Twilio itself tries once more, and only when it could not connect. We want it again after a 5xx too, which a restart
# or a store that is away may answer, within 2.5 s; but not after a silence, for then the message may have been taken.
# An answer may take a relay's 10 s; all attempts together may take 15 s.
# https://www.twilio.com/docs/usage/webhooks/webhooks-connection-overrides
OVERRIDES: Final = "#rc=2&rp=ct,5xx&ct=3000&rt=12000"
_PATHS: Final[dict[Kind, str]] = {
    "number": "/webhooks/sms",
    "sender": "/webhooks/whatsapp",
    "service": "/webhooks/message",  # WhatsApp and RCS senders may be in a service too
}
_CREDENTIALS: Final = re.compile(r"://[^/?#@\s]*@")
_A_ROUTERS: Final = re.compile(r"https?://[^/]+.*/webhooks/(sms|whatsapp|message)")


@dataclass(frozen=True, slots=True)
class Restored:
    """What became of a webhook that was to be put back.

    Args:
        name: whose it is.
        back: what it says again, by field.
        left: what somebody else has changed, and that was left alone.
        gone: the account has the number no more.
    """

    name: str
    back: Values
    left: Values
    gone: bool = False


def wanted(kind: Kind, base: str) -> Values:
    """Return what a webhook has to say to lead to a public base.

    The fallback is this router too: it knows a message that comes twice, and another attempt may find it well.
    """
    url = base + _PATHS[kind]
    if kind == "number":
        return dict(zip(FIELDS[kind], (url + OVERRIDES, "POST", url, "POST", ""), strict=True))
    if kind == "service":
        return dict(zip(FIELDS[kind], (url + OVERRIDES, "POST", url, "POST", "false"), strict=True))
    return dict(zip(FIELDS[kind], (url, "POST", url, "POST"), strict=True))  # overrides are not documented for senders


def inbound(place: Place) -> str:
    """Return the URL that a place's messages go to, without connection overrides; "" for none of its own."""
    if place.kind == "number" and place.values["sms_application_sid"]:
        return ""
    return _plain(place.values[FIELDS[place.kind][0]])


def leads_elsewhere(place: Place, base: str) -> bool:
    """Say whether a place leads to another router, as the path of its webhook shows."""
    url = inbound(place)
    return bool(_A_ROUTERS.fullmatch(url)) and not url.startswith(f"{base}/")


def is_ours(place: Place, connection: Connection, field: str = "") -> bool:
    """Say whether a field, the inbound URL if none is named, says what we wrote.

    Connection overrides are left out: Twilio may write them in another way.
    """
    field = field or FIELDS[place.kind][0]
    return any(_plain(place.values[field]) == _plain(ours[field]) for ours in connection.ours)


def sentence(restored: Restored) -> str:
    """Say what became of a webhook that was to be put back."""
    if restored.gone:
        return f"{restored.name} is no longer this account's; there was nothing to put back"
    said = []
    if restored.back:
        said.append(f"{restored.name} is put back: {described(restored.back)}")
    elif not restored.left:
        said.append(f"{restored.name} already said what it did before")
    if restored.left:
        said.append(f"{restored.name} was changed by somebody else, and that was left: {described(restored.left)}")
    return "; ".join(said)


def described(values: Values) -> str:
    """Write the fields of a webhook on one line."""
    return ", ".join(f"{name} {shown(value)}" for name, value in values.items())


def shown(value: str) -> str:
    """Return a field as it may be seen: a URL without the password that may be in it."""
    return clean(_CREDENTIALS.sub("://…@", value)) or "(none)"


def before(place: Place, known: Connection) -> Values:
    """Return what a place said before us: what was so then, and what somebody has written since."""
    return {**place.values, **{field: known.before[field] for field in ours(place, known)}}


def ours(place: Place, connection: Connection) -> list[str]:
    """Return the fields that still say what we wrote."""
    return [
        field
        for main, others in _together(place.kind)
        if is_ours(place, connection, main)
        for field in (main, *others)
        if is_ours(place, connection, field)
    ]


def merge(place: Place, connection: Connection) -> Restored:
    """Say field by field what is to be put back: what still says what we wrote."""
    now, then = place.values, before(place, connection)
    back = {field: value for field, value in then.items() if value != now[field]}
    left = {
        field: now[field]
        for main, others in _together(place.kind)
        for field in ((main, *others) if is_ours(place, connection, main) else (main,))
        if not is_ours(place, connection, field) and now[field] != connection.before[field]
    }
    return Restored(connection.name, back, left)


def _together(kind: Kind) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Return each URL with what is nothing without it: its method, and what would come before the inbound one."""
    url, method, fallback, fallback_method, *over = FIELDS[kind]
    return (url, (method, *over)), (fallback, (fallback_method,))


def _plain(url: str) -> str:
    return url.partition("#")[0]
