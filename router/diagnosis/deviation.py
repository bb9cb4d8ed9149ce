"""Deviations of the form, the signature and the key between Twilio and the router; those of the URL are in `url`.

A deviation is a value that Twilio may have signed instead of the received value, with what is wrong if it did.
`router.diagnosis.signature` computes the signatures. The deviations are yielded one at a time.

https://www.twilio.com/docs/usage/security
https://www.twilio.com/docs/api/errors/57012
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Final, Generic, TypeVar
from urllib.parse import parse_qsl, unquote, unquote_plus

from router.message.raw import Raw
from router.message.signature import Algorithm, Key, keys_for
from router.settings import Account

T = TypeVar("T")
Form = Sequence[tuple[str, str]]

# Parameters that Twilio sends even if they are empty: if one is missing, it was dropped.
_PLACES: Final = tuple(f"{side}{part}" for side in ("To", "From") for part in ("Country", "State", "City", "Zip"))
_WRITTEN: Final = ("Body", "ProfileName", "ButtonText")
_PADDINGS: Final = (("", " "), (" ", ""), (" ", " "), ("", "  "), ("", "\n"), ("", "\r\n"))
_MISSING_MOST: Final = 3


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong, if this deviation happened.

    `cause` is a code for programs, `found` describes what is wrong, and `advice` what to change.
    """

    cause: str
    found: str
    advice: str


@dataclass(frozen=True, slots=True)
class Deviation(Generic[T]):
    """A value that Twilio may have signed, and what is wrong if it did; the received value has no findings."""

    value: T
    findings: tuple[Finding, ...] = ()


# -- the form ------------------------------------------------------------------------------------------------------


def encodings(raw: Raw, fields: Form) -> Iterator[Deviation[Form]]:
    """Undo the wrong decodings by which a program between Twilio and the router may have changed a POST."""
    text = raw.body.decode("utf-8", "replace")
    pairs = [pair.partition("=")[::2] for pair in text.split("&") if pair]
    untouched = "let every proxy and middleware pass on the body byte for byte, without parsing it"
    readings: tuple[tuple[str, Form], ...] = (
        ("was encoded twice on the way", [(unquote_plus(name), unquote_plus(value)) for name, value in fields]),
        ("was encoded twice on the way", [(unquote(name), unquote(value)) for name, value in fields]),
        ("was decoded on the way: + became a blank", [(unquote(name), unquote(value)) for name, value in pairs]),
        ("was decoded on the way, and the router decoded a % or + in it again", pairs),
    )
    for how, reading in readings:
        if list(reading) != list(fields):
            yield Deviation(reading, (Finding("double_decoding", f"the form {how}", untouched),))
    if "\N{REPLACEMENT CHARACTER}" in text or any("\N{REPLACEMENT CHARACTER}" in value for _, value in fields):
        for charset in ("latin-1", "cp1252"):
            reading = parse_qsl(raw.body.decode("latin-1"), keep_blank_values=True, encoding=charset, errors="replace")
            yield Deviation(
                reading, (Finding("charset", f"the form was received as {charset}; Twilio sends UTF-8", untouched),)
            )


def blanks(fields: Form) -> Iterator[Deviation[Form]]:
    """Add all or some of the blank values that Twilio sends and that are missing; or remove all blank values."""
    names = {name for name, _ in fields}
    untouched = "do not let a proxy parse the form; if it must, let it keep blank values"
    places = [name for name in _PLACES if name not in names]
    missing = [*places, *(["Body"] if "Body" not in names else [])]
    few = (group for most in range(1, _MISSING_MOST + 1) for group in combinations(missing, most))
    for group in dict.fromkeys([tuple(missing), tuple(places), *few]):
        if group:
            found = f"blank values were dropped on the way: {', '.join(group)}"
            yield Deviation([*fields, *((name, "") for name in group)], (Finding("blank_values", found, untouched),))
    kept = [(name, value) for name, value in fields if value]
    if len(kept) < len(fields):
        found = "the form was signed without its blank values"
        advice = "Twilio signs blank values too: let the test or proxy that signs this request include them"
        yield Deviation(kept, (Finding("blank_values", found, advice),))


