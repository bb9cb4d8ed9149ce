"""The variables of a Match: the table from which rules, sample values and documentation are derived."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final

from router.message.channel import CHANNELS


@dataclass(frozen=True, slots=True)
class Variable:
    """A property of a message.

    Args:
        name: its name in expressions.
        type: its type in CEL.
        help: its description for the documentation.
        samples: its values in the two sample messages: a text, and a button with media.
        content: whether it is a part of the message's content, not a circumstance.

    """

    name: str
    type: str
    help: str
    samples: tuple[Any, Any]
    content: bool = False


_NOON: Final = datetime(2026, 3, 4, 12, tzinfo=UTC)
_TABLE: Final = (
    Variable("channel", "string", f"`{'`, `'.join(CHANNELS[:-1])}` or `{CHANNELS[-1]}`", ("sms", "whatsapp")),
    Variable("body", "string", "the text of the message", ("Hello", ""), content=True),
    Variable("from", "string", "the customer's address, as `+15558675310`", ("+15558675310", "whatsapp:+15558675310")),
    Variable("to", "string", "the address that the customer wrote to", ("+15017122661", "whatsapp:+15017122661")),
    Variable("language", "string", "the detected language, as `pt-BR`; empty while it is uncertain", ("en", "")),
    Variable("country", "string", "the country of the customer's number, as `BR`; empty if unknown", ("US", "")),
    Variable("profile_name", "string", "WhatsApp: the name of the customer's profile", ("", "Ada")),
    Variable("num_media", "int", "the number of attachments", (0, 2), content=True),
    Variable("button_payload", "string", "the payload of the button that was pressed", ("", "order"), content=True),
    Variable("opt_out_type", "string", "`STOP`, `START` or `HELP` for an opt-out word", ("", "STOP"), True),
    Variable("params", "map", 'a parameter of the webhook, as `params["ButtonText"]`', ({}, {}), content=True),
    Variable("now", "timestamp", "the time at which the message came", (_NOON, _NOON)),
)
VARIABLES: Final[Mapping[str, Variable]] = MappingProxyType({each.name: each for each in _TABLE})
