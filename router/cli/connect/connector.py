"""Points webhooks at Twilio here and restores them; what another person or program changed meanwhile is left alone."""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace

import click

from router.cli.connect.record import ConnectedWebhook, Connections, Holder
from router.cli.connect.webhook import (
    Restored,
    before,
    described,
    inbound,
    is_ours,
    leads_elsewhere,
    merge,
    ours,
    plain,
    shown,
    wanted,
)
from router.errors import RouterError
from router.settings import Account, Settings
from router.twilio_api.client import TwilioError
from router.twilio_api.webhooks import FIELDS, Kind, Place, Values, Webhooks
from router.web import tunnel_address

Name = tuple[Kind, str]
"""What is to be connected: its kind, and the number or SID."""


class Connector:
    """Changes webhooks at Twilio, and records what they were before.

    Args:
        settings: where Twilio is, the accounts, and the data directory with the record.
    """

    def __init__(self, settings: Settings) -> None:
        self.record = Connections(settings.data_dir)
        self._settings = settings

    # -- before anything is changed -----------------------------------------------------------------------------------

    def find(self, account: Account, names: Sequence[Name]) -> list[Place]:
        """Find what is to be connected at Twilio.

        Raises:
            RouterError: it is not there, it would have no effect, or another process has connected it.
        """
        api, places = Webhooks(self._settings, account), []
        for kind, name in names:
            find = {"number": api.number, "sender": api.sender, "service": api.service}[kind]
            places.append(find(name))
            if kind == "number" and (service := api.service_of(name)) and ("service", service) not in names:
                raise RouterError(
                    f"{name} is in the Messaging Service {service}, whose webhook counts for it, and not the number's "
                    f"own: connect {service} instead, or both (`router connect --messaging-service {service}`)"
                )
        for place in places:
            known = self.record.of((place.kind, place.sid))
            if known is not None and self.record.is_held(known):
                raise RouterError(
                    f"{place.name} is connected already, to {shown(known.base)}, by a `router` that still runs: end "
                    f"that one, or `router disconnect {place.name}`"
                )
        return places

    def warnings(self, places: Sequence[Place], base: str) -> list[str]:
        """Return what a person has to agree to: another router has it, or it was changed since it was connected."""
        found = []
        for place in places:
            known = self.record.of((place.kind, place.sid))
            if known is not None and is_ours(place, known):
                continue
            if known is not None and inbound(place) != plain(known.before[FIELDS[place.kind][0]]):
                found.append(
                    f"{place.name} was connected here and changed by someone else since: {described(place.values)}"
                )
            elif leads_elsewhere(place, base):
                found.append(f"{place.name} leads to another router, {shown(inbound(place))}")
        return found

    # -- connecting and restoring ------------------------------------------------------------------------------------

    def connect_all(self, places: Sequence[Place], account: Account, base: str, *, tunnel: bool, holder: str) -> None:
        """Point webhooks to a public base, all of them or none.

        Args:
            places: what was found, and shown.
            account: whose they are.
            base: where they are to lead.
            tunnel: whether that is a tunnel's.
            holder: the lock of the process that restores them, "" for none.

        Raises:
            RouterError: one could not be changed, or was changed since it was shown; all are as they were.
        """
        done: list[ConnectedWebhook] = []
        with self.record.locked():
            for place in places:
                if self._api(account.sid).fetch(place.kind, place.sid, place.name) != place:
                    raise RouterError(
                        f"{place.name} was changed by someone else just now, and was left as it is; try again"
                    )
            try:
                for place in places:
                    connected = self.connect(place, account.sid, base, tunnel=tunnel, holder=holder)
                    done.append(connected)
            except RouterError:
                for each in done:
                    with suppress(RouterError):  # the record stays, for another attempt
                        self.restore(each)
                raise

    def connect(self, place: Place, account_sid: str, base: str, *, tunnel: bool, holder: str) -> ConnectedWebhook:
        """Point one webhook to a public base, under the record's lock; what it was before is on disk first.

        Raises:
            RouterError: it cannot be saved, or Twilio refuses; then the webhook is as it was.
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
        """Restore one webhook, under the record's lock, as far as it still has our values.

        Raises:
            RouterError: Twilio does not answer or refuses; the record stays, for another attempt.
        """
        api = self._api(connection.account_sid)
        place = api.fetch(connection.kind, connection.sid, connection.name)
        restored = merge(place, connection) if place else Restored(connection.name, {}, {}, gone=True)
        if restored.back:
            api.change(connection.kind, connection.sid, restored.back)
        self.record.remove(connection)
        return restored

    def move(self, connection: ConnectedWebhook, base: str) -> bool:
        """Point one webhook to a new base, under the record's lock, if it is still ours; return whether it was.

        Raises:
            RouterError: it cannot be saved, or Twilio does not answer or refuses.
        """
        place = self._api(connection.account_sid).fetch(connection.kind, connection.sid, connection.name)
        if place is None or not is_ours(place, connection):
            return False
        target = wanted(connection.kind, base)
        moved = replace(connection, base=base, before=before(place, connection), ours=(*connection.ours, target))
        self._set(moved, {field: target[field] for field in ours(place, connection)}, otherwise=connection)
        return True

    def restore_all(self, chosen: Callable[[ConnectedWebhook], bool], say: Callable[[str], None]) -> list[RouterError]:
        """Restore the chosen webhooks, and say what became of each; return what went wrong."""
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
        """Restore what this process has connected, or leads to its tunnel; return whether all of it could be."""
        return self._restore_now(lambda each: each.holder == holder.name or (tunnel and each.tunnel))

    def has_orphans(self) -> bool:
        """Say whether a crash has left something connected; raise RouterError when the record is damaged."""
        return any(self._is_orphan(each) for each in self.record.read())

    def restore_orphans(self) -> None:
        """Restore what a crash has left connected; a failure is said, and the next command tries again.

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
            raise RouterError(f"{account_sid}, whose number is connected, is not one of the accounts in these settings")
        return Webhooks(self._settings, account)

    def _set(self, connection: ConnectedWebhook, values: Values, *, otherwise: ConnectedWebhook | None) -> None:
        """Record a connection and write values to Twilio; where it is not known whether it took them, look.

        `otherwise` is what is recorded when it did not.
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
                    f"{connection.name}: {error}. Whether it was changed is not known; what it was before is "
                    "saved, and `router disconnect` restores it"
                ) from None
            if place is not None and is_ours(place, replace(connection, ours=connection.ours[-1:])):
                return
            if otherwise is None:
                self.record.remove(connection)
            else:
                self.record.put(otherwise)
            raise RouterError(f"{connection.name} was left as it was: {error}") from None


def say(text: str) -> None:
    """Print a line about what happens in the background."""
    click.echo(f"router: {text}", err=True)
