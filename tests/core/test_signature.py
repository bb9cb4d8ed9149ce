import hashlib
from dataclasses import dataclass
from random import Random
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twilio.request_validator import RequestValidator

from router.message.signature import (
    Key,
    body_hash_matches,
    keys_for,
    names_body_hash,
    sign,
    signed_urls,
    url_to_sign,
    verify,
)
from tests.core.samples import KEY, SAMPLES, SMS, Sample

URL = "https://router.example/webhooks/sms"
SHA1 = Key("auth_token[0]", KEY.encode())
SHA256 = Key("webhooks_sharedkey_1", b"shared secret", "sha256")
OFFICIAL = RequestValidator(KEY)

# Text that UTF-8 can encode; Twilio's library cannot encode a lone surrogate either.
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
names = st.text(st.sampled_from("AaBbCc19_é€"), min_size=1, max_size=4)  # few letters, so that names repeat and sort
forms = st.lists(st.tuples(names, texts), max_size=12)
paths = st.text(st.sampled_from("abZ/%2F.~+-_é"), max_size=20).map(lambda path: "/" + path.lstrip("/"))
queries = st.one_of(st.just(""), st.lists(st.tuples(names, texts), min_size=1).map(lambda q: "?" + urlencode(q)))


class Fields(dict[str, list[str]]):
    """A multi-dict as web frameworks pass it to Twilio's validator."""

    def __init__(self, fields: list[tuple[str, str]]) -> None:
        super().__init__()
        for name, value in fields:
            self.setdefault(name, []).append(value)

    def getlist(self, name: str) -> list[str]:
        """Return all values of one name."""
        return self[name]


@dataclass(frozen=True)
class Shared:
    """A shared key as in the settings."""

    id: str
    algorithm: str
    secret: str


# --- agreement with the official validator


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.label)
def test_samples_get_the_signature_of_twilios_library(sample: Sample) -> None:
    """Each sample message gets the signature of Twilio's library, and it verifies."""
    signature = OFFICIAL.compute_signature(URL, dict(sample.fields))
    assert sign(URL, sample.fields, SHA1) == signature
    assert verify(signed_urls("https://router.example", "/webhooks/sms"), sample.fields, signature, [SHA1]) == SHA1


@given(path=paths, query=queries, form=forms, algorithm=st.sampled_from(["sha1", "sha256"]))
def test_any_form_gets_the_signature_of_twilios_library(
    path: str, query: str, form: list[tuple[str, str]], algorithm: str
) -> None:
    """For any URL and form, with SHA-1 or SHA-256, the signature is that of Twilio's library."""
    url = "https://router.example" + path + query
    key = SHA1 if algorithm == "sha1" else Key("shared", KEY.encode(), "sha256")
    assert sign(url, form, key) == OFFICIAL.compute_signature(url, Fields(form), f"HMAC_{algorithm.upper()}")


@given(form=forms, order=st.randoms(use_true_random=False))
def test_the_order_of_the_fields_does_not_matter(form: list[tuple[str, str]], order: Random) -> None:
    """The signature does not depend on the order of the form's fields."""
    shuffled = list(form)
    order.shuffle(shuffled)
    assert sign(URL, shuffled, SHA1) == sign(URL, form, SHA1)


@given(
    scheme=st.sampled_from(["http", "https"]),
    port=st.sampled_from(["", ":80", ":443", ":8443"]),
    signed_port=st.sampled_from(["", ":80", ":443", ":8443"]),
    form=forms,
)
def test_ports_verify_as_in_twilios_validator(
    scheme: str, port: str, signed_port: str, form: list[tuple[str, str]]
) -> None:
    """With or without a port in the URL or in the signature, we verify exactly what Twilio's validator does."""
    signature = sign(f"{scheme}://router.example{signed_port}/x", form, SHA1)
    urls = signed_urls(f"{scheme}://router.example{port}", "/x")
    official = OFFICIAL.validate(f"{scheme}://router.example{port}/x", Fields(form), signature)
    assert (verify(urls, form, signature, [SHA1]) is not None) == official


@given(form=st.lists(st.tuples(names, texts), min_size=1, unique_by=lambda f: f[0]), n=st.integers(0), more=names)
def test_any_addition_breaks_the_signature(form: list[tuple[str, str]], n: int, more: str) -> None:
    """A longer value, one more field or a longer URL does not verify."""
    signature = sign(URL, form, SHA1)
    n %= len(form)
    name, value = form[n]
    longer = [*form[:n], (name, value + more), *form[n + 1 :]]
    assert verify([URL], form, signature, [SHA1]) == SHA1
    assert verify([URL], longer, signature, [SHA1]) is None
    assert verify([URL], [*form, ("New", more)], signature, [SHA1]) is None
    assert verify([URL + more], form, signature, [SHA1]) is None


