"""Why a signature did not match: it is computed again over what may have happened on the way, for people to read.

It is done when the doctor is asked, over the record of a refused request, and never while a request waits. Nothing is
ever accepted because of it. Its work is bounded by `router.diagnosis.candidate.STEPS` signatures.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Final

from router.diagnosis.candidate import TABLE, Case
from router.diagnosis.deviation import Finding
from router.diagnosis.refused import Refused
from router.message.channel import ANY, WEBHOOKS
from router.message.signature import matches
from router.settings import Account

_MISSED: Final = 404
_WEBHOOK: Final = re.compile(rf"(?P<prefix>/.+)/webhooks/(?:{'|'.join((*WEBHOOKS, ANY))})/?")


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What is wrong with a request, the surest first.

    `matched` says that the signature matches if all findings are true: then it was made with one of our keys, and the
    request is Twilio's. `url` is the URL that matched, or that should have, without its query and credentials. `steps`
    is how many signatures were computed.
    """

    matched: bool
    url: str
    findings: tuple[Finding, ...]
    steps: int = 0


def diagnose(refused: Refused, accounts: Mapping[str, Account]) -> Diagnosis:
    """Say what would have matched, over the keys of all accounts, and what to change; the answer holds no secret."""
    case = Case(refused, accounts)
    here = shown((refused.bases[0] if refused.bases else "http://unknown") + refused.target)
    evident = tuple(_evident(case))
    if not refused.signature:
        return Diagnosis(matched=False, url=here, findings=evident)
    if not refused.whole:
        return Diagnosis(matched=False, url=here, findings=(*evident, _TOO_LONG))
    steps = 0
    for _, most, candidates in TABLE:
        for candidate in islice(candidates(case), most):
            steps += 1
            given = candidate.signature.encode("utf-8", "surrogateescape")
            if matches(candidate.url, candidate.form, given, candidate.key):
                missed = refused.status == _MISSED
                wrong = (*_doubted(refused, candidate.url), *candidate.findings)
                found = (*evident, *wrong) if missed else (*wrong, *evident)
                return Diagnosis(True, shown(candidate.url), _once(found) or (_SETTINGS,), steps)
    return Diagnosis(matched=False, url=here, findings=(*evident, _UNKNOWN_KEY), steps=steps)


_UNKNOWN_KEY: Final = Finding(
    "unknown_key",
    "no key in the settings made this signature, neither over what came nor over any change of it that is known here",
    "most likely Twilio signs with another auth token, because it was rotated: compare the account's primary token in "
    "the Console with TWILIO_AUTH_TOKEN or auth_tokens, then `router reload`, or a new start where a variable has it. "
    "If the token is right, the request was not Twilio's",
)
_SETTINGS: Final = Finding(
    "settings",
    "the signature matches the settings as they are now",
    "reload or restart the routers that run with other settings",
)
_TOO_LONG: Final = Finding(
    "too_long",
    "the request is longer than what is kept of a refused one, so its signature cannot be computed again",
    "send a short message to the same address, and ask the doctor again",
)


def _doubted(refused: Refused, url: str) -> Iterator[Finding]:
    """Yield that a key of ours signed for a host that is not believed; it may be the router's own, or a target's."""
    if refused.doubt:
        scheme, _, rest = shown(url).partition("://")
        base = f"{scheme}://{rest.partition('/')[0]}"
        yield Finding(
            "host",
            f"{refused.doubt[:200]}; one of our keys signed for it",
            f"if {base} is where Twilio calls the router, set ROUTER_PUBLIC_URL to it; if it is where a flow sends "
            "messages, the request is a copy of one that the router sent there, and was rightly refused",
        )


def _evident(case: Case) -> Iterator[Finding]:
    """Yield what needs no computing."""
    refused = case.refused
    if refused.status == _MISSED:
        yield _missed(refused)
    if not refused.signature:
        yield Finding(
            "no_signature",
            "the request has no X-Twilio-Signature",
            "a proxy dropped the header, or Twilio did not send the request",
        )
    if refused.raw.is_form and not case.account_sid:
        yield Finding(
            "form_lost",
            f"a {refused.method} without AccountSid arrived: the form was lost on the way",
            "a redirect (http to https, or to another host) makes a GET without its form of a POST: write the final "
            "URL at Twilio; or a middleware had read the body before the router did",
        )
    elif refused.raw.is_form and case.account_sid not in case.accounts:
        yield Finding(
            "unknown_account",
            f"the account {case.account_sid[:40]!r} is not in the settings",
            "add it as [[account]] with its own auth token (a subaccount has its own), or set TWILIO_ACCOUNT_SID",
        )


def _missed(refused: Refused) -> Finding:
    """Say what is wrong with a path that is no webhook's."""
    path = refused.target.partition("#")[0].partition("?")[0][:200]
    if match := _WEBHOOK.fullmatch(path):
        prefix = match["prefix"]
        base = shown(refused.bases[0]) if refused.bases else "https://…"
        return Finding(
            "path_prefix",
            f"the request came to {path}, and the router's webhooks are at /webhooks/… without {prefix} in front",
            f"let the proxy take {prefix} away and set ROUTER_PUBLIC_URL to the base that ends in {prefix}, as "
            f"it is at Twilio; or write the webhook at Twilio as {base}{path.removeprefix(prefix)}",
        )
    names = ", ".join((*WEBHOOKS, ANY))
    return Finding(
        "path",
        f"the router has no webhook at {path}",
        f"write the webhook at Twilio with one of the paths /webhooks/<channel>; the channel is one of {names}",
    )


def _once(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return one finding of each cause."""
    first: dict[str, Finding] = {}
    for finding in findings:
        first.setdefault(finding.cause, finding)
    return tuple(first.values())


def shown(url: str) -> str:
    """Return a URL without its query, which may hold a message, and without credentials."""
    scheme, _, rest = url.partition("?")[0].partition("#")[0].partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"[:300]
