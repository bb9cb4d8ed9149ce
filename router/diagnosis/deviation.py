"""What may have happened to a form or a key between Twilio's signature and us; `suspect_url` does the same for the URL.

A suspicion is a value that may be what Twilio signed, with the findings that are true if it was. Nothing here decides
anything: `router.diagnosis.signature` recomputes signatures over them, for people.

https://www.twilio.com/docs/usage/security
https://www.twilio.com/docs/api/errors/57012
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Final, Generic, TypeVar
from urllib.parse import parse_qsl, unquote, unquote_plus

from router.message.inbound import Raw
from router.message.signature import Algorithm, Key, keys_for
from router.settings import Account

T = TypeVar("T")
Form = Sequence[tuple[str, str]]

# Parameters that Twilio sends also when they are blank, by which they are known to be missing.
_PLACES: Final = tuple(f"{side}{part}" for side in ("To", "From") for part in ("Country", "State", "City", "Zip"))
_WRITTEN: Final = ("Body", "ProfileName", "ButtonText")
_PADDINGS: Final = (("", " "), (" ", ""), (" ", " "), ("", "  "), ("", "\n"), ("", "\r\n"))
_MISSING_MOST: Final = 3


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, if the suspicion is true.

    `cause` is a word for programs, `found` says what is wrong and `advice` what to change.
    """

    cause: str
    found: str
    advice: str


@dataclass(frozen=True, slots=True)
class Suspect(Generic[T]):
    """A value that may be what Twilio signed, and what is wrong if it was; nothing for the value as it is now."""

    value: T
    findings: tuple[Finding, ...] = ()


# -- the form ------------------------------------------------------------------------------------------------------


def forms(raw: Raw, fields: Form) -> Iterator[Suspect[Form]]:
    """List the forms that Twilio may have signed, the form that came first; only for one that came by POST."""
    yield Suspect(fields)
    yield from _encodings(raw, fields)
    yield from _blanks(fields)
    yield from _spaces(fields)
    for n, (name, _) in enumerate(fields):
        found = f"Twilio signed the form without {name[:40]!r}: something on the way added it"
        advice = "find the proxy or the test that changes the form, and let it pass the body on as it is"
        yield Suspect([*fields[:n], *fields[n + 1 :]], (Finding("field_added", found, advice),))


def _encodings(raw: Raw, fields: Form) -> Iterator[Suspect[Form]]:
    text = raw.body.decode("utf-8", "replace")
    pairs = [pair.partition("=")[::2] for pair in text.split("&") if pair]
    untouched = "let every proxy and middleware pass the body on byte for byte, and not parse it first"
    readings: tuple[tuple[str, Form], ...] = (
        ("was encoded twice on the way", [(unquote_plus(name), unquote_plus(value)) for name, value in fields]),
        ("was encoded twice on the way", [(unquote(name), unquote(value)) for name, value in fields]),
        ("was decoded on the way: + became a blank", [(unquote(name), unquote(value)) for name, value in pairs]),
        ("was decoded on the way, and a % or + in it again by us", [(name, value) for name, value in pairs]),
    )
    for how, reading in readings:
        if list(reading) != list(fields):
            yield Suspect(reading, (Finding("double_decoding", f"the form {how}", untouched),))
    if "\N{REPLACEMENT CHARACTER}" in text or any("\N{REPLACEMENT CHARACTER}" in value for _, value in fields):
        for charset in ("latin-1", "cp1252"):
            reading = parse_qsl(raw.body.decode("latin-1"), keep_blank_values=True, encoding=charset, errors="replace")
            yield Suspect(reading, (Finding("charset", f"the form came as {charset}; Twilio sends UTF-8", untouched),))


