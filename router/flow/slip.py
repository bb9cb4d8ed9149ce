"""Finds typing errors in valid flows: an address that is not a telephone number, a word instead of a language tag."""

import re
from typing import Final

from router.flow.flex_flow import FlexFlow
from router.language.tag import meant
from router.message.channel import ALL
from router.sid import is_sid

# Letters that look like digits.
_LOOK_ALIKE: Final = str.maketrans("OoIl|", "00111")
_NUMBER: Final = re.compile(r"\+[1-9]\d{6,14}")  # E.164: 15 digits at most
_SHORT_CODE: Final = re.compile(r"\d{3,8}")
_PREFIXES: Final = {name: f"{each.prefix}:".lstrip(":") for name, each in ALL.items() if each.telephone}


def address_slip(flow: FlexFlow) -> str:
    """Return why a flow's address cannot receive a message, with a suggestion; "" if the address is valid."""
    prefix, address = _PREFIXES.get(flow.channel_type), flow.contact_identity
    if prefix is None or address == "*" or is_sid(address, "MG"):
        return ""
    number = address.removeprefix(prefix)
    if _is_number(number, flow.channel_type):
        return ""
    guess = number.translate(_LOOK_ALIKE)
    hint = f"; did you mean {prefix}{guess}?" if _is_number(guess, flow.channel_type) else ""
    letters = "".join(dict.fromkeys(each for each in number if each.isalpha()))
    why = f"with the letter{'s' * (len(letters) > 1)} {', '.join(letters)}, " if letters else ""
    return f"has the address {address}, {why}which is not a telephone number{hint}"


def _is_number(text: str, channel_type: str) -> bool:
    return bool(_NUMBER.fullmatch(text) or (channel_type == "sms" and _SHORT_CODE.fullmatch(text)))


def language_slips(flow: FlexFlow) -> dict[str, str]:
    """Return the flow's languages that are written as a name or a longer code, each with the right tag."""
    return {tag: wanted for tag in flow.language if (wanted := meant(tag))}
