"""Finds out why a signature did not match: computes signatures for the changes that may have happened on the way.

`router doctor` does this with the record of a refused request, never while a request waits. No request is accepted
because of it. It computes at most `router.diagnosis.candidate.STEPS` signatures.
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
    """What is wrong with a request, the most certain finding first.

    `matched` is whether the signature matches if all findings are true: then one of our keys signed the request. `url`
    is the URL that matched or should have matched, without its query and credentials. `steps` is the number of
    computed signatures.
    """

    matched: bool
    url: str
    findings: tuple[Finding, ...]
    steps: int = 0


def diagnose(refused: Refused, accounts: Mapping[str, Account]) -> Diagnosis:
    """Find the deviation with which the signature matches, for the keys of all accounts; the result has no secrets."""
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
            signature = candidate.signature.encode("utf-8", "surrogateescape")
            if matches(candidate.url, candidate.form, signature, candidate.key):
                missed = refused.status == _MISSED
                wrong = (*_doubted(refused, candidate.url), *candidate.findings)
                found = (*evident, *wrong) if missed else (*wrong, *evident)
                return Diagnosis(True, shown(candidate.url), _once(found) or (_SETTINGS,), steps)
    return Diagnosis(matched=False, url=here, findings=(*evident, _UNKNOWN_KEY), steps=steps)


_UNKNOWN_KEY: Final = Finding(
    "unknown_key",
    "no key in the settings made this signature, neither for the request as it was received nor for a known change",
    "most likely Twilio signs with another auth token, because it was rotated: compare the account's primary token in "
    "the Console with TWILIO_AUTH_TOKEN or auth_tokens, and correct it, then `router reload` (restart the router "
    "if the token is in a variable). If the token is right, the request was not from Twilio",
)
_SETTINGS: Final = Finding(
    "settings",
    "the signature matches the current settings",
    "reload or restart the routers that run with other settings",
)
_TOO_LONG: Final = Finding(
    "too_long",
    "the request is too long: only a part of it was kept, so its signature cannot be checked",
    "send a short message to the same address, and run `router doctor` again",
)


def _doubted(refused: Refused, url: str) -> Iterator[Finding]:
    """Yield a finding if one of our keys signed for a host that is not accepted: the router's own, or a target's."""
    if refused.doubt:
        scheme, _, rest = shown(url).partition("://")
        base = f"{scheme}://{rest.partition('/')[0]}"
        yield Finding(
            "host",
            f"{refused.doubt[:200]}; one of our keys signed for it",
            f"if Twilio calls the router at {base}, set ROUTER_PUBLIC_URL to it; if a flow sends messages to it, the "
            "request is a copy of one that the router sent there, and was rightly refused",
        )


def _evident(case: Case) -> Iterator[Finding]:
    """Yield the findings that need no signature."""
    refused = case.refused
    if refused.status == _MISSED:
        yield _missed(refused)
    if not refused.signature:
        yield Finding(
            "no_signature",
            "the request has no X-Twilio-Signature",
            "a proxy removed the header, or Twilio did not send the request",
        )
    if refused.raw.is_form and not case.account_sid:
        yield Finding(
            "form_lost",
            f"a {refused.method} without AccountSid was received: the form was lost on the way",
            "a redirect (http to https, or to another host) turns a POST into a GET without its form: set the final "
            "URL at Twilio; or a middleware has read the body before the router",
        )
    elif refused.raw.is_form and case.account_sid not in case.accounts:
        yield Finding(
            "unknown_account",
            f"the account {case.account_sid[:40]!r} is not in the settings",
            "add it as [[account]] with its own auth token (a subaccount has its own), or set TWILIO_ACCOUNT_SID",
        )


def _missed(refused: Refused) -> Finding:
    """Return the finding for a path that is not a webhook."""
    path = refused.target.partition("#")[0].partition("?")[0][:200]
    if match := _WEBHOOK.fullmatch(path):
        prefix = match["prefix"]
        base = shown(refused.bases[0]) if refused.bases else "https://…"
        return Finding(
            "path_prefix",
            f"the request was sent to {path}, but the router's webhooks are at /webhooks/… without {prefix} in front",
            f"let the proxy remove {prefix}, and set ROUTER_PUBLIC_URL to the base that ends in {prefix}, as it is set "
            f"at Twilio; or set the webhook at Twilio to {base}{path.removeprefix(prefix)}",
        )
    names = ", ".join((*WEBHOOKS, ANY))
    return Finding(
        "path",
        f"the router has no webhook at {path}",
        f"set the webhook at Twilio to one of the paths /webhooks/<channel>; the channel is one of {names}",
    )


def _once(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return the first finding of each cause."""
    first: dict[str, Finding] = {}
    for finding in findings:
        first.setdefault(finding.cause, finding)
    return tuple(first.values())


def shown(url: str) -> str:
    """Return a URL without its query, which may contain a message, and without credentials."""
    scheme, _, rest = url.partition("?")[0].partition("#")[0].partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"[:300]
