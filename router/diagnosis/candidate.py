"""The table of the deviations that are tested when a signature does not match, with a limit for each.

A candidate is one signature to compute. There are at most `STEPS` candidates for any request and settings.
Each row assumes one deviation. The last two rows assume two deviations: a wrong public base URL is the most frequent
mistake, and it would hide a second one.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import Final

from router.diagnosis import url as deviation_url
from router.diagnosis.deviation import (
    Deviation,
    Finding,
    Form,
    added,
    api_keys,
    blanks,
    encodings,
    foreign,
    schemes,
    signatures,
    spaces,
)
from router.diagnosis.refused import Refused
from router.message.owner import owners
from router.message.signature import Key, body_hash_matches, keys_for, names_body_hash, signed_form
from router.settings import Account

# The maximum number of other accounts whose keys are tested, and of keys of each of the request's own accounts.
_FOREIGN: Final = 200
_KEYS: Final = 4
# The maximum number of other URLs, forms and keys in the rows that assume two deviations.
_NEAR_BASES: Final = 48
_NEAR_FORMS: Final = 24
_NEAR_KEYS: Final = 16


@dataclass(frozen=True, slots=True)
class Candidate:
    """One signature to compute: what Twilio may have signed, and what is wrong if it did."""

    url: str
    form: bytes
    signature: str
    key: Key
    findings: tuple[Finding, ...]


class Case:
    """One refused request, with the keys that may have signed it; it converts deviations to candidates."""

    def __init__(self, refused: Refused, accounts: Mapping[str, Account]) -> None:
        self.refused = refused
        self.accounts = accounts
        self.fields = refused.fields()
        self.account_sid = next((value for name, value in self.fields if name == "AccountSid"), "")
        self.owners = owners(refused.raw, self.fields, refused.target, accounts)
        self.keys = [
            key
            for owner in self.owners
            for key in keys_for(owner.auth_tokens, owner.shared_keys, refused.signature_settings)[:_KEYS]
        ]
        # A GET's parameters are signed as part of its URL.
        self.signed: Form = self.fields if refused.method == "POST" else ()
        self.form = signed_form(self.signed)
        self.here = [Deviation(url) for base in refused.bases for url in deviation_url.exact(base, refused.target)]

    def urls(self, deviations: Iterable[Deviation[str]]) -> Iterator[Candidate]:
        """Assume other URLs."""
        for each in deviations:
            for key in self.keys:
                yield Candidate(each.value, self.form, self.refused.signature, key, each.findings)

    def forms(self, deviations: Iterable[Deviation[Form]], urls: Sequence[Deviation[str]] = ()) -> Iterator[Candidate]:
        """Assume other forms, with the request's URLs or other URLs; a GET has no signed form."""
        for each in deviations if self.signed else ():
            form = signed_form(each.value)
            for url in urls or self.here:
                for key in self.keys:
                    yield Candidate(url.value, form, self.refused.signature, key, (*url.findings, *each.findings))

    def others(self, deviations: Iterable[Deviation[Key]], urls: Sequence[Deviation[str]] = ()) -> Iterator[Candidate]:
        """Assume other keys, with the request's URLs or other URLs."""
        for each in deviations:
            for url in urls or self.here:
                findings = (*url.findings, *each.findings)
                yield Candidate(url.value, self.form, self.refused.signature, each.value, findings)

    def headers(self, deviations: Iterable[Deviation[str]]) -> Iterator[Candidate]:
        """Assume that the signature was written differently."""
        for each in deviations:
            for url in self.here:
                for key in self.keys:
                    yield Candidate(url.value, self.form, each.value, key, each.findings)

    def bases(self) -> Iterator[Deviation[str]]:
        """Yield the URLs with other public bases, which are also combined with other deviations."""
        for base in self.refused.bases:
            yield from deviation_url.origins(base, self.refused.target, self.refused.seen)


