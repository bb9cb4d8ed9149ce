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

# What UTF-8 can carry; the official library cannot encode a lone surrogate either.
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
names = st.text(st.sampled_from("AaBbCc19_é€"), min_size=1, max_size=4)  # few letters: order and repetition matter
forms = st.lists(st.tuples(names, texts), max_size=12)
paths = st.text(st.sampled_from("abZ/%2F.~+-_é"), max_size=20).map(lambda path: "/" + path.lstrip("/"))
queries = st.one_of(st.just(""), st.lists(st.tuples(names, texts), min_size=1).map(lambda q: "?" + urlencode(q)))


class Fields(dict[str, list[str]]):
    """A multi-dict as frameworks give it to the official validator."""

    def __init__(self, fields: list[tuple[str, str]]) -> None:
        super().__init__()
        for name, value in fields:
            self.setdefault(name, []).append(value)

    def getlist(self, name: str) -> list[str]:
        """All the values of one name."""
        return self[name]


@dataclass(frozen=True)
class Shared:
    """A shared key as the settings have it."""

    id: str
    algorithm: str
    secret: str


# --- agreement with the official validator


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.label)
def test_samples_agree(sample: Sample) -> None:
    """Each kind of message is signed exactly as the official library signs it, and verified."""
    signature = OFFICIAL.compute_signature(URL, dict(sample.fields))
    assert sign(URL, sample.fields, SHA1) == signature
    assert verify(signed_urls("https://router.example", "/webhooks/sms"), sample.fields, signature, [SHA1]) == SHA1


@given(path=paths, query=queries, form=forms, algorithm=st.sampled_from(["sha1", "sha256"]))
def test_any_form_agrees(path: str, query: str, form: list[tuple[str, str]], algorithm: str) -> None:
    """Any URL and form, with either algorithm: repeated names, blanks, Unicode, escapes left as they are."""
    url = "https://router.example" + path + query
    key = SHA1 if algorithm == "sha1" else Key("shared", KEY.encode(), "sha256")
    assert sign(url, form, key) == OFFICIAL.compute_signature(url, Fields(form), f"HMAC_{algorithm.upper()}")


@given(form=forms, order=st.randoms(use_true_random=False))
def test_the_order_on_the_wire_does_not_matter(form: list[tuple[str, str]], order: Random) -> None:
    """Twilio sorts the fields, so their order in the body says nothing."""
    shuffled = list(form)
    order.shuffle(shuffled)
    assert sign(URL, shuffled, SHA1) == sign(URL, form, SHA1)


@given(
    scheme=st.sampled_from(["http", "https"]),
    port=st.sampled_from(["", ":80", ":443", ":8443"]),
    signed_port=st.sampled_from(["", ":80", ":443", ":8443"]),
    form=forms,
)
def test_ports_agree(scheme: str, port: str, signed_port: str, form: list[tuple[str, str]]) -> None:
    """Whatever port was signed and whatever the base says, we accept all that the official validator accepts."""
    signature = sign(f"{scheme}://router.example{signed_port}/x", form, SHA1)
    urls = signed_urls(f"{scheme}://router.example{port}", "/x")
    official = OFFICIAL.validate(f"{scheme}://router.example{port}/x", Fields(form), signature)
    assert (verify(urls, form, signature, [SHA1]) is not None) == official


@given(form=st.lists(st.tuples(names, texts), min_size=1, unique_by=lambda f: f[0]), n=st.integers(0), more=names)
def test_any_addition_is_noticed(form: list[tuple[str, str]], n: int, more: str) -> None:
    """A value, a field or a URL that grew is another request."""
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
    """`Reason` comes before `ReasonEnded`, whatever their values: sorting the joined text is a well-known mistake."""
    form = [("ReasonConferenceEnded", "a"), ("Reason", "z")]
    mistaken = sign(URL + "ReasonConferenceEndedaReasonz", (), SHA1)
    assert sign(URL, form, SHA1) == sign(URL + "ReasonzReasonConferenceEndeda", (), SHA1)
    assert verify([URL], form, mistaken, [SHA1]) is None


