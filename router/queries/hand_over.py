"""The last step of a migration: Twilio auto-creates the Conversations of an address, and the router gets no message.

Between the two changes at Twilio, and for a minute after them, the router, Twilio's auto-creation, or both may get a
message. So the flow is paused meanwhile. When it is resumed, the router looks for each message that waited in its
contact's Conversation, and adds it only if it is not there.

https://www.twilio.com/docs/conversations-classic/inbound-autocreation
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import urlsplit

from router.errors import RouterError
from router.flow.address_configuration import type_of
from router.flow.flex_flow import FlexFlow
from router.flow.succession import has_succeeded
from router.queries.hand_over_refusals import (
    by_hand,
    creation_of,
    number_of,
    refuse_another_router,
    refuse_unlike_auto_creation,
    refuse_while_in_use,
)
from router.settings import Account, Settings
from router.store import Store
from router.twilio_api.auto_creation import AutoCreation
from router.twilio_api.auto_creation import Values as Creation
from router.twilio_api.client import TwilioError
from router.twilio_api.webhook_values import plain, shown, wanted
from router.twilio_api.webhooks import Place, Values, Webhooks

# A change in Twilio's Console takes up to a minute.
WAIT_SECONDS: Final = 60.0
_BY: Final = "router migrate hand-over"
_URL: Final = "sms_url"
# The key in the flow's `extra` of its number's previous webhook, which is restored with its base and its query.
_BEFORE: Final = "webhook_before_hand_over"


@dataclass(frozen=True, slots=True)
class HandOver:
    """The changes to make at Twilio: to an address's auto-creation, and to a number's webhook."""

    new: FlexFlow
    creation: tuple[Creation | None, Creation]
    place: Place
    webhook: Values

    @property
    def is_done(self) -> bool:
        """Whether Twilio already has these values."""
        return not self.lines()

    def lines(self) -> list[str]:
        """Return a line for each value that changes, with the current and the new value."""
        before, after = self.creation
        changes = []
        for name, value in after.items():
            now = (before or {"enabled": "false"}).get(name, "")
            if now != value:
                changes.append(
                    f"address configuration of {self.new.contact_identity}: {name} {now or '(none)'} → {value}"
                )
        for name, value in self.webhook.items():
            if plain(self.place.values[name]) != plain(value):
                changes.append(f"number {self.place.name}: {name} {shown(self.place.values[name])} → {shown(value)}")
        return changes


def prepare(  # noqa: PLR0913 - two flows, their account, and two options
    settings: Settings, account: Account, old: FlexFlow, new: FlexFlow | None, store: Store, *, undo: bool, force: bool
) -> HandOver:
    """Return the changes to make at Twilio; nothing is changed yet.

    Raises:
        RouterError: it is too early, or cannot be done safely; the message has the reason and the steps by hand.
    """
    if new is None or not (undo or has_succeeded(new, old)):
        raise RouterError(f"not all contacts of {old.sid} have moved: run `router migrate all {old.sid}` first")
    if not undo:
        if not force:
            refuse_while_in_use(settings, account, old, store)
        refuse_unlike_auto_creation(new, store)
    base = settings.public_urls[0] if settings.public_urls else ""
    place = number_of(new, Webhooks(settings, account), by_hand(new, base, undo=undo))
    if undo:
        creation, url = {"enabled": "false"}, _previous(new, base)
    else:
        refuse_another_router(place, settings)
        creation, url = creation_of(new), ""
    now = AutoCreation(settings, account).fetch(new.contact_identity)
    return HandOver(new, (now, creation), place, {_URL: url})


def _previous(new: FlexFlow, base: str) -> str:
    """Return the number's webhook before the hand-over, or else the router's."""
    if not base and not new.extra.get(_BEFORE):
        raise RouterError("ROUTER_PUBLIC_URL is not set: set it to the base URL for the number's webhook")
    return str(new.extra.get(_BEFORE) or wanted("number", base)[_URL])


def perform(  # noqa: PLR0913 - the plan, its account, and how to wait
    settings: Settings, account: Account, plan: HandOver, store: Store, *, wait: float, sleep: Callable[[float], None]
) -> None:
    """Make the changes at Twilio while the flow is paused; safe to repeat after a failure or an interruption.

    Raises:
        TwilioError: the changes are not complete; the flow stays paused.
    """
    _pause(plan.new, store, _kept(plan), paused=True)
    before, after = plan.creation
    try:
        if after["enabled"] == "true" or before is not None:
            AutoCreation(settings, account).write(plan.new.contact_identity, type_of(plan.new), after)
        Webhooks(settings, account).change("number", plan.place.sid, plan.webhook)
    except TwilioError as error:
        advice = f"{plan.new.sid} stays paused and its messages wait: repeat this, or take it back"
        raise TwilioError(f"{error}. {advice}", error.status, error.code) from None
    sleep(wait)
    _pause(plan.new, store, {} if plan.webhook[_URL] else _kept(plan), paused=False)


def _kept(plan: HandOver) -> dict[str, str]:
    """Return the number's webhook for `extra`, unless it has a password: the change log would show it."""
    url = plan.webhook[_URL] or plan.place.values[_URL] or str(plan.new.extra.get(_BEFORE, ""))
    return {_BEFORE: url} if url and urlsplit(url).password is None else {}


def _pause(flow: FlexFlow, store: Store, kept: Mapping[str, str], *, paused: bool) -> None:
    def change(current: FlexFlow) -> FlexFlow:
        extra = {key: value for key, value in current.extra.items() if key != _BEFORE}
        return replace(current, paused=paused, extra={**extra, **kept})

    store.flows.update(flow.account_sid, flow.sid, change, by=_BY)
