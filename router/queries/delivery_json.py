"""A delivery as JSON, and the parts of it that are parsed: its attempts, its actions, its target's error answer."""

from typing import Any

from router.iso_time import utc
from router.message.inbound import Message
from router.message.twiml import NOT_TWIML, Excerpt
from router.store.deliveries import Delivery


def describe(delivery: Delivery) -> dict[str, Any]:
    """Return a delivery for JSON, without its URL."""
    message = Message.unpack(delivery.raw) if delivery.raw else None
    excerpt = target_excerpt(delivery)
    return {
        "sid": delivery.message_sid,
        "account_sid": delivery.account_sid,
        "status": delivery.state,
        "held": delivery.held,
        "from": message.from_ if message else None,
        "to": message.to if message else None,
        "channel": message.channel if message else None,
        "body": message.body if message else None,
        "num_media": message.num_media if message else None,
        "flex_flow_sid": delivery.flow_sid or None,
        "language": delivery.language or None,
        "route": list(delivery.why),
        "attempts": delivery.attempts,
        "replays": delivery.round,
        "duplicates": delivery.duplicates,
        "recovered": delivery.recovered,
        "in_doubt": delivery.doubt,
        "error": delivery.error or None,
        "history": [attempt_of(line) for line in delivery.history],
        "actions": [action_of(line) for line in delivery.actions],
        "answer": delivery.answer.decode(errors="replace") or None,
        "answered_by": delivery.answered or None,
        "late_answer": delivery.replied or None,
        "target_said": {"type": excerpt.type, "text": excerpt.text} if excerpt else None,
        "date_created": utc(delivery.accepted_at),
    }


def attempt_of(line: str) -> dict[str, Any]:
    """Parse a line of the history, `<number> <outcome> <status> <seconds> <reason>`; missing values are null."""
    number, outcome, status, seconds, reason = [*line.split(" ", 4), "", "", "", ""][:5]
    return {
        "attempt": int(number) if number.isdecimal() else None,
        "outcome": outcome or None,
        "status": int(status) if status.isdecimal() else None,
        "seconds": _float(seconds),
        "reason": reason or None,
    }


def action_of(line: str) -> dict[str, Any]:
    """Parse a line with an operator's action on a message, `<ms> <what> <who>`."""
    at, what, by = line.split(" ", 2)
    return {"action": what, "by": by, "date_created": utc(int(at))}


def target_excerpt(delivery: Delivery) -> Excerpt | None:
    """Return the stored part of the last error answer; None if there is no such answer."""
    kind, _, text = delivery.excerpt.partition("\n")
    return Excerpt(kind, text) if delivery.excerpt else None


def not_twiml(delivery: Delivery) -> str:
    """Return why a target's answer could not be given to Twilio although the message is delivered; "" if it could."""
    reason = attempt_of(delivery.history[-1])["reason"] if delivery.history else None
    return reason if reason and reason.startswith(NOT_TWIML) else ""


def _float(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