# --- what is signed


def test_names_are_sorted_not_fields() -> None:
    """Fields are sorted by name, not by name and value joined."""
    form = [("ReasonConferenceEnded", "a"), ("Reason", "z")]
    mistaken = sign(URL + "ReasonConferenceEndedaReasonz", (), SHA1)
    assert sign(URL, form, SHA1) == sign(URL + "ReasonzReasonConferenceEndeda", (), SHA1)
    assert verify([URL], form, mistaken, [SHA1]) is None


def test_names_sort_by_bytes() -> None:
    """Names sort by bytes: capitals before small letters."""
    form = [("callSid", "3"), ("CallSid", "2"), ("CALLSID", "1")]
    assert sign(URL, form, SHA1) == sign(URL + "CALLSID1CallSid2callSid3", (), SHA1)


def test_repeated_values_count_once_in_order() -> None:
    """The values of a repeated name are sorted, and equal ones count once, as in Twilio's libraries."""
    form = [("MessagingBinding.Address", "b"), ("MessagingBinding.Address", "a"), ("MessagingBinding.Address", "b")]
    signed = URL + "MessagingBinding.AddressaMessagingBinding.Addressb"
    assert sign(URL, form, SHA1) == sign(signed, (), SHA1)


def test_a_blank_value_contributes_its_name() -> None:
    """A field with an empty value contributes its name."""
    assert sign(URL, [("Body", "")], SHA1) == sign(URL + "Body", (), SHA1)


def test_a_get_is_signed_by_its_url() -> None:
    """A GET is signed by its URL alone, which contains the fields."""
    url = f"{URL}?{urlencode(SMS.fields)}"
    assert sign(url, (), SHA1) == OFFICIAL.compute_signature(url, {})


# --- where we differ from the official validator on purpose (facts 4.5)


def test_differs_a_missing_signature_does_not_verify() -> None:
    """A request without a signature does not verify; Twilio's library raises TypeError."""
    assert verify([URL], SMS.fields, "", [SHA1]) is None


def test_differs_a_fragment_is_never_signed() -> None:
    """A fragment (connection overrides) is not part of the signed URL; Twilio's library keeps it and fails."""
    signature = sign(URL, SMS.fields, SHA1)
    assert verify(signed_urls("https://router.example#rc=2", "/webhooks/sms#rp=all"), SMS.fields, signature, [SHA1])
    assert not OFFICIAL.validate(URL + "#rc=2&rp=all", dict(SMS.fields), signature)


def test_differs_a_bare_question_mark_is_kept() -> None:
    """A `?` without a query is part of the signed URL; Twilio's library drops it and fails."""
    signature = sign(URL + "?", SMS.fields, SHA1)
    assert verify(signed_urls("https://router.example", "/webhooks/sms?"), SMS.fields, signature, [SHA1])
    assert not OFFICIAL.validate(URL + "?", dict(SMS.fields), signature)


@pytest.mark.parametrize("port", ["", ":8443"])
def test_differs_a_signature_with_or_without_credentials_verifies(port: str) -> None:
    """A signature over the URL with or without credentials verifies; Twilio's library fails."""
    with_them = f"https://user:p%40ss@router.example{port}/x"
    without = f"https://router.example{port}/x"
    urls = signed_urls(f"https://user:p%40ss@router.example{port}", "/x")
    assert urls[0] == without
    for url in (with_them, without):
        assert verify(urls, SMS.fields, sign(url, SMS.fields, SHA1), [SHA1])
    assert not OFFICIAL.validate(with_them, dict(SMS.fields), sign(without, SMS.fields, SHA1))


def test_differs_the_port_of_an_ipv6_host_is_recognized() -> None:
    """The port of an IPv6 host is recognized; Twilio's library cuts at the first colon."""
    assert signed_urls("http://[2001:db8::1]:8000", "/x") == ("http://[2001:db8::1]:8000/x", "http://[2001:db8::1]/x")
    signature = sign("http://[2001:db8::1]/x", (), SHA1)
    assert not OFFICIAL.validate("http://[2001:db8::1]:8000/x", {}, signature)


