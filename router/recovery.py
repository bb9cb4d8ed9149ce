"""Recovering inbound messages: Twilio keeps each one, also those whose webhook nobody took.

What Twilio's REST API says of a message is written as the webhook would have been, as far as it says it, and accepted
like one. Nobody waits for an answer any more, so none is ever given; and a message whose webhook arrives after all, or
that is recovered twice, is a duplicate like any other.

https://www.twilio.com/docs/messaging/api/message-resource
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import urlencode

from router.errors import NotAMessage
from router.integrations.rest.account import Inbound
from router.message import FORM, Message, Raw, conversation_id
from router.routing import Route, identities, resolve
from router.store import Store
from router.store.lanes import Acceptance, new_token

# A message this young may be on its way at this moment: Twilio gives URL and fallback 15 s each.
YOUNG: Final = timedelta(seconds=60)
# Who had the right to answer, in the record of a message that nobody may answer.
NOBODY: Final = "nobody"


@dataclass(frozen=True, slots=True)
class Lost:
    """A message that the router has no record of, and where the flows of today would take it."""

    inbound: Inbound
    message: Message
    route: Route


def lost(found: Iterable[Inbound], account_sid: str, store: Store, *, now: datetime) -> list[Lost]:
    """Choose, of what Twilio received for an account, what the store does not know; the oldest first.

    Those too young to be given up are left out, and what is no message that a webhook could bring.
    """
    unknown = [
        inbound
        for inbound in found
        if inbound.created <= now - YOUNG and not store.deliveries.state(account_sid, inbound.sid)
    ]
    unknown.reverse()  # Twilio lists the newest first; its dates have no fractions of a second
    unknown.sort(key=lambda inbound: inbound.created)
    chosen = []
    for inbound in unknown:
        try:
            message = Message.parse(inbound.fields)
        except NotAMessage:
            continue
        if message.account_sid == account_sid:
            chosen.append(Lost(inbound, message, _route(message, store)))
    return chosen


def accept(missing: Lost, media: Sequence[tuple[str, str]], store: Store) -> Acceptance:
    """Put one message into its lane, marked as recovered; `media` are its attachments, URL and MIME type.

    Raises StoreUnavailable when it is not known whether that was done: to do it again is safe.
    """
    fields = list(missing.inbound.fields)
    for n, (url, content_type) in enumerate(media):
        fields += [(f"MediaContentType{n}", content_type), (f"MediaUrl{n}", url)]
    fields = [(name, str(len(media)) if name == "NumMedia" and media else value) for name, value in fields]
    packed = Raw("POST", f"{FORM}; charset=UTF-8", urlencode(fields).encode()).pack()
    acceptance = _accept(missing.message, packed, missing.route, store, check=True)
    if acceptance.kind == "stale":
        current = replace(missing, route=_route(missing.message, store))
        acceptance = _accept(current.message, packed, current.route, store, check=False)
    return acceptance


def _route(message: Message, store: Store) -> Route:
    return resolve(message, store.flows.entries(message.account_sid, identities(message)))


def _accept(message: Message, packed: bytes, route: Route, store: Store, *, check: bool) -> Acceptance:
    facts: dict[str, str | bytes | int] = {
        "raw": packed,
        "why": "\n".join(("recovered from Twilio", *route.steps)),
        "recovered": 1,
        "answered": NOBODY,
    }
    if route.flow is None:
        facts["error"] = route.reason
    else:
        facts["flow"] = route.flow.sid  # also for a flow that redirects: there is nobody to redirect any more
    return store.lanes.accept(
        token=new_token(),
        account_sid=message.account_sid,
        message_sid=message.message_sid,
        lane=conversation_id(message.account_sid, message.channel, message.to, message.from_),
        disposition="queue" if route.flow else "unrouted",
        lease=False,
        versions=[(entry.identity, entry.version) for entry in route.entries] if check else (),
        facts=facts,
    )
