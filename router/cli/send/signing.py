"""Signs a webhook with one of the account's keys, or in a way that must be refused."""

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal

import click

from router.message.signature import Key, keys_for, sign

if TYPE_CHECKING:
    from router.settings import Account

Fields = list[tuple[str, str]]
Method = Literal["POST", "GET"]

_TOKEN: Final = re.compile(r"(?:auth_token\[)?(\d{1,3})\]?")
TAMPERS: Final = {
    "body": "a parameter is added after the request was signed",
    "url": "the request is signed for another URL: https instead of http, or the other way round",
    "key": "the request is signed with a key that is not the account's",
    "scheme": "the request names a signing scheme other than the one that signed it",
    "missing": "the request has no signature",
    "account": "the request is of an account that the router does not serve",
}
"""Ways to make a request invalid; the router must refuse each of them."""

key_option = click.option(
    "--key",
    metavar="N|ID",
    help="The key that signs: the number of an auth token, from 0, or the id of a shared key. [0]",
)


@dataclass(frozen=True, slots=True)
class Signing:
    """How a webhook is signed: the key, the header that names a shared key, and one of `TAMPERS`, or ""."""

    key: Key
    header: str = ""
    tamper: str = ""

    @property
    def label(self) -> str:
        """The key and its algorithm: `auth_token[0], HMAC-SHA1`."""
        return f"{self.key.label}, HMAC-{self.key.algorithm.upper()}"

    def headers(self, public: str, form: Fields, method: Method) -> dict[str, str]:
        """Return the headers that sign a request, made invalid if `tamper` is set.

        `public` is the URL that is signed, with the parameters of a GET; those of a POST are signed too.
        """
        key, header = self.key, self.header
        if self.tamper == "missing":
            return {}
        if self.tamper == "key":
            key = replace(key, secret=b"not " + key.secret)
        if self.tamper == "scheme":
            header = "" if header else "key=webhooks_sharedkey_00000000000000000000000000,algorithm=HMAC_SHA256"
        if self.tamper == "url":
            scheme, _, rest = public.partition("://")
            public = f"{'http' if scheme == 'https' else 'https'}://{rest}"
        headers = {"X-Twilio-Signature": sign(public, form if method == "POST" else (), key)}
        return headers | {"X-Twilio-Webhooks-Signature-Settings": header} if header else headers


def signing(account: "Account", wanted: str | None, tamper: str = "") -> Signing:
    """Return how a webhook is signed: with the account's key `wanted`, by default its first auth token.

    Raises:
        BadParameter: the account has no such key.
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