def test_differs_an_invalid_port_raises_nothing() -> None:
    """A port above 65535 does not verify and raises nothing; Twilio's library raises ValueError."""
    urls = signed_urls("https://router.example:99999", "/x")
    assert verify(urls, (), "wrong", [SHA1]) is None
    with pytest.raises(ValueError, match="out of range"):
        OFFICIAL.validate("https://router.example:99999/x", {}, "wrong")


def test_differs_the_case_of_the_scheme_is_kept() -> None:
    """The scheme is signed as it is configured; Twilio's library makes it lower case."""
    signature = sign("HTTPS://Router.Example/x", (), SHA1)
    assert verify(signed_urls("HTTPS://Router.Example", "/x"), (), signature, [SHA1])
    assert not OFFICIAL.validate("HTTPS://Router.Example/x", {}, signature)


def test_differs_the_body_hash_is_checked_on_bytes() -> None:
    """The body's hash is checked for any bytes; Twilio's library checks nothing when it is given a dict."""
    body = b"\xff\x00 not text"
    url = f"{URL}?bodySHA256={hashlib.sha256(body).hexdigest()}"
    assert body_hash_matches(url, body)
    assert not body_hash_matches(url, b"swapped")
    assert OFFICIAL.validate(url, {}, sign(url, (), SHA1)), "whatever the body was"


def test_differs_a_signature_of_any_text_raises_nothing() -> None:
    """A signature that is not ASCII does not verify and raises nothing."""
    assert verify([URL], SMS.fields, "sïgnature=", [SHA1]) is None
    assert verify([URL], SMS.fields, "\x00\xff\xfe", [SHA1]) is None


# --- the URL


@pytest.mark.parametrize(
    ("base", "target", "urls"),
    [
        ("https://a.example", "/x?y=%2F&z=+", ("https://a.example/x?y=%2F&z=+", "https://a.example:443/x?y=%2F&z=+")),
        ("https://a.example/", "/x", ("https://a.example/x", "https://a.example:443/x")),
        ("https://a.example/in", "/x//y/", ("https://a.example/in/x//y/", "https://a.example:443/in/x//y/")),
        ("http://a.example", "/", ("http://a.example/", "http://a.example:80/")),
        ("https://a.example:8443", "/x", ("https://a.example:8443/x", "https://a.example/x")),
        ("https://a.example", "/é".encode().decode("latin-1"), ("https://a.example/é", "https://a.example:443/é")),
    ],
    ids=["as-is", "base-with-slash", "base-with-path", "http", "port", "raw-utf-8"],
)
def test_signed_urls(base: str, target: str, urls: tuple[str, ...]) -> None:
    """The URL with its port as configured comes first, then the one with the port added or left out."""
    assert signed_urls(base, target) == urls


@pytest.mark.parametrize("target", ["", "x", "//evil.example/x", "http://evil.example/x", "*", "?x"])
def test_refused_targets(target: str) -> None:
    """A target that does not start with a single slash, and so could name another host, is refused."""
    with pytest.raises(ValueError, match="single '/'"):
        signed_urls("https://router.example", target)


@pytest.mark.parametrize(
    "base",
    ["", "router.example", "ftp://a", "https://", "https://a b", "https://a/?q", "https://a:b", "https://[1", "//a"],
)
def test_refused_bases(base: str) -> None:
    """A base URL, which may come from a Host header, must be an http(s) URL without a query."""
    with pytest.raises(ValueError, match="base URL"):
        signed_urls(base, "/x")


def test_a_target_that_is_not_utf8_counts_byte_for_byte() -> None:
    """The bytes of a target that is not UTF-8 are signed unchanged."""
    (url, _) = signed_urls("https://a.example", "/\xff")
    assert sign(url, (), SHA1) == sign("https://a.example/\udcff", (), SHA1)


@pytest.mark.parametrize(
    ("url", "signed"),
    [
        ("https://user:pass@a.example:8443/x?y@z#rc=1", "https://a.example:8443/x?y@z"),
        ("https://a.example/u@v", "https://a.example/u@v"),
        ("https://a.example?u@v", "https://a.example?u@v"),
    ],
    ids=["all", "at-in-path", "at-in-query"],
)
def test_url_to_sign(url: str, signed: str) -> None:
    """The router signs its own requests as Twilio does: with the port, without credentials and fragment."""
    assert url_to_sign(url) == signed


# --- the body's hash


