"""Why a signature does not match: which change on the way explains it."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

import pytest
from twilio.request_validator import RequestValidator

from router.diagnosis.candidate import STEPS
from router.diagnosis.refused import Refused, Seen, keep
from router.diagnosis.signature import Diagnosis
from router.diagnosis.signature import diagnose as diagnose_over
from router.message.raw import FORM, Raw
from router.message.signature import keys_for, signed_urls, verify
from router.settings import Account
from router.settings.account import ApiKey, SharedKey
from tests.steps import counted

OURS, OTHER = "AC" + "1" * 32, "AC" + "2" * 32
TOKEN, OTHERS_TOKEN, API_SECRET, SHARED_SECRET = "a" * 32, "b" * 32, "the-secret-of-a-program", "a-shared-secret"
BASE, TARGET = "https://router.example.com", "/webhooks/sms"
ACCOUNTS = (
    Account(
        sid=OURS,
        auth_tokens=(TOKEN,),
        shared_keys=(SharedKey(id="webhooks_sharedkey_1", algorithm="HMAC_SHA256", secret=SHARED_SECRET),),
        api_keys=(ApiKey(sid="SK" + "3" * 32, secret=API_SECRET),),
    ),
    Account(sid=OTHER, auth_tokens=(OTHERS_TOKEN,)),
)
SHARED_HEADER = "key=webhooks_sharedkey_1,algorithm=HMAC_SHA256"
FIELDS = {
    "ToCountry": "US", "ToState": "CA", "SmsMessageSid": "SM" + "4" * 32, "NumMedia": "0", "ToCity": "",
    "FromZip": "", "FromState": "CA", "SmsStatus": "received", "FromCity": "", "Body": " A 100% sure café + tea\n",
    "FromCountry": "US", "To": "+15550000001", "ToZip": "", "NumSegments": "1", "MessageSid": "SM" + "4" * 32,
    "AccountSid": OURS, "From": "+15550000002", "ApiVersion": "2010-04-01",
}  # fmt: skip


@dataclass(frozen=True)
class Signed:
    """A request as Twilio's own library signs it."""

    url: str = BASE + TARGET
    fields: tuple[tuple[str, str], ...] = tuple(FIELDS.items())
    secret: str = TOKEN
    algorithm: str = "HMAC_SHA1"

    @property
    def signature(self) -> str:
        """The value of X-Twilio-Signature."""
        return str(RequestValidator(self.secret).compute_signature(self.url, dict(self.fields), self.algorithm))


def came(signed: Signed, **changes: object) -> Refused:
    """Make the request as the router received it, with `changes`; `body` and `method` are the raw request's."""
    body: Any = changes.pop("body", urlencode(signed.fields).encode())
    method = str(changes.pop("method", "POST"))
    if method == "GET":
        body = str(changes.get("target", TARGET)).partition("?")[2].encode()
    raw = Raw(method, str(changes.pop("content_type", FORM)), body)
    given: dict[str, object] = {
        "at": 1,
        "status": 403,
        "reason": "signature does not match",
        "bases": (BASE,),
        "target": TARGET,
        "signature": signed.signature,
        "signature_settings": None,
        "seen": Seen(),
    }
    return keep(raw, **(given | changes))  # type: ignore[arg-type]


def body(**changes: str | None) -> bytes:
    """Encode the form with fields changed, or left out when None."""
    changed = {name: changes.get(name, value) for name, value in FIELDS.items()} | changes
    return urlencode({name: value for name, value in changed.items() if value is not None}).encode()


BLANK = {name: None for name, value in FIELDS.items() if not value}
ON_NGROK = Seen(hosts=("abc.ngrok.app",))
QUERY = "?who=Ana%20Luz&a%2Fb=1"
GET = f"{TARGET}?{urlencode(FIELDS)}"
JSON_BODY = b'{"a": 1}'
JSON_TARGET = f"{TARGET}?bodySHA256={hashlib.sha256(JSON_BODY).hexdigest()}"

