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
from router.printable import number
from router.settings import Account, Settings
from router.store import Store
from router.twilio_api.auto_creation import AutoCreation
from router.twilio_api.auto_creation import Values as Creation
from router.twilio_api.client import TwilioError
from router.twilio_api.resources import Resources
from router.twilio_api.webhook_values import inbound, plain, shown, wanted
from router.twilio_api.webhooks import Place, Values, Webhooks

# A change in Twilio's Console takes up to a minute.
WAIT_SECONDS: Final = 60.0
_BY: Final = "router migrate hand-over"
_NOT_FOUND: Final = 404
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
    if not undo and not force:
        _is_empty(settings, account, old, store)
    base = settings.public_urls[0] if settings.public_urls else ""
    if not undo and (reason := _unlike_auto_creation(new, store)):
        raise RouterError(f"Twilio's auto-creation cannot do what {new.sid} does: {reason}. Keep the router in front")
    api = Webhooks(settings, account)
    if new.channel_type != "sms" or not new.contact_identity.startswith("+"):
        reason = f"the webhook of {new.contact_identity} cannot be changed safely by REST"
        raise RouterError(f"{reason}. Nothing was changed. {by_hand(new, base, undo=undo)}")
    if service := api.service_of(new.contact_identity):
        reason = f"Twilio uses the webhook of the Messaging Service {service}, which other numbers may need"
        raise RouterError(f"{reason}. Nothing was changed. {by_hand(new, base, undo=undo)}")
    place = api.number(new.contact_identity)
    if application := place.values["sms_application_sid"]:
        reason = f"Twilio uses the webhook of application {application}, which other numbers may need"
        raise RouterError(f"{reason}. Nothing was changed. {by_hand(new, base, undo=undo)}")
    if undo and not base and not new.extra.get(_BEFORE):
        raise RouterError("ROUTER_PUBLIC_URL is not set: set it to the base URL for the number's webhook")
    elsewhere = inbound(place)
    if not undo and elsewhere and not any(elsewhere.startswith(f"{each}/") for each in settings.public_urls):
        raise RouterError(f"{place.name} leads to {shown(elsewhere)}, which is not this router. Nothing was changed")
    after = {"enabled": "false"} if undo else _creation(new)
    webhook = {_URL: str(new.extra.get(_BEFORE) or wanted("number", base)[_URL])} if undo else {_URL: ""}
    return HandOver(new, (AutoCreation(settings, account).fetch(new.contact_identity), after), place, webhook)


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


def by_hand(new: FlexFlow, base: str, *, undo: bool) -> str:
    """Return the steps to take by hand in Twilio's Console."""
    address, to = new.contact_identity, f"{base or 'https://…'}/webhooks/{new.channel_type}"
    creation = f"{'turn off' if undo else 'turn on'} auto-creation of {address} (Conversations, Manage, Addresses)"
    webhook = f"set the inbound webhook of {address} to {to}" if undo else f"remove the inbound webhook of {address}"
    return (
        f"By hand: 1. `router flows pause {new.sid}`: messages wait. 2. In Twilio's Console {creation}"
        f"{'' if undo else f', with {_in_words(_creation(new))}'}. 3. {webhook[0].upper()}{webhook[1:]}. "
        f"4. Wait a minute. 5. `router flows resume {new.sid}`: the router looks for each message that waited "
        "in its Conversation, and adds it only if it is not there"
    )


def _is_empty(settings: Settings, account: Account, old: FlexFlow, store: Store) -> None:
    """Raise RouterError while a contact is, or may be, in Proxy, or messages wait for the old flow."""
    if waiting := store.deliveries.waiting_conversations(old.account_sid, old.sid):
        raise RouterError(f"{old.sid} still has messages of {number(waiting, 'conversation')}: wait for them")
    service = old.integration.proxy_service_sid or account.proxy_service_sid or ""
    if old.integration.type != "proxy" or not service:
        return
    try:
        live = Resources(settings, account).has_live_sessions(service)
    except TwilioError as error:
        if error.status == _NOT_FOUND:  # no such service, and so no session
            return
        raise RouterError(
            f"it is not known whether contacts are in a session of Proxy: {error}. Try again later, or use --force"
        ) from None
    if live:
        raise RouterError(
            f"contacts are still in a session of Proxy service {service}: wait until their sessions end, close them in "
            "Flex, or use --force"
        )


def _unlike_auto_creation(new: FlexFlow, store: Store) -> str:
    """Return what the router does for the address and Twilio's auto-creation cannot do; "" for nothing."""
    (entry,) = store.flows.entries(new.account_sid, (new.contact_identity,))
    others = [each.sid for each in entry.flows if each.enabled and each.sid != new.sid]
    if new.integration.type != "conversation":
        return f"it is a flow of type {new.integration.type}"
    if others:
        return f"other flows share its address ({', '.join(others)}), and Twilio cannot choose between them"
    if new.integration.interaction:
        return "it creates Interactions (Integration.Interaction), which Twilio does not: let a Studio flow create them"
    if new.capture == "never":
        return "its Capture is never, so each contact would have two Conversations, Twilio's and the router's"
    return ""


def _creation(new: FlexFlow) -> dict[str, str]:
    """Return the auto-creation that has the same effect for new contacts as the flow."""
    integration = new.integration
    kind = "studio" if integration.flow_sid else "webhook" if integration.url else "default"
    values = {"enabled": "true", "type": kind, "conversation_service_sid": new.chat_service_sid}
    values |= {"studio_flow_sid": integration.flow_sid} if kind == "studio" else {}
    values |= {"webhook_url": integration.url} if kind == "webhook" else {}
    return {name: value for name, value in values.items() if value}


def _in_words(creation: Creation) -> str:
    return ", ".join(f"{name} {value}" for name, value in creation.items() if name != "enabled")


def _pause(flow: FlexFlow, store: Store, kept: Mapping[str, str], *, paused: bool) -> None:
    def change(current: FlexFlow) -> FlexFlow:
        extra = {key: value for key, value in current.extra.items() if key != _BEFORE}
        return replace(current, paused=paused, extra={**extra, **kept})

    store.flows.update(flow.account_sid, flow.sid, change, by=_BY)
