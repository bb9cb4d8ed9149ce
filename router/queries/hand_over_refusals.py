"""Why an address cannot be handed over to Twilio's auto-creation, and the steps to take by hand."""

from typing import Final

from router.errors import RouterError
from router.flow.flex_flow import FlexFlow
from router.printable import number
from router.settings import Account, Settings
from router.store import Store
from router.twilio_api.auto_creation import Values as Creation
from router.twilio_api.client import TwilioError
from router.twilio_api.resources import Resources
from router.twilio_api.webhook_values import inbound, shown
from router.twilio_api.webhooks import Place, Webhooks

_NOT_FOUND: Final = 404


def refuse_while_in_use(settings: Settings, account: Account, old: FlexFlow, store: Store) -> None:
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


def refuse_unlike_auto_creation(new: FlexFlow, store: Store) -> None:
    """Raise RouterError if the router does what Twilio's auto-creation cannot do for the address."""
    if reason := _unlike_auto_creation(new, store):
        raise RouterError(f"Twilio's auto-creation cannot do what {new.sid} does: {reason}. Keep the router in front")


def _unlike_auto_creation(new: FlexFlow, store: Store) -> str:
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


def number_of(new: FlexFlow, api: Webhooks, steps: str) -> Place:
    """Return the flow's number at Twilio; raise RouterError, with the `steps` by hand, if it has no own webhook."""
    address = new.contact_identity
    if new.channel_type != "sms" or not address.startswith("+"):
        reason = f"the webhook of {address} cannot be changed safely by REST"
    elif service := api.service_of(address):
        reason = f"Twilio uses the webhook of the Messaging Service {service}, which other numbers may need"
    else:
        place = api.number(address)
        application = place.values["sms_application_sid"]
        if not application:
            return place
        reason = f"Twilio uses the webhook of application {application}, which other numbers may need"
    raise RouterError(f"{reason}. Nothing was changed. {steps}")


def refuse_another_router(place: Place, settings: Settings) -> None:
    """Raise RouterError if the number's webhook leads elsewhere."""
    url = inbound(place)
    if url and not any(url.startswith(f"{each}/") for each in settings.public_urls):
        raise RouterError(f"{place.name} leads to {shown(url)}, which is not this router. Nothing was changed")


def by_hand(new: FlexFlow, base: str, *, undo: bool) -> str:
    """Return the steps to take by hand in Twilio's Console."""
    address, to = new.contact_identity, f"{base or 'https://…'}/webhooks/{new.channel_type}"
    creation = f"{'turn off' if undo else 'turn on'} auto-creation of {address} (Conversations, Manage, Addresses)"
    webhook = f"set the inbound webhook of {address} to {to}" if undo else f"remove the inbound webhook of {address}"
    return (
        f"By hand: 1. `router flows pause {new.sid}`: messages wait. 2. In Twilio's Console {creation}"
        f"{'' if undo else f', with {_in_words(creation_of(new))}'}. 3. {webhook[0].upper()}{webhook[1:]}. "
        f"4. Wait a minute. 5. `router flows resume {new.sid}`: the router looks for each message that waited "
        "in its Conversation, and adds it only if it is not there"
    )


def creation_of(new: FlexFlow) -> dict[str, str]:
    """Return the auto-creation that has the same effect for new contacts as the flow."""
    integration = new.integration
    kind = "studio" if integration.flow_sid else "webhook" if integration.url else "default"
    values = {"enabled": "true", "type": kind, "conversation_service_sid": new.chat_service_sid}
    values |= {"studio_flow_sid": integration.flow_sid} if kind == "studio" else {}
    values |= {"webhook_url": integration.url} if kind == "webhook" else {}
    return {name: value for name, value in values.items() if value}


def _in_words(creation: Creation) -> str:
    return ", ".join(f"{name} {value}" for name, value in creation.items() if name != "enabled")
