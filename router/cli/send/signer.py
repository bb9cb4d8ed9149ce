"""The keys of an account, as a person names them: `0` for the first auth token, or a shared key's id."""

import re
from typing import Final

import click

from router.cli.send.call import Signing
from router.message.signature import Key, keys_for
from router.settings import Account

_TOKEN: Final = re.compile(r"(?:auth_token\[)?(\d{1,3})\]?")

key_option = click.option(
    "--key",
    metavar="N|ID",
    help="What signs: an auth token's place, as 1 for the second, or a shared key's id. [the first auth token]",
)


def signing(account: Account, wanted: str | None, tamper: str = "") -> Signing:
    """Return how a webhook of the account is signed.

    Args:
        account: one of ours.
        wanted: which of its keys, None for the first auth token.
        tamper: how it is broken, one of `router.cli.send.call.TAMPERS`, or "".

    Raises:
        BadParameter: the account has no such key; the sentence lists those it has, by name.
    """
    tokens = keys_for(account.auth_tokens, (), None)
    token = _TOKEN.fullmatch(wanted or "0")
    if token and int(token[1]) < len(tokens):
        return Signing(tokens[int(token[1])], tamper=tamper)
    for shared in account.shared_keys:
        if shared.id == wanted:
            header = f"key={shared.id},algorithm={shared.algorithm}"
            [key] = keys_for((), account.shared_keys, header)
            return Signing(key, header, tamper)
    known = [*(f"{n} ({key.label})" for n, key in enumerate(tokens)), *(shared.id for shared in account.shared_keys)]
    raise click.BadParameter(f"{account.sid} has no such key; it has: {', '.join(known)}", param_hint="--key")


def label(how: Signing) -> str:
    """Say what signs, and by which scheme: `auth_token[0], HMAC-SHA1`."""
    key: Key = how.key
    return f"{key.label}, HMAC-{key.algorithm.upper()}"
