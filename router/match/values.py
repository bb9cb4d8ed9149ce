"""The input of a flow's Match: the values of a message, and its contact's percentile for shares."""

from collections.abc import Collection, Mapping
from datetime import datetime
from hashlib import blake2b
from typing import Any

from router.message.address import canonical
from router.message.inbound import Message, conversation_id


def variables(
    message: Message, *, names: Collection[str], language: str, country: str, now: datetime
) -> Mapping[str, Any]:
    """Return the variables of a message, at least those in `names`, by the names of `VARIABLES`.

    Args:
        message: the message.
        names: the `names` of the expressions.
        language: the detected tag; "" while it is uncertain.
        country: the country of the customer's number, ISO 3166; "" if unknown.
        now: the time of the message, with a time zone.

    """
    known: dict[str, Any] = {
        "channel": message.channel,
        "body": message.body,
        "language": language,
        "country": country,
        "num_media": message.num_media,
        "opt_out_type": message.opt_out_type,
        "params": message.params,
        "now": now,
    }
    if "from" in names:
        known["from"] = canonical(message.from_, message.channel)
    if "to" in names:
        known["to"] = message.contact_identity
    if "profile_name" in names:
        known["profile_name"] = message.profile_name
    if "button_payload" in names:
        known["button_payload"] = message.button_payload
    return known


def bucket(message: Message) -> float:
    """Return the percentile of a contact, 0 <= bucket < 100: the same for each message to an address."""
    name = conversation_id(message.account_sid, message.channel, message.to, message.from_)
    return int.from_bytes(blake2b(name.encode(), digest_size=6, person=b"percent").digest()) / 2**48 * 100