def spaces(fields: Form) -> Iterator[Deviation[Form]]:
    """Add white space to the customer's texts, or remove it, and change line ends."""
    advice = "do not let a proxy parse the form, or trim and rewrite its values"
    present = [name for name in _WRITTEN if name in dict(fields)]
    for name in present:
        finding = Finding("spaces", f"white space at an end of {name} was trimmed on the way", advice)
        for before, after in _PADDINGS:
            yield Deviation([(key, before + text + after if key == name else text) for key, text in fields], (finding,))
    finding = Finding("spaces", "white space or line ends in the form were changed on the way", advice)
    changes: tuple[Form, ...] = (
        [(name, value.strip()) for name, value in fields],
        [(name, value.replace("\r\n", "\n")) for name, value in fields],
        [(name, value.replace("\r\n", "\n").replace("\n", "\r\n")) for name, value in fields],
    )
    yield from (Deviation(changed, (finding,)) for changed in changes if list(changed) != list(fields))


def added(fields: Form) -> Iterator[Deviation[Form]]:
    """Leave out each field in turn."""
    advice = "find the proxy or the test that changes the form, and let it pass on the body unchanged"
    for n, (name, _) in enumerate(fields):
        found = f"Twilio signed the form without {name[:40]!r}: a program between Twilio and the router added it"
        yield Deviation([*fields[:n], *fields[n + 1 :]], (Finding("field_added", found, advice),))


# -- the signature's header ----------------------------------------------------------------------------------------


def signatures(received: str) -> Iterator[Deviation[str]]:
    """List the values that X-Twilio-Signature may have had before a proxy changed it."""
    found = "X-Twilio-Signature was written differently (escaped, quoted or without its padding)"
    finding = Finding("signature_header", found, "let the proxy pass on Twilio's headers unchanged")
    plain = unquote(received).strip().strip('"')
    padded = plain.rstrip("=") + "=" * (-len(plain.rstrip("=")) % 4)
    for other in dict.fromkeys((padded, padded.replace(" ", "+"), padded.replace("-", "+").replace("_", "/"))):
        if other != received:
            yield Deviation(other, (finding,))


# -- the key -------------------------------------------------------------------------------------------------------


def schemes(account: Account, header: str) -> Iterator[Deviation[Key]]:
    """List the account's own keys with the digests that the request's headers exclude."""
    algorithms: tuple[Algorithm, ...] = ("sha1", "sha256")
    tokens = keys_for(account.auth_tokens, (), None)
    for key in (*tokens, *_shared(account)):
        for algorithm in algorithms:
            found = f"{key.label} signed with {algorithm.upper()}"
            found += f", but the request says {header[:120]!r}" if header else ", but the request names no shared key"
            if key in tokens:
                advice = "an auth token signs with SHA-1 and without X-Twilio-Webhooks-Signature-Settings: let the "
                advice += "proxy keep Twilio's headers, and check the signature settings of the URL's webhook rule"
            else:
                advice = "check that X-Twilio-Webhooks-Signature-Settings reaches the router, and id and algorithm of "
                advice += "the key in [[account.shared_keys]]"
            yield Deviation(replace(key, algorithm=algorithm), (Finding("scheme_of_key", found, advice),))


def api_keys(account: Account) -> Iterator[Deviation[Key]]:
    """List the secrets of an account's API keys; Twilio never signs with them."""
    for api_key in account.api_keys:
        found = f"the secret of API key {api_key.sid} signed"
        advice = (
            "Twilio never signs with an API key: let the program that sends this sign with the account's auth token"
        )
        yield Deviation(Key(api_key.sid, api_key.secret.encode()), (Finding("api_key", found, advice),))


def foreign(accounts: Iterable[Account], account_sid: str) -> Iterator[Deviation[Key]]:
    """List the keys of the other accounts in the settings."""
    advice = (
        "a subaccount's webhooks are signed with the subaccount's own token: check sid and auth_tokens of both "
        "accounts in the settings; they may be interchanged"
    )
    owner = account_sid[:40] if account_sid.isprintable() else "another account"
    for account in accounts:
        if account.sid == account_sid:
            continue
        for key in (*keys_for(account.auth_tokens, (), None), *_shared(account)):
            found = f"{key.label} of account {account.sid} signed, but the message is of {owner or 'no account'}"
            yield Deviation(key, (Finding("other_account", found, advice),))
        yield from api_keys(account)


def _shared(account: Account) -> tuple[Key, ...]:
    return tuple(
        Key(each.id, each.secret.encode(), "sha256" if each.algorithm == "HMAC_SHA256" else "sha1")
        for each in account.shared_keys
    )
