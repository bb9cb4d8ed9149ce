"""Masks addresses in logs, in the console, and in the output of `router doctor`; removes secrets from texts."""

from collections.abc import Iterable
from typing import Final

from router.message.channel import ALL

_PREFIXES: Final = frozenset(each.prefix for each in ALL.values() if each.prefix)
_IN_THE_MIDDLE: Final = 10  # characters; five characters of a shorter address would reveal it


def mask(address: str) -> str:
    """Mask an address: keep its channel's prefix, and of the rest at most the first three and last two characters."""
    prefix, _, rest = address.strip().partition(":")
    if prefix.lower() not in _PREFIXES:  # an unknown prefix may be personal data
        prefix, rest = "", address.strip()
    shown = f"{rest[:3]}•••{rest[-2:]}" if len(rest) >= _IN_THE_MIDDLE else f"{rest[:1]}•••"
    return f"{prefix.lower()}:{shown}" if prefix else shown


def discreet(text: str, *, secrets: Iterable[str], address: str, most: int) -> str:
    """Shorten a text from the user's own code, such as an exception's, so that logs and deliveries may show it.

    Args:
        text: the text, which is shortened to one line.
        secrets: each is replaced by `•••`.
        address: the customer's address, which is masked.
        most: the maximum length of the result.
    """
    for secret in secrets:
        text = text.replace(secret, "•••")
    return " ".join(text.replace(address, mask(address)).split())[:most]
