"""Why a signature did not match: it is computed again over what may have happened on the way, for people to read.

Nothing is ever accepted because of it. It costs some tens of ms at most, whatever the request: `WORK` bounds it.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote

from router.diagnosis.deviation import Finding, Form, Suspect, forms, keys
from router.diagnosis.url import Seen, urls
from router.message.inbound import Raw
from router.message.signature import Key, body_hash_matches, keys_for, names_body_hash, verify
from router.settings import Account

# Bytes signed for one diagnosis at most: some 20 ms. What a signature costs beside its bytes, and what sorting a form
# costs for each of its fields, is counted in bytes too.
WORK: Final = 6 * 1024 * 1024
_EACH: Final = 1024
_SORTED: Final = 256
# Twilio's are 28 or 44 characters, before anybody escapes them.
_SIGNATURE_MOST: Final = 200
# Bases, keys of other accounts and suspicions that are combined with one another at most.
_BASES: Final = 3
_FOREIGN: Final = 200
_COMBINED: Final = 64


@dataclass(frozen=True, slots=True)
class Refused:
    """A request whose signature did not match: all that a webhook had to go by, and what proxies said of it.

    `doubt` is why its host was not believed, "" where it was; `bases` then holds the one that the request names.
    """

    raw: Raw
    fields: Form = field(repr=False)
    bases: tuple[str, ...]
    target: str = field(repr=False)
    signature: str = field(repr=False)
    signature_settings: str | None
    seen: Seen = field(default_factory=Seen)
    doubt: str = ""

    @property
    def account_sid(self) -> str:
        """The account that the message says it is of."""
        return next((value for name, value in self.fields if name == "AccountSid"), "")


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What is wrong with a request, the surest first.

    `matched` says that the signature matches if all findings are true: then it was made with one of our keys, and the
    request is Twilio's. `url` is the URL that matched, or that should have, without its query and credentials.
    """

    matched: bool
    url: str
    findings: tuple[Finding, ...]


def diagnose(refused: Refused, accounts: Sequence[Account]) -> Diagnosis:
    """Say what would have matched, over the keys of all accounts, and what to change; the answer holds no secret."""
    base = refused.bases[0] if refused.bases else "http://unknown"
    here = _shown(base + refused.target)
    first = tuple(_evident(refused, accounts))
    if not refused.signature:
        return Diagnosis(matched=False, url=here, findings=first)
    match = _Search(refused, accounts).run() if len(refused.signature) <= _SIGNATURE_MOST else None
    if match is None:
        return Diagnosis(matched=False, url=here, findings=(*first, _UNKNOWN_KEY))
    found = tuple(dict.fromkeys((*_doubted(refused, match.value), *match.findings))) or (_SETTINGS_CHANGED,)
    return Diagnosis(matched=True, url=_shown(match.value), findings=(*found, *first))


_UNKNOWN_KEY: Final = Finding(
    "unknown_key",
    "no key in the settings matches, whatever may have happened to URL and form",
    "most likely Twilio signs with another auth token, because it was rotated: compare the account's primary token in "
    "the Console with TWILIO_AUTH_TOKEN or auth_tokens, then `router reload`, or a new start where a variable has it. "
    "If nobody changed it, the request was not Twilio's",
)


_SETTINGS_CHANGED: Final = Finding(
    "settings", "the signature matches these settings", "reload or restart the routers that run with other ones"
)


def _doubted(refused: Refused, url: str) -> Iterator[Finding]:
    """Yield that a key of ours signed for a host that is not believed; it may be the router's own, or a target's."""
    if refused.doubt:
        scheme, _, rest = _shown(url).partition("://")
        base = f"{scheme}://{rest.partition('/')[0]}"
        yield Finding(
            "host",
            f"{refused.doubt[:200]}; one of our keys signed for it",
            f"if {base} is where Twilio calls the router, set ROUTER_PUBLIC_URL to it; if it is where a flow sends "
            "messages, the request is a copy of one that the router sent there, and was rightly refused",
        )


def _evident(refused: Refused, accounts: Sequence[Account]) -> Iterator[Finding]:
    """Yield what needs no computing."""
    if not refused.signature:
        yield Finding(
            "no_signature",
            "the request has no X-Twilio-Signature",
            "a proxy dropped the header, or Twilio did not send the request",
        )
    if refused.raw.is_form and not refused.account_sid:
        yield Finding(
            "form_lost",
            f"a {refused.raw.method} without AccountSid arrived: the form was lost on the way",
            "a redirect (http to https, or to another host) makes a GET without its form of a POST: write the final "
            "URL at Twilio; or a middleware had read the body before the router did",
        )
    elif refused.raw.is_form and not any(account.sid == refused.account_sid for account in accounts):
        yield Finding(
            "unknown_account",
            f"the account {refused.account_sid[:40]!r} is not in the settings",
            "add it as [[account]] with its own auth token (a subaccount has its own), or set TWILIO_ACCOUNT_SID",
        )


