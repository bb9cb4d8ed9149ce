"""Recovering inbound messages: Twilio keeps each one, also those whose webhook nobody took.

What Twilio's REST API says of a message is written as the webhook would have been, as far as it says it, and accepted
like one. Nobody waits for an answer any more, so none is ever given; and a message whose webhook arrives after all, or
that is recovered twice, is a duplicate like any other.

https://www.twilio.com/docs/messaging/api/message-resource
"""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import urlencode

from router.delivery.intake import Arrival
from router.errors import NotAMessage
from router.message.inbound import FORM, Message, Raw
from router.queries.deliveries import route_of
from router.routing.resolve import Likelihood, Route
from router.store import Store
from router.twilio_api.account import Inbound

# A message this young may be on its way at this moment: Twilio gives URL and fallback 15 s each.
YOUNG: Final = timedelta(seconds=60)


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


def recovered(missing: Lost, media: Sequence[tuple[str, str]]) -> Arrival:
    """Write a message as its webhook would have been; `media` are its attachments, URL and MIME type."""
    fields = list(missing.inbound.fields)
    for n, (url, content_type) in enumerate(media):
        fields += [(f"MediaContentType{n}", content_type), (f"MediaUrl{n}", url)]
    fields = [(name, str(len(media)) if name == "NumMedia" and media else value) for name, value in fields]
    raw = Raw("POST", f"{FORM}; charset=UTF-8", urlencode(fields).encode())
    return Arrival(Message.parse(fields), raw, time.monotonic(), recovered=True)
