"""Redacts the parameters of webhooks: replaces the customers' addresses and masks their texts.

Only listed parameters are kept, so new parameters of Twilio are masked. An address is replaced by another one of
the same kind and length, the same on every line; the original address cannot be derived from the recording.
"""

import json
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

# Parameters without data of the customer, and those that routing needs. N is a number.
KEPT: Final = (
    "AccountSid", "MessageSid", "SmsSid", "SmsMessageSid", "MessagingServiceSid", "OriginalRepliedMessageSid", "To",
    "ToCountry", "ToState", "ToCity", "ToZip", "FromCountry", "NumMedia", "NumSegments", "ReferralNumMedia",
    "MediaContentTypeN", "ReferralMediaContentType", "ReferralSourceType", "SmsStatus", "ApiVersion", "MessageType",
    "ButtonType", "OptOutType", "ErrorCode", "Forwarded", "FrequentlyForwarded",
)  # fmt: skip
# Parameters with an address: a customer's address is replaced, ours is kept.
ADDRESSES: Final = (
    "From", "WaId", "ExternalUserId", "ExternalUserIdentifier", "ParentExternalUserId", "OriginalRepliedMessageSender",
)  # fmt: skip
_NUMBER: Final = re.compile(r"\d+$")
# The form of kept values and of names that cannot contain a person's name or number. All others are masked, such
# as the file name in `text/x-vcard; name="Zoë.vcf"` or a number that is a key in JSON.
_PLAIN: Final = re.compile(r"[A-Z]{2}[0-9a-f]{32}|(?!.*\d{5})[\w./+-]{0,64}", re.ASCII)
_URL: Final = re.compile(r"https?://", re.IGNORECASE)
# The part of an address that is kept: the first two digits of a number, the country of a WhatsApp id.
_HEAD: Final = re.compile(r"\d{2}(?=\d{6,}$)|[A-Z]{2}\.(?:ENT\.)?")
_PREFIX: Final = re.compile(r"[A-Za-z][A-Za-z0-9.+-]*:")


@dataclass(slots=True)
class Redaction:
    """Redacts one recording; `keep` are parameters that are not changed."""

    keep: Collection[str] = ()
    _known: dict[str, str] = field(default_factory=dict)
    _urls: dict[str, str] = field(default_factory=dict)

    def form(self, form: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
        """Return a webhook's parameters without the customer's data."""
        ours = next((value for name, value in form if name == "To"), "")
        return [(_named(name), self._value(name, value, ours)) for name, value in form]

    def _value(self, name: str, value: str, ours: str) -> str:
        if name in self.keep or not value:
            return value
        if _NUMBER.sub("N", name) in KEPT and (name.startswith("To") or _PLAIN.fullmatch(value)):
            return value
        if name in ADDRESSES:
            return value if value == ours else self._address(value)
        return _json(value, self._text) or self._text(value)

    def _text(self, value: str) -> str:
        if _URL.match(value):
            return self._urls.setdefault(value, f"https://redacted.example/{len(self._urls) + 1}")
        return _masked(value)

    def _address(self, address: str) -> str:
        """Return the replacement for an address: of the same channel, country and length, with a serial number."""
        prefix = _PREFIX.match(address)
        bare = address[prefix.end() :] if prefix else address
        # A WhatsApp id is the number without its +, and belongs to the same customer.
        digits = bare.removeprefix("+")
        if digits not in self._known:
            serial = str(len(self._known) + 1)
            head = _HEAD.match(digits)
            kept = digits[: head.end()] if head else ""
            self._known[digits] = kept + serial.rjust(len(digits) - len(kept), "0")
        return f"{prefix[0] if prefix else ''}{'+' if bare.startswith('+') else ''}{self._known[digits]}"


def _named(name: str) -> str:
    """Return the name of a parameter or of a key in JSON, masked if it could be a person's name or number."""
    return name if _PLAIN.fullmatch(name) else _masked(name)


def _masked(text: str) -> str:
    """Return a text of the same length and layout, with x for letters and signs, and 0 for digits."""
    return "".join(
        c if c.isspace() or (c.isascii() and not c.isalnum()) else "0" if c.isdecimal() else "X" if c.isupper() else "x"
        for c in text
    )


def _json(text: str, mask: Callable[[str], str]) -> str:
    """Return JSON, as in `ChannelMetadata`, with its texts and numbers masked; "" if it is not JSON."""
    if not text.startswith(("{", "[")):
        return ""
    try:
        return json.dumps(_walk(json.loads(text), mask), ensure_ascii=False)
    except (ValueError, RecursionError):
        return ""


def _walk(value: Any, mask: Callable[[str], str]) -> Any:
    if isinstance(value, dict):
        return {_named(name): _walk(each, mask) for name, each in value.items()}
    if isinstance(value, list):
        return [_walk(each, mask) for each in value]
    if isinstance(value, str):
        return mask(value)
    return value if isinstance(value, bool) or value is None else 0