CASES: dict[str, tuple[Refused, str]] = {
    "http instead of https": (came(Signed("http://router.example.com/webhooks/sms")), "scheme"),
    "a tunnel's host": (came(Signed("https://abc.ngrok.app/webhooks/sms"), seen=ON_NGROK), "host"),
    "a host in capitals": (
        came(Signed("https://Router.Example.com" + TARGET), seen=Seen(("Router.Example.com",))),
        "host",
    ),
    "a port": (came(Signed("https://router.example.com:8443/webhooks/sms")), "port"),
    "a port that a proxy names": (came(Signed(f"{BASE}:9001{TARGET}"), seen=Seen(ports=("9001",))), "port"),
    "a prefix that a proxy took away": (came(Signed(f"{BASE}/api{TARGET}")), "path_prefix"),
    "a prefix that a proxy names": (came(Signed(f"{BASE}/x/y{TARGET}"), seen=Seen(prefixes=("/x/y",))), "path_prefix"),
    "a prefix that the public URL has": (came(Signed(), bases=(f"{BASE}/inbound",)), "path_prefix"),
    "a path that a proxy maps": (came(Signed(f"{BASE}/sms")), "path_prefix"),
    "a slash at the end": (came(Signed(f"{BASE}{TARGET}/")), "trailing_slash"),
    "no slash at the end": (came(Signed(), target=f"{TARGET}/"), "trailing_slash"),
    "a query decoded": (came(Signed(BASE + TARGET + QUERY), target=f"{TARGET}?who=Ana+Luz&a%2Fb=1"), "query_encoding"),
    "a query with a slash decoded": (
        came(Signed(f"{BASE}{TARGET}?x=a%2Fb"), target=f"{TARGET}?x=a/b"),
        "query_encoding",
    ),
    "escapes in small letters": (came(Signed(f"{BASE}{TARGET}?x=a%2Fb"), target=f"{TARGET}?x=a%2fb"), "query_encoding"),
    "a query parameter added": (came(Signed(), target=f"{TARGET}?fbclid=1"), "query"),
    "a bare question mark lost": (came(Signed(f"{BASE}{TARGET}?")), "query"),
    "encoded twice": (
        came(Signed(), body="&".join(f"{name}={quote(quote(value))}" for name, value in FIELDS.items()).encode()),
        "double_decoding",
    ),
    "decoded on the way": (
        came(
            Signed(fields=tuple((FIELDS | {"Body": "Hi there"}).items())),
            body="&".join(f"{name}={value}" for name, value in (FIELDS | {"Body": "Hi there"}).items()).encode(),
        ),
        "double_decoding",
    ),
    "blank values dropped": (came(Signed(), body=body(**BLANK)), "blank_values"),
    "two blank values dropped": (came(Signed(), body=body(ToCity=None, FromZip=None)), "blank_values"),
    "a test that signs without blank values": (
        came(Signed(fields=tuple((name, value) for name, value in FIELDS.items() if value)), body=body()),
        "blank_values",
    ),
    "blanks trimmed": (came(Signed(fields=tuple((FIELDS | {"Body": "Hi "}).items())), body=body(Body="Hi")), "spaces"),
    "line ends changed": (
        came(Signed(fields=tuple((FIELDS | {"Body": "a\nb"}).items())), body=body(Body="a\r\nb")),
        "spaces",
    ),
    "a field added": (came(Signed(), body=body() + b"&Tampered=1"), "field_added"),
    "another charset": (
        came(Signed(), body=urlencode(FIELDS, encoding="latin-1").encode()),
        "charset",
    ),
    "another account's token": (came(Signed(secret=OTHERS_TOKEN)), "other_account"),
    "an API key": (came(Signed(secret=API_SECRET)), "api_key"),
    "a shared key that is not named": (came(Signed(secret=SHARED_SECRET, algorithm="HMAC_SHA256")), "scheme_of_key"),
    "a token where a shared key is named": (came(Signed(), signature_settings=SHARED_HEADER), "scheme_of_key"),
    "a shared key with the weaker digest": (
        came(Signed(secret=SHARED_SECRET), signature_settings="key=webhooks_sharedkey_1,algorithm=HMAC_SHA1"),
        "scheme_of_key",
    ),
    "another body than the one hashed": (
        came(
            Signed(BASE + JSON_TARGET, fields=()),
            body=b'{"a":1}',
            content_type="application/json",
            target=JSON_TARGET,
        ),
        "body_hash",
    ),
    "a GET made a POST": (came(Signed(BASE + GET, fields=()), body=urlencode(FIELDS).encode()), "method"),
    "a POST made a GET": (came(Signed(), method="GET", target=GET), "method"),
    "a signature escaped": (came(Signed(), signature=quote(Signed().signature, safe="")), "signature_header"),
}


