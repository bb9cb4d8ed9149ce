"""Points webhooks at Twilio here, and puts them back: never what somebody else has changed in the meantime."""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from router.cli.connection.record import Changes, Connection, Connections
from router.cli.show import clean
from router.errors import RouterError
from router.integrations.rest.client import TwilioError
from router.integrations.rest.webhooks import FIELDS, Kind, Place, Values, Webhooks
from router.settings import Settings

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


class Connector:
    """Changes webhooks at Twilio, with the record before and after.

    Args:
        settings: where Twilio is, and the accounts.
        record: what is connected.
    """

    def __init__(self, settings: Settings, record: Connections) -> None:
        self.record = record
        self._settings = settings
        self._apis: dict[str, Webhooks] = {}

    def api(self, account_sid: str) -> Webhooks:
        """Return the API of an account; raise RouterError when it is none of ours."""
        if account_sid not in self._apis:
            account = self._settings.account(account_sid)
            if account is None:
                raise RouterError(
                    f"{account_sid}, whose number is connected, is none of the accounts in these settings"
                )
            self._apis[account_sid] = Webhooks(self._settings, account)
        return self._apis[account_sid]

    def connect(  # noqa: PLR0913 - what, to where, and who puts it back
        self, changes: Changes, place: Place, account_sid: str, base: str, *, tunnel: bool, holder: str
    ) -> Connection:
        """Point a webhook to a public base; what it said is on disk before.

        Raises:
            RouterError: it cannot be saved, or Twilio refuses; then the webhook says what it said.
        """
        known, values = changes.of(place.kind, place.sid), wanted(place.kind, base)
        connection = Connection(
            kind=place.kind,
            sid=place.sid,
            name=place.name,
            account_sid=account_sid,
            base=base,
            tunnel=tunnel,
            before=_before(place, known) if known else place.values,
            ours=(*known.ours, values) if known else (values,),
            holder=holder,
            at=int(time.time() * 1000),
        )
        changes.put(connection)
        self._set(changes, connection, values, otherwise=known)
        return connection

    def restore(self, changes: Changes, connection: Connection) -> Restored:
        """Put a webhook back, as far as it still says what we wrote.

        Raises:
            RouterError: Twilio does not answer or refuses; the record stays, for another attempt.
        """
        api = self.api(connection.account_sid)
        place = api.fetch(connection.kind, connection.sid, connection.name)
        if place is None:
            changes.remove(connection)
            return Restored(connection.name, {}, {}, gone=True)
        restored = _merge(place, connection)
        if restored.back:
            api.change(connection.kind, connection.sid, restored.back)
        changes.remove(connection)
        return restored

    def move(self, changes: Changes, connection: Connection, base: str) -> bool:
        """Point a webhook to a new base, as far as it is still ours; say whether its inbound URL was.

        Raises:
            RouterError: it cannot be saved, or Twilio does not answer or refuses.
        """
        place = self.api(connection.account_sid).fetch(connection.kind, connection.sid, connection.name)
        if place is None or not is_ours(place, connection):
            return False
        target = wanted(connection.kind, base)
        moved = replace(connection, base=base, before=_before(place, connection), ours=(*connection.ours, target))
        changes.put(moved)
        values = {field: target[field] for field in _ours(place, connection)}
        self._set(changes, moved, values, otherwise=connection)
        return True

    def _set(self, changes: Changes, connection: Connection, values: Values, *, otherwise: Connection | None) -> None:
        """Write values to Twilio; where it is not known whether they were taken, look."""
        api = self.api(connection.account_sid)
        try:
            api.change(connection.kind, connection.sid, values)
        except TwilioError as error:
            try:
                place = api.fetch(connection.kind, connection.sid, connection.name)
            except TwilioError:
                raise RouterError(
                    f"{connection.name}: {error}. Whether it was changed is not known; what it was before is "
                    "saved, and `router disconnect` puts it back"
                ) from None
            if place is not None and is_ours(place, replace(connection, ours=connection.ours[-1:])):
                return
            if otherwise is None:
                changes.remove(connection)
            else:
                changes.put(otherwise)
            raise RouterError(f"{connection.name} was left as it was: {error}") from None


def is_orphan(record: Connections, connection: Connection, tunnel: str) -> bool:
    """Say whether nobody is left to put a connection back: its process or its tunnel has died.

    Args:
        record: what is connected.
        connection: one of it.
        tunnel: the base of the tunnel that is open now; "" for none.
    """
    if connection.holder and record.is_held(connection):
        return False
    return bool(connection.holder) or (connection.tunnel and not tunnel)


def restore_all(
    connector: Connector, chosen: Callable[[Connection], bool], say: Callable[[str], None]
) -> list[RouterError]:
    """Put the chosen connections back, and say what became of each; return what went wrong."""
    wrong: list[RouterError] = []
    if not any(chosen(each) for each in connector.record.read()):
        return wrong
    with connector.record.changing() as changes:
        for connection in [each for each in changes.all if chosen(each)]:
            try:
                say(sentence(connector.restore(changes, connection)))
            except RouterError as error:
                wrong.append(RouterError(f"{connection.name} could not be put back: {error}"))
        connector.record.tidy()
    return wrong


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


def _before(place: Place, known: Connection) -> Values:
    """Return what a place said before us: what was so then, and what somebody has written since."""
    return {**place.values, **{field: known.before[field] for field in _ours(place, known)}}


def _ours(place: Place, connection: Connection) -> list[str]:
    """Return the fields that still say what we wrote."""
    return [
        field
        for main, others in _together(place.kind)
        if is_ours(place, connection, main)
        for field in (main, *others)
        if is_ours(place, connection, field)
    ]


def _merge(place: Place, connection: Connection) -> Restored:
    """Say field by field what is to be put back: what still says what we wrote."""
    now, before = place.values, _before(place, connection)
    back = {field: value for field, value in before.items() if value != now[field]}
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
