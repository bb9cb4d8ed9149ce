"""Recovers inbound messages: Twilio stores each one, including those whose webhook failed.

A message from Twilio's REST API is converted to the form of its webhook, as far as the data allows, and accepted like
one. It is never answered, since the webhook request has ended; a webhook that arrives later, or a second recovery of
the same message, is handled as a duplicate.

https://www.twilio.com/docs/messaging/api/message-resource
"""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import urlencode

from router.delivery.intake import Arrival, Intake
from router.errors import NotAMessage
from router.message.inbound import Message
from router.message.raw import FORM, Raw
from router.queries.route import route_of
from router.routing.resolve import Likelihood, Route
from router.store import Store
from router.twilio_api.account import Inbound, TwilioApi

# The webhook of a younger message may still be in progress: Twilio gives URL and fallback 15 s each.
YOUNG: Final = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Lost:
    """A message that the router has no record of, or only one in doubt, and its route by the current flows."""

    inbound: Inbound
    message: Message
    route: Route

    @property
    def expected(self) -> bool:
        """Whether its address has flows. Without a route now, it may still follow its conversation."""
        return self.route.flow is not None or self.route.choice is not None


def lost(
    found: Iterable[Inbound], account_sid: str, store: Store, likelihood: Likelihood, *, now: datetime
) -> list[Lost]:
    """Select the messages that Twilio received for an account and the store does not know; the oldest first.

    Messages whose webhook may still be in progress are left out, and records that are not inbound messages.
    """
    unknown = [
        inbound
        for inbound in found
        if inbound.created <= now - YOUNG and not store.deliveries.knows(account_sid, inbound.sid)
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
    """Convert a message to the form of its webhook; `media` are its attachments, URL and MIME type."""
    fields = list(missing.inbound.fields)
    for n, (url, content_type) in enumerate(media):
        fields += [(f"MediaContentType{n}", content_type), (f"MediaUrl{n}", url)]
    fields = [(name, str(len(media)) if name == "NumMedia" and media else value) for name, value in fields]
    raw = Raw("POST", f"{FORM}; charset=UTF-8", urlencode(fields).encode())
    return Arrival(Message.parse(fields), raw, time.monotonic(), recovered=True)


def accept(missing: Lost, api: TwilioApi, intake: Intake) -> bool:
    """Accept a message, with its attachments from Twilio; return whether it was new, and not a duplicate."""
    media = api.media(missing.inbound.sid) if missing.inbound.num_media else []
    return intake.take(recovered(missing, media)).acceptance.kind != "duplicate"
