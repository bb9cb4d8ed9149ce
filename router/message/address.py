"""Addresses: their channel, and their canonical form.

https://www.twilio.com/docs/messaging/guides/webhook-request
"""

import re
from functools import lru_cache
from typing import Final

from router.message.channel import ALL, WEB
from router.sid import is_sid

_PREFIXES: Final = {name: each.prefix for name, each in ALL.items() if each.prefix}
_CHANNEL_OF_PREFIX: Final = {prefix: channel for channel, prefix in _PREFIXES.items()}
_PREFIXED = re.compile(r"([A-Za-z][A-Za-z0-9.+-]*):(.*)", re.DOTALL)  # the scheme of a URI, RFC 3986 section 3.1
_WRITTEN_NUMBER = re.compile(r"\+?[0-9][0-9 ().\-]*")
_PUNCTUATION = str.maketrans("", "", " ().-")
_WHATSAPP_ID = re.compile(r"[0-9]+")
_LONG_NUMBER = re.compile(r"[1-9][0-9]{8,14}")


def channel_of(address: str) -> str:
    """Return the channel by an address's prefix: SMS without a prefix, `custom` for an unknown one."""
    if ":" not in address:
        return "sms"
    prefixed = _PREFIXED.fullmatch(address.strip())
    return _CHANNEL_OF_PREFIX.get(prefixed[1].lower(), "custom") if prefixed else "sms"


@lru_cache(maxsize=16_384)
def canonical(address: str, channel: str) -> str:
    """Return an address in its canonical form, the key of flows and conversations.

    It is trimmed, its prefix is in lower case, and a bare address gets the prefix of its channel. The punctuation of a
    telephone number is removed, and a `+` added: always on WhatsApp, whose ids are numbers without it; on SMS for 9 to
    15 digits, because a number of 3 to 8 digits is a short code. Other letters keep their case. `*` (every address) and
    a Messaging Service's SID stay, and `whatsapp:*` is `*` on WhatsApp. An address with the prefix of another channel
    keeps it, except on web, where any text may be an address.
    """
    address = address.strip()
    if address == "*" or is_sid(address, "MG"):
        return address
    prefixed = _PREFIXED.fullmatch(address)
    if prefixed and channel == WEB and prefixed[1].lower() != WEB:
        prefixed = None
    prefix, rest = (prefixed[1].lower(), prefixed[2].strip()) if prefixed else (_PREFIXES.get(channel, ""), address)
    if rest == "*" and prefix == _PREFIXES.get(channel):  # with another channel's prefix it matches no message
        return rest
    if prefix == "whatsapp":
        rest = _number(rest, _WHATSAPP_ID)
    elif (not prefix and channel == "sms") or (
        prefix == "rcs" and rest.startswith("+")
    ):  # rcs: without a `+` it may be an agent's id
        rest = _number(rest, _LONG_NUMBER)
    return f"{prefix}:{rest}" if prefix and rest else rest


def _number(text: str, without_plus: re.Pattern[str]) -> str:
    if not _WRITTEN_NUMBER.fullmatch(text):
        return text
    number = text.translate(_PUNCTUATION)
    return f"+{number}" if without_plus.fullmatch(number) else number
