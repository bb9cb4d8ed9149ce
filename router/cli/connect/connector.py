"""Points webhooks at Twilio to this router, and restores them, except what others have changed in the meantime."""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace

from router import tunnel_address
from router.cli.terminal import say
from router.errors import RouterError
from router.settings import Account, Settings
from router.twilio_api.client import TwilioError
from router.twilio_api.connections import ConnectedWebhook, Connections, Holder
from router.twilio_api.restored import Restored, before, is_ours, merge, ours
from router.twilio_api.webhook_values import described, inbound, leads_elsewhere, plain, shown, wanted
from router.twilio_api.webhooks import FIELDS, Kind, Place, Values, Webhooks

Name = tuple[Kind, str]
"""A number, sender or service to connect: its kind, and its number or SID."""


class Connector:
    """Changes webhooks at Twilio, and records their previous values in the data directory."""

    def __init__(self, settings: Settings) -> None:
        self.record = Connections(settings.data_dir)
        self._settings = settings

    # -- before anything is changed -----------------------------------------------------------------------------------

    def find(self, account: Account, names: Sequence[Name]) -> list[Place]:
        """Find the webhooks to connect at Twilio.

        Raises:
            RouterError: one does not exist, would have no effect, or is connected by another process.
        """
        api, places = Webhooks(self._settings, account), []
        for kind, name in names:
            find = {"number": api.number, "sender": api.sender, "service": api.service}[kind]
            places.append(find(name))
            if kind == "number" and (service := api.service_of(name)) and ("service", service) not in names:
                raise RouterError(
                    f"{name} is in the Messaging Service {service}, so Twilio calls the webhook of the service, not "
                    f"that of the number: connect the service (`router connect --messaging-service {service}`)"
                )
        for place in places:
            known = self.record.of((place.kind, place.sid))
            if known is not None and self.record.is_held(known):
                raise RouterError(
                    f"{place.name} is already connected to {shown(known.base)} by a `router` command that still runs: "
                    f"stop it, or type `router disconnect {place.name}`"
                )
        return places

    def warnings(self, places: Sequence[Place], base: str) -> list[str]:
        """Return what the user must confirm: a webhook points to another router, or was changed since we set it."""
        found = []
        for place in places:
            known = self.record.of((place.kind, place.sid))
            if known is not None and is_ours(place, known):
                continue
            if known is not None and inbound(place) != plain(known.before[FIELDS[place.kind][0]]):
                found.append(
                    f"{place.name} was connected here, and then changed by another person or program: "
                    f"{described(place.values)}"
                )
            elif leads_elsewhere(place, base):
                found.append(f"{place.name} points to another router, {shown(inbound(place))}")
        return found

    # -- connecting and restoring ------------------------------------------------------------------------------------

    def connect_all(self, places: Sequence[Place], account: Account, base: str, *, tunnel: bool, holder: str) -> None:
        """Point webhooks to a public base URL, all of them or none; `places` are the webhooks as they were shown.

        `tunnel` is whether that is the URL of a tunnel; `holder` is the lock of the process that will restore them, ""
        for none.

        Raises:
            RouterError: one could not be changed, or was changed since it was shown; then none is changed.
        """
        done: list[ConnectedWebhook] = []
        with self.record.locked():
            for place in places:
                if self._api(account.sid).fetch(place.kind, place.sid, place.name) != place:
                    raise RouterError(
                        f"another person or program has just changed {place.name}, so nothing was changed; try again"
                    )
            try:
                for place in places:
                    connected = self.connect(place, account.sid, base, tunnel=tunnel, holder=holder)
                    done.append(connected)
            except RouterError:
                for each in done:
                    with suppress(RouterError):  # the record stays, so that a later command restores it
                        self.restore(each)
                raise

    def connect(self, place: Place, account_sid: str, base: str, *, tunnel: bool, holder: str) -> ConnectedWebhook:
        """Save the previous values of one webhook and point it to a base URL, while the record is locked.

        Raises:
            RouterError: they cannot be saved, or Twilio refuses the change; the webhook is unchanged.
        """
        known, values = self.record.of((place.kind, place.sid)), wanted(place.kind, base)
        connection = ConnectedWebhook(
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
        self._set(connection, values, otherwise=known)
        return connection

    def restore(self, connection: ConnectedWebhook) -> Restored:
        """Restore the fields of one webhook that still have our values, while the record is locked.

        Raises:
            RouterError: Twilio does not answer or refuses; the record stays, so that a later command can restore it.
        """
        api = self._api(connection.account_sid)
        place = api.fetch(connection.kind, connection.sid, connection.name)
        restored = merge(place, connection) if place else Restored(connection.name, {}, {}, gone=True)
        if restored.back:
            api.change(connection.kind, connection.sid, restored.back)
        self.record.remove(connection)
        return restored

    def move(self, connection: ConnectedWebhook, base: str) -> bool:
        """Point one webhook to a new base URL, while the record is locked; return False if it is no longer ours.

        Raises:
            RouterError: the record cannot be saved, or Twilio does not answer or refuses.
        """
        place = self._api(connection.account_sid).fetch(connection.kind, connection.sid, connection.name)
        if place is None or not is_ours(place, connection):
            return False
        target = wanted(connection.kind, base)
        moved = replace(connection, base=base, before=before(place, connection), ours=(*connection.ours, target))
        self._set(moved, {field: target[field] for field in ours(place, connection)}, otherwise=connection)
        return True

    def restore_all(self, chosen: Callable[[ConnectedWebhook], bool], say: Callable[[str], None]) -> list[RouterError]:
        """Restore the chosen webhooks, and print the result for each; return the errors."""
        wrong: list[RouterError] = []
        if not any(chosen(each) for each in self.record.read()):
            return wrong
        with self.record.locked():
            for connection in [each for each in self.record.read() if chosen(each)]:
                try:
                    say(str(self.restore(connection)))
                except RouterError as error:
                    wrong.append(RouterError(f"{connection.name} could not be restored: {error}"))
            self.record.tidy()
        return wrong

    def restore_own(self, holder: Holder, *, tunnel: bool = False) -> bool:
        """Restore what this process connected and, with `tunnel`, what uses its tunnel; return False after an error."""
        return self._restore_now(lambda each: each.holder == holder.name or (tunnel and each.tunnel))

    def has_orphans(self) -> bool:
        """Return whether a crash has left a webhook connected; raise RouterError if the record is damaged."""
        return any(self._is_orphan(each) for each in self.record.read())

    def restore_orphans(self) -> None:
        """Restore what a crash has left connected; after a failure, which is printed, the next command tries again.

        Raises:
            RouterError: the record is damaged.
        """
        self._restore_now(self._is_orphan)

    def _is_orphan(self, connection: ConnectedWebhook) -> bool:
        return self.record.is_orphan(connection, tunnel_address.read(self._settings.data_dir))

    def _restore_now(self, chosen: Callable[[ConnectedWebhook], bool]) -> bool:
        wrong = self.restore_all(chosen, say)
        for error in wrong:
            say(f"{error}; `router disconnect` tries again")
        return not wrong

    def _api(self, account_sid: str) -> Webhooks:
        account = self._settings.account(account_sid)
        if account is None:
            raise RouterError(f"a number of {account_sid} is connected, but these settings do not have this account")
        return Webhooks(self._settings, account)

    def _set(self, connection: ConnectedWebhook, values: Values, *, otherwise: ConnectedWebhook | None) -> None:
        """Record a connection, and write values to Twilio; if the outcome is unknown, read them back.

        `otherwise` is the record to keep if Twilio does not have the values.
        """
        api = self._api(connection.account_sid)
        self.record.put(connection)
        try:
            api.change(connection.kind, connection.sid, values)
        except TwilioError as error:
            try:
                place = api.fetch(connection.kind, connection.sid, connection.name)
            except TwilioError:
                raise RouterError(
                    f"{connection.name}: {error}. It is not known whether it was changed; its previous values are "
                    "saved, and `router disconnect` restores them"
                ) from None
            if place is not None and is_ours(place, replace(connection, ours=connection.ours[-1:])):
                return
            if otherwise is None:
                self.record.remove(connection)
            else:
                self.record.put(otherwise)
            raise RouterError(f"{connection.name} was not changed: {error}") from None
