"""Twilio's webhook signatures: an HMAC over the URL and the form, or over a URL that contains a hash of the body.

All functions are pure: the signed data and the keys are arguments.

https://www.twilio.com/docs/usage/security
https://www.twilio.com/docs/usage/webhooks/webhook-shared-keys
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from itertools import chain
from typing import Final, Literal, Protocol
from urllib.parse import parse_qsl

Algorithm = Literal["sha1", "sha256"]

_ALGORITHMS: Final[dict[str, Algorithm]] = {"HMAC_SHA1": "sha1", "HMAC_SHA256": "sha256"}
_DEFAULT_PORTS: Final = {"http": "80", "https": "443"}
# The length of a signature: Base64 of a digest of 20 or 32 bytes.
_LENGTHS: Final[dict[Algorithm, int]] = {"sha1": 28, "sha256": 44}
# The maximum length of the header that names a shared key; Twilio's has about 80 characters.
_SETTINGS_MOST: Final = 500
_BODY_HASH: Final = "bodySHA256"
_BASE = re.compile(
    r"(?P<scheme>https?)://"
    r"(?:(?P<credentials>[^/?#]*)@)?"
    r"(?P<host>\[[0-9a-f:.]+\]|[^/?#@:\[\]\s]+)"
    r"(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<path>/[^?#\s]*)?",
    re.IGNORECASE,
)
_AUTHORITY = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*://)(?:[^/?#]*@)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Key:
    """A secret for signatures, and its algorithm.

    `label` identifies the key in metrics (`auth_token[0]`, or the shared key's id), and is not secret.
    """

    label: str
    secret: bytes = field(repr=False)
    algorithm: Algorithm = "sha1"


class SharedKeyRecord(Protocol):
    """One of Twilio's shared keys, in the settings."""

    @property
    def id(self) -> str:
        """Twilio's id, such as `webhooks_sharedkey_…`."""

    @property
    def algorithm(self) -> str:
        """`HMAC_SHA1` or `HMAC_SHA256`."""

    @property
    def secret(self) -> str:
        """The secret, which Twilio showed when the key was created."""


def keys_for(
    auth_tokens: Sequence[str], shared_keys: Iterable[SharedKeyRecord], settings_header: str | None
) -> tuple[Key, ...]:
    """Return the keys of one account that may have signed a request, in the order to try them.

    `settings_header` is the request's `X-Twilio-Webhooks-Signature-Settings`, `key=<id>,algorithm=HMAC_SHA256`. Without
    it an auth token signed, always with SHA-1; with it only the shared key that it names, so one URL may use both
    schemes. The header selects a key, never an algorithm. There is no key if it names another algorithm than the
    settings, or an unknown key, or has a repeated value, or is longer than Twilio's.
    """
    if not settings_header:
        return _token_keys(tuple(auth_tokens))
    if len(settings_header) > _SETTINGS_MOST:
        return ()
    named = [(name.strip(), value.strip()) for name, _, value in (p.partition("=") for p in settings_header.split(","))]
    chosen = dict(named)
    if len(chosen) != len(named):
        return ()
    return tuple(
        Key(record.id, record.secret.encode(), _ALGORITHMS[record.algorithm])
        for record in shared_keys
        if record.id == chosen.get("key") and chosen.get("algorithm", record.algorithm) == record.algorithm
    )


@lru_cache(maxsize=1024)
def _token_keys(auth_tokens: tuple[str, ...]) -> tuple[Key, ...]:
    return tuple(Key(f"auth_token[{n}]", token.encode()) for n, token in enumerate(auth_tokens))


def sign(url: str, params: Iterable[tuple[str, str]], key: Key) -> str:
    """Make the `X-Twilio-Signature` of a request.

    `params` are the decoded fields of a form body, in any order; none for a GET and for any other kind of body. They
    are sorted by name in byte order, the values of a repeated name are sorted, too, and repeated values count once.
    Twilio does not document the latter two, but the official libraries do the same.
    """
    return sign_form(url, signed_form(params), key)


def sign_form(url: str, form: bytes, key: Key) -> str:
    """Make the `X-Twilio-Signature` of a request; `form` is a result of `signed_form`."""
    return _sign(_bytes(url) + form, key).decode("ascii")


def sign_time(signature: str, seconds: int, keys: Iterable[Key]) -> str:
    """Make the `X-Router-Signature` of a request: the time of signing, and a signature over it by each key.

    Its format is Stripe's, `t=<seconds>,v1=<hex>`; each `v1` is an HMAC-SHA256 over `<seconds>.<signature>`. The
    `signature` is the request's `X-Twilio-Signature`, which covers URL and form, but no time.
    """
    signed = f"{seconds}.{signature}".encode()
    return ",".join([f"t={seconds}", *(f"v1={hmac.digest(key.secret, signed, 'sha256').hex()}" for key in keys)])


def verify(urls: Sequence[str], params: Iterable[tuple[str, str]], signature: str, keys: Sequence[Key]) -> Key | None:
    """Find the key that made `signature` over one of `urls` and the form's fields; None if no key matches.

    `urls` are the forms the signed URL may have, from `signed_urls`, the likeliest first. Comparisons take constant
    time. Nothing is computed if no key makes signatures of this length.
    """
    return verify_form(urls, partial(signed_form, params), signature, keys)


def verify_form(urls: Sequence[str], form: Callable[[], bytes], signature: str, keys: Sequence[Key]) -> Key | None:
    """Find the key that made `signature`, as `verify` does; `form` returns a result of `signed_form`."""
    received = _bytes(signature)
    keys = [key for key in keys if len(received) == _LENGTHS[key.algorithm]]
    form_bytes = form() if keys else b""
    for url in urls:
        for key in keys:
            if matches(url, form_bytes, received, key):
                return key
    return None


def matches(url: str, form: bytes, signature: bytes, key: Key) -> bool:
    """Return whether `key` made `signature` over a URL and a form, from `signed_form`; this computes one HMAC."""
    return hmac.compare_digest(_sign(_bytes(url) + form, key), signature)


def signed_urls(base: str, raw_target: str) -> tuple[str, ...]:
    """Return the URLs that Twilio may have signed for one request, the likeliest first.

    `base` is the public address, for example `https://example.com` or `https://example.com:8443/prefix`; `raw_target`
    the request's target byte for byte, as from WSGI servers (latin-1). For messaging, Twilio signs without credentials
    and with the port; its libraries also try the URL without the port, with the default port, and with credentials. A
    fragment (connection overrides) is never signed.

    Raises ValueError if the target does not start with a single `/` or is not latin-1, or if the base is not an http(s)
    URL.
    """
    if raw_target[:1] != "/" or raw_target[1:2] == "/":
        raise ValueError(f"the request target must start with a single '/', not {raw_target[:40]!r}")
    target = raw_target.partition("#")[0]
    if not target.isascii():
        target = target.encode("latin-1").decode("utf-8", "surrogateescape")
    return tuple(prefix + target for prefix in _prefixes(base))


def url_to_sign(url: str) -> str:
    """Return the URL of an outbound request in the form in which Twilio signs it: no credentials, no fragment."""
    return _AUTHORITY.sub(r"\g<scheme>", url.partition("#")[0], count=1)


def names_body_hash(url: str) -> bool:
    """Return whether the URL's query has `bodySHA256`, which Twilio adds if the body is not a form."""
    return bool(_body_hashes(url))


def body_hash_matches(url: str, body: bytes) -> bool:
    """Return whether `bodySHA256` in the URL's query is the SHA-256 of the raw body, in hex.

    A URL without a hash matches no body. If there are several, each must match.
    """
    hashes = _body_hashes(url)
    actual = hashlib.sha256(body).hexdigest()
    return bool(hashes) and all(named == actual for named in hashes)


def _body_hashes(url: str) -> list[str]:
    query = url.partition("#")[0].partition("?")[2]
    if not query:
        return []
    return [value for name, value in parse_qsl(query, keep_blank_values=True) if name == _BODY_HASH]


def _sign(signed: bytes, key: Key) -> bytes:
    return base64.b64encode(hmac.digest(key.secret, signed, key.algorithm))


def signed_form(params: Iterable[tuple[str, str]]) -> bytes:
    """Return the fields of a form in the format in which Twilio signs them, after the URL."""
    # Pairs are sorted by name, then by value; str is sorted by code point, which is the order of UTF-8 bytes.
    return _bytes("".join(chain.from_iterable(sorted(set(params)))))


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")  # restores bytes that were not UTF-8 in signed_urls


@lru_cache(maxsize=64)  # the few public bases; limited, because a base may be from a Host header
def _prefixes(base: str) -> tuple[str, ...]:
    match = _BASE.fullmatch(base.partition("#")[0])
    if match is None:
        raise ValueError(f"not an http(s) base URL: {base[:80]!r}")
    scheme, credentials, host, port, path = match.group("scheme", "credentials", "host", "port", "path")
    ports = [f":{port}", ""] if port else ["", f":{_DEFAULT_PORTS[scheme.lower()]}"]
    users = [""] if credentials is None else ["", f"{credentials}@"]
    return tuple(f"{scheme}://{user}{host}{port}{(path or '').rstrip('/')}" for user in users for port in ports)