def test_names_sort_by_bytes() -> None:
    """Capitals come before small letters."""
    form = [("callSid", "3"), ("CallSid", "2"), ("CALLSID", "1")]
    assert sign(URL, form, SHA1) == sign(URL + "CALLSID1CallSid2callSid3", (), SHA1)


def test_repeated_values_count_once_in_order() -> None:
    """The libraries' behaviour for a repeated name; what Twilio's servers do is documented nowhere."""
    form = [("MessagingBinding.Address", "b"), ("MessagingBinding.Address", "a"), ("MessagingBinding.Address", "b")]
    signed = URL + "MessagingBinding.AddressaMessagingBinding.Addressb"
    assert sign(URL, form, SHA1) == sign(signed, (), SHA1)


def test_blank_values_count() -> None:
    """An empty field still contributes its name."""
    assert sign(URL, [("Body", "")], SHA1) == sign(URL + "Body", (), SHA1)


def test_a_get_is_signed_by_its_url() -> None:
    """The fields of a GET are in the signed URL already."""
    url = f"{URL}?{urlencode(SMS.fields)}"
    assert sign(url, (), SHA1) == OFFICIAL.compute_signature(url, {})


# --- where we differ from the official validator on purpose (facts 4.5)


def test_differs_no_signature_is_just_wrong() -> None:
    """A request without the header fails; the library raises TypeError."""
    assert verify([URL], SMS.fields, "", [SHA1]) is None


def test_differs_a_fragment_is_never_signed() -> None:
    """Connection overrides in the configured URL do not reach the signature; the library keeps them and fails."""
    signature = sign(URL, SMS.fields, SHA1)
    assert verify(signed_urls("https://router.example#rc=2", "/webhooks/sms#rp=all"), SMS.fields, signature, [SHA1])
    assert not OFFICIAL.validate(URL + "#rc=2&rp=all", dict(SMS.fields), signature)


def test_differs_a_bare_question_mark_is_kept() -> None:
    """The target counts byte for byte; the library loses a `?` with nothing behind it."""
    signature = sign(URL + "?", SMS.fields, SHA1)
    assert verify(signed_urls("https://router.example", "/webhooks/sms?"), SMS.fields, signature, [SHA1])
    assert not OFFICIAL.validate(URL + "?", dict(SMS.fields), signature)


@pytest.mark.parametrize("port", ["", ":8443"])
def test_differs_credentials_are_dropped_or_kept(port: str) -> None:
    """Twilio drops them for messaging, its libraries' tests keep them: both verify; the library breaks the URL."""
    with_them = f"https://user:p%40ss@router.example{port}/x"
    without = f"https://router.example{port}/x"
    urls = signed_urls(f"https://user:p%40ss@router.example{port}", "/x")
    assert urls[0] == without
    for url in (with_them, without):
        assert verify(urls, SMS.fields, sign(url, SMS.fields, SHA1), [SHA1])
    assert not OFFICIAL.validate(with_them, dict(SMS.fields), sign(without, SMS.fields, SHA1))


def test_differs_an_ipv6_host_keeps_its_shape() -> None:
    """The port of an IPv6 address is recognized; the library cuts at the first colon."""
    assert signed_urls("http://[2001:db8::1]:8000", "/x") == ("http://[2001:db8::1]:8000/x", "http://[2001:db8::1]/x")
    signature = sign("http://[2001:db8::1]/x", (), SHA1)
    assert not OFFICIAL.validate("http://[2001:db8::1]:8000/x", {}, signature)


def test_differs_an_impossible_port_is_no_reason_to_fail() -> None:
    """A port over 65535 is text like any other; the library raises ValueError."""
    urls = signed_urls("https://router.example:99999", "/x")
    assert verify(urls, (), "wrong", [SHA1]) is None
    with pytest.raises(ValueError, match="out of range"):
        OFFICIAL.validate("https://router.example:99999/x", {}, "wrong")


def test_differs_the_case_of_the_scheme_is_kept() -> None:
    """The URL is used as it was configured; the library writes the scheme in lower case."""
    signature = sign("HTTPS://Router.Example/x", (), SHA1)
    assert verify(signed_urls("HTTPS://Router.Example", "/x"), (), signature, [SHA1])
    assert not OFFICIAL.validate("HTTPS://Router.Example/x", {}, signature)