def _blanks(fields: Form) -> Iterator[Suspect[Form]]:
    names = {name for name, _ in fields}
    untouched = "let nothing on the way parse the form; where it must be, keep its blank values"
    places = [name for name in _PLACES if name not in names]
    missing = [*places, *(["Body"] if "Body" not in names else [])]
    singles = (group for most in range(1, _MISSING_MOST + 1) for group in combinations(missing, most))
    for group in dict.fromkeys([tuple(missing), tuple(places), *singles]):
        if group:
            which = ", ".join(group)
            found = f"blank values were dropped on the way: {which}"
            yield Suspect([*fields, *((name, "") for name in group)], (Finding("blank_values", found, untouched),))
    kept = [(name, value) for name, value in fields if value]
    if len(kept) < len(fields):
        found = "the form was signed without its blank values"
        advice = "whoever signs must keep them: Twilio does; a test or a proxy that signs anew may not"
        yield Suspect(kept, (Finding("blank_values", found, advice),))


def _spaces(fields: Form) -> Iterator[Suspect[Form]]:
    advice = "let nothing on the way parse the form, or trim and rewrite what is in it"
    present = [name for name in _WRITTEN if name in dict(fields)]
    for name in present:
        finding = Finding("spaces", f"white space at an end of {name} was trimmed on the way", advice)
        for before, after in _PADDINGS:
            yield Suspect([(key, before + text + after if key == name else text) for key, text in fields], (finding,))
    finding = Finding("spaces", "white space or line ends in the form were changed on the way", advice)
    changes: tuple[Form, ...] = (
        [(name, value.strip()) for name, value in fields],
        [(name, value.replace("\r\n", "\n")) for name, value in fields],
        [(name, value.replace("\r\n", "\n").replace("\n", "\r\n")) for name, value in fields],
    )
    yield from (Suspect(changed, (finding,)) for changed in changes if list(changed) != list(fields))


# -- the key -------------------------------------------------------------------------------------------------------


def keys(accounts: Iterable[Account], account_sid: str, settings_header: str | None) -> Iterator[Suspect[Key]]:
    """List keys that should not have signed and may have: wrongly chosen ones of the account, then those of others."""
    accounts = sorted(accounts, key=lambda account: account.sid != account_sid)
    for account in accounts:
        own = account.sid == account_sid
        tokens = keys_for(account.auth_tokens, (), None)
        shared = [_shared(record.id, record.secret, record.algorithm) for record in account.shared_keys]
        for key in (*tokens, *shared):
            if own:
                yield from _scheme(key, settings_header, token=key in tokens)
            else:
                found = f"{key.label} of account {account.sid} signed, and the message is of {account_sid or 'none'}"
                advice = (
                    "a subaccount's webhooks are signed with the subaccount's own token: check sid and auth_tokens of "
                    "both accounts in the settings; they may be interchanged"
                )
                yield Suspect(_named(account, key), (Finding("other_account", found, advice),))
        for api_key in account.api_keys:
            found = f"the secret of API key {api_key.sid} signed"
            advice = "Twilio never signs with an API key: whoever sends this must sign with the account's auth token"
            yield Suspect(Key(api_key.sid, api_key.secret.encode()), (Finding("api_key", found, advice),))


def _scheme(key: Key, header: str | None, *, token: bool) -> Iterator[Suspect[Key]]:
    algorithms: tuple[Algorithm, ...] = ("sha1", "sha256")
    for algorithm in algorithms:
        found = f"{key.label} signed with {algorithm.upper()}"
        found += f", and the request says {header[:120]!r}" if header else ", and the request names no shared key"
        if token:
            advice = "an auth token signs with SHA-1 and without X-Twilio-Webhooks-Signature-Settings: let the proxy "
            advice += "keep Twilio's headers, and check the signature settings of the URL's webhook rule at Twilio"
        else:
            advice = "check that X-Twilio-Webhooks-Signature-Settings reaches the router, and id and algorithm of the "
            advice += "key in [[account.shared_keys]]"
        yield Suspect(replace(key, algorithm=algorithm), (Finding("scheme_of_key", found, advice),))


def _shared(label: str, secret: str, algorithm: str) -> Key:
    return Key(label, secret.encode(), "sha256" if algorithm == "HMAC_SHA256" else "sha1")


def _named(account: Account, key: Key) -> Key:
    return replace(key, label=f"{account.sid} {key.label}")