def diagnose(refused: Refused, accounts: Sequence[Account] = ACCOUNTS) -> Diagnosis:
    """Diagnose with the keys of these accounts."""
    return diagnose_over(refused, {account.sid: account for account in accounts})


def accepted(refused: Refused) -> bool:
    """Say whether the router would accept the request, with the account's own keys."""
    keys = keys_for(ACCOUNTS[0].auth_tokens, ACCOUNTS[0].shared_keys, refused.signature_settings)
    form = refused.fields() if refused.method == "POST" else ()
    return any(verify(signed_urls(base, refused.target), form, refused.signature, keys) for base in refused.bases)


def causes(diagnosis: Diagnosis) -> list[str]:
    """Return the causes that the diagnosis names."""
    return [finding.cause for finding in diagnosis.findings]


@pytest.mark.parametrize("label", CASES)
def test_the_cause_of_a_broken_signature_is_named(label: str) -> None:
    """The diagnosis names exactly the one change that breaks the signature, with an explanation and advice."""
    refused, cause = CASES[label]
    assert cause == "body_hash" or not accepted(refused)

    diagnosis = diagnose(refused)

    assert diagnosis.matched
    assert causes(diagnosis) == [cause]
    assert all(finding.found and finding.advice for finding in diagnosis.findings)


def test_at_least_fifteen_causes_are_known() -> None:
    """By recomputing signatures alone, the diagnosis knows at least fifteen causes."""
    assert len({cause for _, cause in CASES.values()}) >= 15


def test_a_tunnels_url_is_found_though_scheme_host_and_port_differ() -> None:
    """Behind a tunnel, the diagnosis names each part that differs, and the URL that matches."""
    diagnosis = diagnose(
        came(Signed("https://abc.ngrok.app/webhooks/sms"), bases=("http://localhost:8000",), seen=ON_NGROK)
    )

    assert causes(diagnosis) == ["scheme", "host", "port"]
    assert diagnosis.url == "https://abc.ngrok.app/webhooks/sms"
    assert diagnosis.findings[0].advice.startswith("set ROUTER_PUBLIC_URL to https://abc.ngrok.app, or ")


def test_a_changed_port_and_a_trimmed_body_are_found_together() -> None:
    """One change of the URL and one of the form are found together."""
    signed = Signed(f"{BASE}:8443{TARGET}", fields=tuple((FIELDS | {"Body": "Hi "}).items()))
    assert causes(diagnose(came(signed, body=body(Body="Hi")))) == ["port", "spaces"]


@pytest.mark.parametrize("secret", ["c" * 32, TOKEN.upper()])
def test_an_old_token_is_suspected_when_nothing_matches(secret: str) -> None:
    """If no recomputed signature matches, the diagnosis names an unknown key, such as an old auth token."""
    diagnosis = diagnose(came(Signed(secret=secret)))
    assert (diagnosis.matched, causes(diagnosis)) == (False, ["unknown_key"])


def test_an_account_that_is_not_configured_is_named() -> None:
    """A message of an account that is not configured is named; so is a configured account whose key signed it."""
    fields = tuple((FIELDS | {"AccountSid": "AC" + "9" * 32}).items())
    assert causes(diagnose(came(Signed(fields=fields, secret="c" * 32)))) == [
        "unknown_account",
        "unknown_key",
    ]
    assert causes(diagnose(came(Signed(fields=fields)))) == ["other_account", "unknown_account"]


def test_a_form_lost_in_a_redirect_is_named() -> None:
    """A POST that a redirect turned into a GET without a form is named first."""
    refused = came(Signed(), method="GET", body=b"")
    assert causes(diagnose(refused))[0] == "form_lost"


def test_a_request_without_signature_is_named() -> None:
    """A request without the signature header is named, and no signature is found to match."""
    diagnosis = diagnose(came(Signed(), signature=""))
    assert (diagnosis.matched, causes(diagnosis)) == (False, ["no_signature"])


