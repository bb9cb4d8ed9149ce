"""The numbers, senders and Messaging Services that a command names."""

import re
from collections.abc import Sequence
from typing import Final

import click

from router.cli.connect.connector import Name
from router.sid import is_sid

_NUMBER: Final = re.compile(r"\+[1-9]\d{6,14}|\d{3,8}")  # E.164, or a short code
_NOT_AN_ADDRESS: Final = "not a number such as +15005550006, nor whatsapp:+… or MG…"


def names_of(addresses: Sequence[str], *, whatsapp: bool = False, services: Sequence[str] = ()) -> list[Name]:
    """Parse the numbers, senders and services to connect: +1…, whatsapp:+1…, MG….

    Raises:
        BadParameter: one of them is not valid.
    """
    found: list[Name] = []
    for address in (*addresses, *services):
        kind, bare = "number", address.strip()
        if bare.startswith("whatsapp:") or whatsapp:
            kind, bare = "sender", bare.removeprefix("whatsapp:")
        if is_sid(bare, "MG"):
            kind = "service"
        elif address in services or not _NUMBER.fullmatch(bare):
            reason = "not MG and 32 hexadecimal digits" if address in services else _NOT_AN_ADDRESS
            raise click.BadParameter(f"{address[:60]!r} is {reason}")
        found.append((kind, bare))  # type: ignore[arg-type]
    return list(dict.fromkeys(found))