@pytest.mark.parametrize(
    ("query", "names", "matches"),
    [
        ("bodySHA256={hash}", True, True),
        ("a=b&bodySHA256={hash}&c", True, True),
        ("body%53HA256={hash}", True, True),
        ("bodySHA256=", True, False),
        ("bodySHA256={hash}&bodySHA256=00", True, False),
        ("bodySHA256={HASH}", True, False),
        ("a=bodySHA256", False, False),
        ("", False, False),
    ],
    ids=["only", "among-others", "escaped", "empty", "two", "capitals", "as-a-value", "none"],
)
def test_body_hash(query: str, names: bool, matches: bool) -> None:
    """Each bodySHA256 of the URL must be the body's, in lower case; a URL without one does not match."""
    digest = hashlib.sha256(b'{"a":1}').hexdigest()
    url = f"{URL}?{query.format(hash=digest, HASH=digest.upper())}"
    assert body_hash_matches(url, b'{"a":1}') is matches
    assert names_body_hash(url) is names


# --- the keys

SHARED = Shared("webhooks_sharedkey_1", "HMAC_SHA256", "shared secret")
OLD = Shared("webhooks_sharedkey_2", "HMAC_SHA1", "old secret")


def test_auth_tokens_without_the_header() -> None:
    """Without the header all auth tokens are tried, in order of preference, with SHA-1."""
    assert keys_for(["new", "old"], [SHARED], None) == (Key("auth_token[0]", b"new"), Key("auth_token[1]", b"old"))


@pytest.mark.parametrize(
    ("header", "labels"),
    [
        ("key=webhooks_sharedkey_1,algorithm=HMAC_SHA256", ["webhooks_sharedkey_1"]),
        (" algorithm=HMAC_SHA256 , key=webhooks_sharedkey_1 ", ["webhooks_sharedkey_1"]),
        ("key=webhooks_sharedkey_2,algorithm=HMAC_SHA1", ["webhooks_sharedkey_2"]),
        ("key=webhooks_sharedkey_1", ["webhooks_sharedkey_1"]),
        ("key=webhooks_sharedkey_1,algorithm=HMAC_SHA1", []),
        ("key=webhooks_sharedkey_2,algorithm=HMAC_SHA256", []),
        ("key=webhooks_sharedkey_1,algorithm=NONE", []),
        ("key=webhooks_sharedkey_9,algorithm=HMAC_SHA256", []),
        ("algorithm=HMAC_SHA1", []),
        ("key=webhooks_sharedkey_1,key=webhooks_sharedkey_2", []),
        ("key=", []),
        ("rubbish", []),
        (",,=,", []),
    ],
)
def test_the_header_chooses_a_shared_key(header: str, labels: list[str]) -> None:
    """The header names one of our shared keys with its configured algorithm, and never selects the auth token."""
    assert [key.label for key in keys_for(["token"], [SHARED, OLD], header)] == labels


def test_tokens_and_shared_keys_verify_on_one_url() -> None:
    """A request is verified by an auth token without the header, and by the shared key with it."""
    by_token, by_shared = sign(URL, SMS.fields, SHA1), sign(URL, SMS.fields, SHA256)
    header = "key=webhooks_sharedkey_1,algorithm=HMAC_SHA256"
    assert verify([URL], SMS.fields, by_token, keys_for([KEY], [SHARED], None)) == SHA1
    assert verify([URL], SMS.fields, by_shared, keys_for([KEY], [SHARED], header)) == SHA256
    assert verify([URL], SMS.fields, by_token, keys_for([KEY], [SHARED], header)) is None
    assert verify([URL], SMS.fields, by_shared, keys_for([KEY], [SHARED], None)) is None


def test_verify_returns_the_key_that_matched() -> None:
    """`verify` returns the key that matched, which shows whether an old token is still in use."""
    keys = keys_for(["next", KEY], [], None)
    found = verify([URL], SMS.fields, sign(URL, SMS.fields, SHA1), keys)
    assert found is not None
    assert found.label == "auth_token[1]"


def test_without_keys_nothing_verifies() -> None:
    """Without keys, as for an unknown account, nothing verifies."""
    assert verify([URL], SMS.fields, sign(URL, SMS.fields, Key("", b"")), []) is None


def test_a_key_does_not_show_its_secret() -> None:
    """A key's repr does not show its secret."""
    assert repr(SHA256) == "Key(label='webhooks_sharedkey_1', algorithm='sha256')"
