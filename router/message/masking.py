"""Masks addresses in logs, in the console, and in the output of `router doctor`; removes secrets from texts."""

from collections.abc import Iterable
from typing import Final

from router.message.channel import ALL

_PREFIXES: Final = frozenset(each.prefix for each in ALL.values() if each.prefix)
_IN_THE_MIDDLE: Final = 10  # characters; five characters of a shorter address would reveal it


def mask(address: str) -> str:
    """Mask an address: its channel's prefix, and of the rest at most three characters and the last two."""
    prefix, _, rest = address.strip().partition(":")
    if prefix.lower() not in _PREFIXES:  # an unknown prefix may be personal data
        prefix, rest = "", address.strip()
    shown = f"{rest[:3]}•••{rest[-2:]}" if len(rest) >= _IN_THE_MIDDLE else f"{rest[:1]}•••"
    return f"{prefix.lower()}:{shown}" if prefix else shown


def discreet(text: str, *, secrets: Iterable[str], address: str, most: int) -> str:
    """Shorten a text of the user's own code, as of an exception, so that logs and deliveries may show it.

    Args:
        text: what is shortened to one line.
        secrets: each is replaced by `•••`.
        address: a customer's, which is masked.
        most: characters that are kept.
    """
    for secret in secrets:
        text = text.replace(secret, "•••")
    return " ".join(text.replace(address, mask(address)).split())[:most]
