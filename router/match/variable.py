"""The variables of a Match: the one table from which rules, sample values and documentation are derived."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final

from router.message.channel import CHANNELS


@dataclass(frozen=True, slots=True)
class Variable:
    """Something known of a message.

    Args:
        name: what expressions call it.
        type: its type in CEL.
        help: what it holds, for the documentation.
        samples: its values in the messages that an expression is tried on: a text, and a button with media.
        content: whether it is something the customer said, and not a circumstance.

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
    Variable("language", "string", "the language decided on, as `pt-BR`; empty while none is sure", ("en", "")),
    Variable("country", "string", "the country of the customer's number, as `BR`; empty where unknown", ("US", "")),
    Variable("profile_name", "string", "WhatsApp: the name that the customer goes by", ("", "Ada")),
    Variable("num_media", "int", "how many attachments it has", (0, 2), content=True),
    Variable("button_payload", "string", "the payload of the button that was pressed", ("", "order"), content=True),
    Variable("opt_out_type", "string", "`STOP`, `START` or `HELP` for an opt-out word", ("", "STOP"), True),
    Variable("params", "map", 'a parameter of the webhook, as `params["ButtonText"]`', ({}, {}), content=True),
    Variable("now", "timestamp", "when the message came", (_NOON, _NOON)),
)
VARIABLES: Final[Mapping[str, Variable]] = MappingProxyType({each.name: each for each in _TABLE})