@pytest.mark.parametrize("label", CASES)
def test_a_diagnosis_shows_no_secret_query_or_text(label: str) -> None:
    """A diagnosis shows no secret, no query value and no word of the message."""
    said = repr(diagnose(CASES[label][0]))
    for hidden in (TOKEN, OTHERS_TOKEN, API_SECRET, SHARED_SECRET, "100%", "5550000002", "Ana", "secret-of-url"):
        assert hidden not in said


def test_a_host_that_is_not_trusted_is_named_with_both_explanations() -> None:
    """For a host that is not trusted, the advice covers both a wrong ROUTER_PUBLIC_URL and a target's own request."""
    doubt = "the host 'target.example' is not trusted"
    signed = Signed(f"http://target.example{TARGET}")
    diagnosis = diagnose(came(signed, bases=("http://target.example",), doubt=doubt))
    assert (diagnosis.matched, causes(diagnosis)) == (True, ["host"])
    (finding,) = diagnosis.findings
    assert finding.found.startswith(doubt)
    assert "if Twilio calls the router at http://target.example, set ROUTER_PUBLIC_URL to it" in finding.advice
    assert "rightly refused" in finding.advice
    strangers = replace(signed, secret="c" * 32)
    assert causes(diagnose(came(strangers, bases=("http://target.example",), doubt=doubt))) == ["unknown_key"]


def test_credentials_of_a_public_url_are_not_shown() -> None:
    """A password in ROUTER_PUBLIC_URL is not in the diagnosis."""
    refused = came(
        Signed(f"http://router.example.com{TARGET}"), bases=("https://user:secret-of-url@router.example.com",)
    )
    diagnosis = diagnose(refused)
    assert causes(diagnosis) == ["scheme"]
    assert "secret-of-url" not in repr(diagnosis)


MANY = (*ACCOUNTS, *(Account(sid=f"AC{n:032x}", auth_tokens=(f"{n:032x}",) * 9) for n in range(1000)))
HOSTS = tuple(f"h{n}.example.com:{n + 9000}" for n in range(50))
WORST: dict[str, Callable[[], Refused]] = {
    "usual": lambda: came(Signed(secret="c" * 32)),
    "large": lambda: came(Signed(secret="c" * 32), body=body() + b"&x=" + b"y" * 9_000),
    "many fields": lambda: came(Signed(secret="c" * 32), body=body() + b"".join(b"&n%d=%%41" % n for n in range(480))),
    "nothing but fields": lambda: came(Signed(secret="c" * 32), body=body() + b"&" * 480),
    "long query": lambda: came(Signed(secret="c" * 32), method="GET", target=f"{TARGET}?{'a=%41&' * 450}x=1"),
    "slashes": lambda: came(Signed(secret="c" * 32), target="/" + "/" * 9_000 + "webhooks/sms"),
    "segments": lambda: came(Signed(secret="c" * 32), target="/a" * 4_500),
    "escapes": lambda: came(Signed(secret="c" * 32), target=f"{TARGET}?{'%2f+' * 2_500}"),
    "ampersands": lambda: came(Signed(secret="c" * 32), target=f"{TARGET}?{'&' * 9_000}"),
    "many bases": lambda: came(
        Signed(secret="c" * 32),
        bases=tuple(f"https://{host}" for host in HOSTS),
        seen=Seen(HOSTS, tuple(map(str, range(9000, 9050))), tuple(f"/p{n}" for n in range(50))),
    ),
    "no form": lambda: came(
        Signed(secret="c" * 32), body=b"{}", content_type="application/json", target=f"{TARGET}?bodySHA256=1"
    ),
}


@pytest.mark.parametrize("label", WORST)
def test_a_diagnosis_computes_a_bounded_number_of_signatures(label: str) -> None:
    """For any request, and any number of accounts and keys, a diagnosis computes at most STEPS signatures."""
    refused = WORST[label]()
    assert refused.whole
    with counted() as steps:
        diagnosis = diagnose(refused, MANY)
    assert not diagnosis.matched
    assert steps.hmacs == diagnosis.steps
    assert 0 < diagnosis.steps <= STEPS < 10_000


