"""Determines the fields to restore when a webhook is disconnected: those that still have our values."""

from dataclasses import dataclass

from router.twilio_api.connections import ConnectedWebhook
from router.twilio_api.webhook_values import described, plain
from router.twilio_api.webhooks import FIELDS, Kind, Place, Values


@dataclass(frozen=True, slots=True)
class Restored:
    """The fields of a webhook that were restored (`back`), and those that another person or program changed (`left`).

    `gone` is whether the account no longer has the number.
    """

    name: str
    back: Values
    left: Values
    gone: bool = False

    def __str__(self) -> str:
        """Return it in one line."""
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


def is_ours(place: Place, connection: ConnectedWebhook, field: str = "") -> bool:
    """Return whether a field, by default the inbound URL, still has a value that we wrote.

    Connection overrides are not compared: Twilio may format them differently.
    """
    field = field or FIELDS[place.kind][0]
    return any(plain(place.values[field]) == plain(ours[field]) for ours in connection.ours)


def ours(place: Place, connection: ConnectedWebhook) -> list[str]:
    """Return the fields that still have our values; a method is ours only if its URL is."""
    return [
        field
        for url, others in _groups(place.kind)
        if is_ours(place, connection, url)
        for field in (url, *others)
        if is_ours(place, connection, field)
    ]


def before(place: Place, known: ConnectedWebhook) -> Values:
    """Return the values of a place with ours replaced by the previous ones."""
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


def _groups(kind: Kind) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Return each URL with the fields that belong to it: its method, and the setting that overrides it."""
    url, method, fallback, fallback_method, *over = FIELDS[kind]
    return (url, (method, *over)), (fallback, (fallback_method,))
