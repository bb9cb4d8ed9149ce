"""What lists show of a message, and the names of flows."""

from collections.abc import Iterable
from typing import Any, Final

from router.message.inbound import Message
from router.sid import is_sid
from router.store import Store
from router.store.deliveries import Delivery
from router.web.console.desk import view
from router.web.console.page import parts

# Held messages have the state `queued`; pages show and filter them as a state.
HELD: Final = "held"


def row(delivery: Delivery) -> dict[str, Any]:
    """Return the values of a message that lists show."""
    message = Message.unpack(delivery.raw) if delivery.raw else None
    return {
        "sid": delivery.message_sid,
        "state": HELD if delivery.held else delivery.state,
        "at": delivery.accepted_at,
        "from": message.from_ if message else "",
        "to": message.to if message else "",
        "channel": message.channel if message else "",
        "body": message.body if message else "",
        "media": message.num_media if message else 0,
        "flow": delivery.flow_sid,
        "language": delivery.language,
        "attempts": delivery.attempts,
        "round": delivery.round,
        "error": delivery.error,
        "expired": message is None,
    }


def names(sids: Iterable[str], store: Store) -> dict[str, str]:
    """Return the names of flows."""
    return {sid: flow.friendly_name for sid in set(sids) if sid and (flow := store.flows.get(view().sid, sid))}


def names_in(lines: Iterable[str], store: Store) -> dict[str, str]:
    """Return the names of the flows in the steps of a route."""
    return names((sid for line in lines for _, sid in parts(line) if is_sid(sid, "FO")), store)