def test_a_wrong_scheme_is_found_with_few_signatures() -> None:
    """A wrong scheme, the most common mistake, is found with fewer than 20 signatures."""
    assert diagnose(CASES["http instead of https"][0]).steps < 20


@pytest.mark.parametrize(
    "make",
    [
        lambda: came(Signed(), body=body(Body="x" * 128 * 1024)),
        lambda: came(Signed(), target="/" * 65_000 + "webhooks/sms"),
        lambda: came(Signed(), method="GET", target=f"{TARGET}?{urlencode(FIELDS)}&x={'y' * 60_000}"),
        lambda: came(Signed(), signature="=" * 8_000),
        lambda: came(Signed(), signature_settings="key=" * 2_000),
    ],
    ids=["body", "target", "query", "signature", "settings"],
)
def test_a_request_that_was_not_kept_whole_is_not_recomputed(make: Callable[[], Refused]) -> None:
    """For a request that was kept only in part no signature is computed, and the cause is `too_long`."""
    diagnosis = diagnose(make())
    assert (diagnosis.matched, diagnosis.steps) == (False, 0)
    assert causes(diagnosis)[-1] == "too_long"


@pytest.mark.parametrize(
    ("base", "target"),
    [(BASE, "/router/webhooks/sms"), (f"{BASE}/router", "/router/webhooks/sms"), (BASE, "/a/b/webhooks/message")],
    ids=["public URL without the prefix", "public URL with it", "two parts"],
)
def test_a_path_prefix_that_arrives_is_named(base: str, target: str) -> None:
    """A 404 because the proxy does not remove its path prefix is named with that prefix."""
    diagnosis = diagnose(came(Signed(BASE + target), status=404, bases=(base,), target=target))
    assert (diagnosis.matched, causes(diagnosis)) == (True, ["path_prefix"])
    (finding,) = diagnosis.findings
    prefix = target.partition("/webhooks")[0]
    assert f"without {prefix} in front" in finding.found
    assert f"let the proxy remove {prefix}" in finding.advice


@pytest.mark.parametrize("target", ["/sms", "/webhooks/sms/", "/webhooks/telegram", "/"])
def test_a_signed_request_to_an_unknown_path_is_named(target: str) -> None:
    """A signed request to an unknown path is named, and the advice shows the path of the webhooks."""
    diagnosis = diagnose(came(Signed(BASE + target), status=404, target=target))
    assert (diagnosis.matched, causes(diagnosis)) == (True, ["path"])
    assert "/webhooks/<channel>" in diagnosis.findings[0].advice


def test_an_unsigned_404_is_not_taken_for_twilios() -> None:
    """A request to an unknown path that none of our keys signed does not count as Twilio's."""
    diagnosis = diagnose(came(Signed(secret="c" * 32), status=404, target="/x/webhooks/sms"))
    assert (diagnosis.matched, causes(diagnosis)) == (False, ["path_prefix", "unknown_key"])


def test_a_refused_request_that_matches_now_points_to_the_settings() -> None:
    """If the signature matches the present settings, the cause is `settings`: they were corrected since."""
    assert causes(diagnose(came(Signed()))) == ["settings"]


@pytest.mark.parametrize(
    "refused",
    [
        came(Signed(), target="//evil.example.com/x"),
        came(Signed(), target="http://evil.example.com/x"),
        came(Signed(), target="/\xff?\xe4=%ff"),
        came(Signed(), signature="\xe9" * 10),
        came(Signed(), bases=()),
        came(Signed(), bases=("http://",), seen=Seen(hosts=("[::1", "a:b:c", ":::", " "))),
        came(Signed(), signature_settings="=,,=,key"),
    ],
)
def test_any_request_gets_a_diagnosis(refused: Refused) -> None:
    """Any malformed URL, header or signature gets a diagnosis, not an exception."""
    assert diagnose(replace(refused, signature=refused.signature[:-2] + "??")).findings


def test_the_sample_form_is_encoded_as_parse_qsl_reads_it() -> None:
    """The samples are valid: the standard library reads the same fields from the body."""
    assert parse_qsl(body().decode(), keep_blank_values=True) == list(FIELDS.items())