def _unchanged(case: Case) -> Iterator[Candidate]:
    """Assume that URL and form are unchanged; a body of which only the hash is signed may have been changed."""
    refused = case.refused
    body = refused.body if refused.method == "POST" else b""
    findings: tuple[Finding, ...] = ()
    if names_body_hash(refused.target) and not body_hash_matches(refused.target, body):
        found = "the signature matches, but bodySHA256 in the URL is not the hash of the received body"
        advice = "a proxy changed the body (JSON serialized again, line ends): let it pass on the body byte for byte"
        findings = (Finding("body_hash", found, advice),)
    yield from case.urls(replace(url, findings=findings) for url in case.here)


def _method(case: Case) -> Iterator[Candidate]:
    """Assume that a GET became a POST or a POST a GET, with its parameters."""
    refused = case.refused
    was = "POST" if refused.method == "GET" else "GET"
    advice = "a proxy changes the method: let it pass on requests unchanged, and never redirect them"
    finding = Finding("method", f"Twilio signed a {was}, but a {refused.method} was received", advice)
    target = refused.target.partition("#")[0]
    if refused.method == "POST":
        target += f"{'&' if '?' in target else '?'}{refused.body.decode('latin-1')}"
        form = b""
    else:
        target = target.partition("?")[0]
        form = signed_form(case.fields)
    for base in refused.bases:
        for url in deviation_url.exact(base, target):
            for key in case.keys:
                yield Candidate(url, form, refused.signature, key, (finding,))


def _at_each_base(
    what: Callable[[str, str], Iterator[Deviation[str]]],
) -> Callable[[Case], Iterator[Candidate]]:
    return lambda case: case.urls(chain.from_iterable(what(base, case.refused.target) for base in case.refused.bases))


def _prefixes(case: Case) -> Iterator[Candidate]:
    refused = case.refused
    found = (deviation_url.prefixes(base, refused.target, refused.seen) for base in refused.bases)
    return case.urls(chain.from_iterable(found))


def _foreign(case: Case) -> Iterator[Candidate]:
    return case.others(foreign(islice(case.accounts.values(), _FOREIGN), case.account_sid))


def _own(case: Case) -> Iterator[Deviation[Key]]:
    for owner in case.owners:
        yield from schemes(owner, case.refused.signature_settings)
        yield from api_keys(owner)


def _base_and_form(case: Case) -> Iterator[Candidate]:
    usual = chain(encodings(case.refused.raw, case.fields), islice(blanks(case.fields), 2), spaces(case.fields))
    return case.forms(islice(usual, _NEAR_FORMS), [*islice(case.bases(), _NEAR_BASES)])


def _base_and_key(case: Case) -> Iterator[Candidate]:
    others = foreign(islice(case.accounts.values(), _FOREIGN), case.account_sid)
    return case.others(islice(chain(_own(case), others), _NEAR_KEYS), [*islice(case.bases(), _NEAR_BASES)])


# The name of each deviation, its maximum number of signatures, and its candidates; the most likely come first.
TABLE: Final[tuple[tuple[str, int, Callable[[Case], Iterator[Candidate]]], ...]] = (
    ("nothing, or a body whose hash is in the URL", 24, _unchanged),
    ("another scheme, host or port", 800, lambda case: case.urls(case.bases())),
    ("another path before the path", 400, _prefixes),
    ("a slash at the path's end", 24, _at_each_base(deviation_url.slashes)),
    ("other escapes", 200, _at_each_base(deviation_url.escapes)),
    ("another query", 400, _at_each_base(deviation_url.queries)),
    (
        "a form decoded twice, or in another charset",
        100,
        lambda case: case.forms(encodings(case.refused.raw, case.fields)),
    ),
    ("blank values", 800, lambda case: case.forms(blanks(case.fields))),
    ("white space", 200, lambda case: case.forms(spaces(case.fields))),
    ("a field added", 1000, lambda case: case.forms(added(case.fields))),
    ("the signature's header written differently", 100, lambda case: case.headers(signatures(case.refused.signature))),
    ("another method", 24, _method),
    ("another of the account's keys, or another digest", 200, lambda case: case.others(_own(case))),
    ("another account's key", 1000, _foreign),
    ("another scheme, host or port, and the form", 1600, _base_and_form),
    ("another scheme, host or port, and the key", 1600, _base_and_key),
)
STEPS: Final = sum(most for _, most, _ in TABLE)
