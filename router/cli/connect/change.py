"""Points webhooks at Twilio here, and puts them back: never what somebody else has changed in the meantime."""

import time
from collections.abc import Callable
from dataclasses import replace

from router.cli.connect.record import Changes, Connection, Connections
from router.cli.connect.webhook import Restored, before, is_ours, merge, ours, sentence, wanted
from router.errors import RouterError
from router.settings import Settings
from router.twilio_api.client import TwilioError
from router.twilio_api.webhooks import Place, Values, Webhooks


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
            before=before(place, known) if known else place.values,
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
        restored = merge(place, connection)
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
        moved = replace(connection, base=base, before=before(place, connection), ours=(*connection.ours, target))
        changes.put(moved)
        values = {field: target[field] for field in ours(place, connection)}
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
