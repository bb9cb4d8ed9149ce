"""The route of a message by the current flows: where it goes, and every step of the decision."""

import time
from collections.abc import Mapping
from typing import Any

from router.delivery.yielder import Yielder
from router.message.address import canonical
from router.message.inbound import Message, conversation_id
from router.queries.flow_warnings import unread
from router.routing.contact import NOTHING_KNOWN, contact_id, identities_of
from router.routing.resolve import Circumstance, Likelihood, Route, identities, preview
from router.store import Store
from router.store.deliveries import Delivery


def route_of(
    message: Message, store: Store, likelihood: Likelihood, *, lang: str = "", at: float | None = None
) -> tuple[Route, bool]:
    """Return the route of a message, including its conversation's assignment; change nothing.

    `lang` is the language in the webhook's URL, `at` the assumed time of arrival, None for now.
    """
    entries = store.flows.entries(message.account_sid, identities(message))
    circumstance = Circumstance(time.time() if at is None else at, lang=lang, likelihood=likelihood, pause=Yielder())
    names = identities_of(message)
    contact = store.contacts.first(message.account_sid, names)
    known = {contact_id(each) for each in (*names, *([contact.identity] if contact else []))}
    lane = conversation_id(message.account_sid, message.channel, message.to, message.from_)
    return preview(
        message,
        entries,
        circumstance,
        known=contact.known if contact else NOTHING_KNOWN,
        assignment=contact.assignments.get(message.contact_identity) if contact else None,
        sticky_hours=store.contacts.sticky_hours,
        may_move=lambda: store.proxied.may_move(message.account_sid, known, lane),
    )


def route_of_today(delivery: Delivery, store: Store, likelihood: Likelihood) -> Route:
    """Return the route of a message by the current flows; its body must still be stored."""
    message = Message.unpack(delivery.raw)
    return route_of(message, store, likelihood, lang=delivery.lang)[0]


def explain(  # noqa: PLR0913 - a message, and the circumstances of its arrival
    account_sid: str,
    parameters: Mapping[str, str],
    store: Store,
    likelihood: Likelihood,
    *,
    lang: str = "",
    at: float | None = None,
) -> dict[str, Any]:
    """Return the route of a message with these parameters, with every step of the decision; without side effects.

    Raises NotAMessage if the parameters are not those of a message.
    """
    made_up = {"MessageSid": "SM" + 32 * "0", "Body": ""}
    message = Message.parse((made_up | dict(parameters) | {"AccountSid": account_sid}).items())
    route, kept = route_of(message, store, likelihood, lang=lang, at=at)
    behind = unread(account_sid, (each for entry in route.entries for each in entry.flows), store)
    flow = route.flow
    return {
        "account_sid": account_sid,
        "channel": message.channel,
        "contact_identity": canonical(message.to, message.channel),
        "flex_flow_sid": flow.sid if flow else None,
        "friendly_name": flow.friendly_name if flow else None,
        "integration_type": flow.integration.type if flow else None,
        "response": flow.response if flow else None,
        "paused": flow.paused if flow else None,
        "language": route.language or None,
        "kept": kept,
        "reason": route.reason or None,
        "steps": [*route.steps, *([behind] if behind else [])],
    }
