"""Recovering inbound messages: Twilio keeps each one, also those whose webhook nobody took.

What Twilio's REST API says of a message is written as the webhook would have been, as far as it says it, and accepted
like one. Nobody waits for an answer any more, so none is ever given; and a message whose webhook arrives after all, or
that is recovered twice, is a duplicate like any other.

https://www.twilio.com/docs/messaging/api/message-resource
"""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import urlencode

from router.errors import NotAMessage
from router.message.inbound import FORM, Message, Raw, conversation_id
from router.queries.deliveries import route_of
from router.routing.contact import Choice
from router.routing.resolve import Circumstance, Likelihood, Route, facts, identities, resolve
from router.store import Store
from router.store.lanes import Acceptance, new_token
from router.twilio_api.account import Inbound

# A message this young may be on its way at this moment: Twilio gives URL and fallback 15 s each.
YOUNG: Final = timedelta(seconds=60)
# How often a message is routed at most while somebody changes flows or contact; the last one counts.
_ROUNDS: Final = 5
# Who had the right to answer, in the record of a message that nobody may answer.
NOBODY: Final = "nobody"


@dataclass(frozen=True, slots=True)
class Lost:
    """A message that the router has no record of, and where the flows of today would take it."""

    inbound: Inbound
    message: Message
    route: Route

    @property
    def expected(self) -> bool:
        """Say whether its address has flows; what no flow takes now may go where the message before it went."""
        return self.route.flow is not None or self.route.choice is not None


def lost(
    found: Iterable[Inbound], account_sid: str, store: Store, likelihood: Likelihood, *, now: datetime
) -> list[Lost]:
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
            chosen.append(Lost(inbound, message, route_of(message, store, likelihood)[0]))
    return chosen


def accept(missing: Lost, media: Sequence[tuple[str, str]], store: Store, likelihood: Likelihood) -> Acceptance:
    """Put one message into its lane, marked as recovered; `media` are its attachments, URL and MIME type.

    Raises StoreUnavailable when it is not known whether that was done: to do it again is safe.
    """
    fields = list(missing.inbound.fields)
    for n, (url, content_type) in enumerate(media):
        fields += [(f"MediaContentType{n}", content_type), (f"MediaUrl{n}", url)]
    fields = [(name, str(len(media)) if name == "NumMedia" and media else value) for name, value in fields]
    packed = Raw("POST", f"{FORM}; charset=UTF-8", urlencode(fields).encode()).pack()
    message = Message.parse(fields)
    entries = store.flows.entries(message.account_sid, identities(message))
    circumstance = Circumstance(time.time(), likelihood=likelihood)
    for left in reversed(range(_ROUNDS)):
        acceptance = _accept(message, packed, resolve(message, entries, circumstance), store, final=not left)
        if acceptance.kind != "stale":
            break
        if acceptance.known is None:
            entries = store.flows.entries(message.account_sid, identities(message))
        else:
            circumstance = replace(circumstance, known=acceptance.known)
    return acceptance


def _accept(message: Message, packed: bytes, route: Route, store: Store, *, final: bool) -> Acceptance:
    why = "\n".join(("recovered from Twilio", *route.steps))
    return store.lanes.accept(
        token=new_token(),
        account_sid=message.account_sid,
        message_sid=message.message_sid,
        lane=conversation_id(message.account_sid, message.channel, message.to, message.from_),
        disposition="queue" if route.flow else "unrouted",  # there is nobody to redirect any more
        lease=False,
        versions=() if final else [(entry.identity, entry.version) for entry in route.entries],
        facts=facts(packed, route, "") | {"why": why, "recovered": 1, "answered": NOBODY},
        choice=route.choice and _queueing(route.choice),
        final=final,
    )


def _queueing(choice: Choice) -> Choice:
    """Let a conversation stay with a flow that redirects, too."""
    candidates = tuple(replace(each, disposition="queue") for each in choice.candidates)
    return replace(choice, candidates=candidates)