class _Search:
    """One search: it ends at the first match, or when its work is done."""

    def __init__(self, refused: Refused, accounts: Sequence[Account]) -> None:
        self._refused = refused
        self._left = WORK
        self._signatures = list(_signatures(refused.signature))
        mine = next((account for account in accounts if account.sid == refused.account_sid), None)
        # A body that is not a form names no account: any of ours may have signed it.
        owners = [mine] if mine else [] if refused.raw.is_form else accounts[:_FOREIGN]
        self._keys = [
            Suspect(key)
            for owner in owners
            for key in keys_for(owner.auth_tokens, owner.shared_keys, refused.signature_settings)
        ]
        self._foreign = list(keys(accounts[:_FOREIGN], refused.account_sid, refused.signature_settings))
        self._urls = sorted(
            (each for base in refused.bases[:_BASES] for each in urls(base, refused.target, refused.seen)),
            key=lambda suspect: len(suspect.findings),
        )

    def run(self) -> Suspect[str] | None:
        """Return the URL that matched, with all that is wrong; None when nothing matches."""
        exact = [each for each in self._urls if not each.findings]
        near = self._urls[:_COMBINED]
        signed: Form = self._refused.fields if self._refused.raw.method == "POST" else ()
        form = Suspect(signed)
        every = list(forms(self._refused.raw, signed)) if signed else [form]
        return (
            self._body_hash(exact, form)
            or self._first(self._urls, [form], self._keys)
            or self._first(exact, every, self._keys)
            or self._method()
            or self._first(exact, [form], self._foreign)
            or self._first(near, every[:_COMBINED], self._keys)
            or self._first(near, [form], self._foreign[:_COMBINED])
        )

    def _body_hash(self, exact: Sequence[Suspect[str]], form: Suspect[Form]) -> Suspect[str] | None:
        """Tell a body that was changed: the signature is right, and so is the hash in the URL that it covers."""
        match = self._first(exact, [form], self._keys)
        body = self._refused.raw.body if self._refused.raw.method == "POST" else b""
        if match is None or match.findings or not names_body_hash(match.value) or body_hash_matches(match.value, body):
            return match
        found = "the signature matches, and bodySHA256 in the URL is not the hash of the body that came"
        advice = "something on the way rewrote the body (JSON written anew, line ends): let it pass byte for byte"
        return Suspect(match.value, (Finding("body_hash", found, advice),))

    def _method(self) -> Suspect[str] | None:
        """Suppose that a GET became a POST or a POST a GET, parameters included."""
        raw, found = self._refused.raw, "Twilio signed a {}, and a {} came"
        advice = "something on the way changes the method: let it pass requests on as they are, and never redirect them"
        finding = Finding("method", found.format("POST" if raw.method == "GET" else "GET", raw.method), advice)
        path = self._refused.target.partition("#")[0].partition("?")[0]
        bodiless: Form = ()
        if raw.method == "POST":
            query, form = raw.body.decode("utf-8", "replace"), Suspect(bodiless, (finding,))
            path = self._refused.target.partition("#")[0]
            path += f"{'&' if '?' in path else '?'}{query}"
        else:
            form = Suspect(self._refused.fields, (finding,))
        changed = [Suspect(base.rstrip("/") + path) for base in self._refused.bases[:_BASES]]
        return self._first(changed, [form], self._keys)

    def _first(
        self, urls_: Sequence[Suspect[str]], forms_: Iterable[Suspect[Form]], keys_: Sequence[Suspect[Key]]
    ) -> Suspect[str] | None:
        """Return the first combination whose signature is the request's."""
        share = self._left // 2  # so that a large form leaves something for the suspicions that come later
        for form in forms_:
            size = _EACH + sum(len(name) + len(value) for name, value in form.value)
            sorting = _SORTED * len(form.value)
            for given in self._signatures:
                tried = urls_[: max(0, share - sorting) // (size * max(1, len(keys_)))]
                if not tried:
                    break
                share -= (cost := sorting + len(tried) * size * len(keys_))
                self._left -= cost
                key = verify([url.value for url in tried], form.value, given.value, [each.value for each in keys_])
                if key is None:
                    continue
                url = next(url for url in tried if verify([url.value], form.value, given.value, [key]))
                whose = next(each for each in keys_ if each.value == key)
                findings = (*url.findings, *form.findings, *whose.findings, *given.findings)
                return Suspect(url.value, findings)
        return None


def _signatures(given: str) -> Iterator[Suspect[str]]:
    """List what the header may have been before somebody wrote it differently."""
    yield Suspect(given)
    found = "X-Twilio-Signature came written differently (escaped, quoted or without its padding)"
    finding = Finding("signature_header", found, "let the proxy pass Twilio's headers on as they are")
    plain = unquote(given).strip().strip('"')
    padded = plain.rstrip("=") + "=" * (-len(plain.rstrip("=")) % 4)
    for other in dict.fromkeys((padded, padded.replace(" ", "+"), padded.replace("-", "+").replace("_", "/"))):
        if other != given:
            yield Suspect(other, (finding,))


def _shown(url: str) -> str:
    """Return a URL without its query, which may hold a message, and without credentials."""
    scheme, _, rest = url.partition("?")[0].partition("#")[0].partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"[:300]