def test_differs_the_body_hash_is_checked_on_bytes() -> None:
    """A body need not be text; the library takes no bytes, and checks nothing when it is given a dict."""
    body = b"\xff\x00 not text"
    url = f"{URL}?bodySHA256={hashlib.sha256(body).hexdigest()}"
    assert body_hash_matches(url, body)
    assert not body_hash_matches(url, b"swapped")
    assert OFFICIAL.validate(url, {}, sign(url, (), SHA1)), "whatever the body was"


def test_differs_comparison_takes_any_text() -> None:
    """A signature that is not ASCII is wrong, and nothing else."""
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
    """The base and the target as they are come first, then the other form of the port."""
    assert signed_urls(base, target) == urls


@pytest.mark.parametrize("target", ["", "x", "//evil.example/x", "http://evil.example/x", "*", "?x"])
def test_refused_targets(target: str) -> None:
    """A target must start with a single slash, or it could name another host."""
    with pytest.raises(ValueError, match="single '/'"):
        signed_urls("https://router.example", target)


@pytest.mark.parametrize(
    "base",
    ["", "router.example", "ftp://a", "https://", "https://a b", "https://a/?q", "https://a:b", "https://[1", "//a"],
)
def test_refused_bases(base: str) -> None:
    """A base, which may come from a Host header, is an http(s) URL or nothing."""
    with pytest.raises(ValueError, match="base URL"):
        signed_urls(base, "/x")


def test_a_target_that_is_not_utf8_counts_byte_for_byte() -> None:
    """Bytes that no charset explains are signed as they came."""
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
    """A request of ours is signed as Twilio signs: without credentials and fragment, with the port."""
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
    """Every hash that the URL names must be the body's, as Twilio writes it; no hash matches nothing."""
    digest = hashlib.sha256(b'{"a":1}').hexdigest()
    url = f"{URL}?{query.format(hash=digest, HASH=digest.upper())}"
    assert body_hash_matches(url, b'{"a":1}') is matches
    assert names_body_hash(url) is names


# --- the keys

SHARED = Shared("webhooks_sharedkey_1", "HMAC_SHA256", "shared secret")
OLD = Shared("webhooks_sharedkey_2", "HMAC_SHA1", "old secret")


def test_auth_tokens_without_the_header() -> None:
    """Several tokens, in order of preference, always with SHA-1."""
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
    """It names a key of ours; it never chooses the algorithm, and never falls back to the auth token."""
    assert [key.label for key in keys_for(["token"], [SHARED, OLD], header)] == labels


def test_both_schemes_on_one_url() -> None:
    """While a rule is split by percentage, each request is verified by what signed it, and says which key that was."""
    by_token, by_shared = sign(URL, SMS.fields, SHA1), sign(URL, SMS.fields, SHA256)
    header = "key=webhooks_sharedkey_1,algorithm=HMAC_SHA256"
    assert verify([URL], SMS.fields, by_token, keys_for([KEY], [SHARED], None)) == SHA1
    assert verify([URL], SMS.fields, by_shared, keys_for([KEY], [SHARED], header)) == SHA256
    assert verify([URL], SMS.fields, by_token, keys_for([KEY], [SHARED], header)) is None
    assert verify([URL], SMS.fields, by_shared, keys_for([KEY], [SHARED], None)) is None


def test_which_token_matched() -> None:
    """The matching key is returned, which shows when an old token is no longer used."""
    keys = keys_for(["next", KEY], [], None)
    found = verify([URL], SMS.fields, sign(URL, SMS.fields, SHA1), keys)
    assert found is not None
    assert found.label == "auth_token[1]"


def test_no_key_verifies_nothing() -> None:
    """An account without keys, as one we do not know, fails closed."""
    assert verify([URL], SMS.fields, sign(URL, SMS.fields, Key("", b"")), []) is None


def test_a_key_does_not_show_its_secret() -> None:
    """A key in a log or a traceback is harmless."""
    assert repr(SHA256) == "Key(label='webhooks_sharedkey_1', algorithm='sha256')"
