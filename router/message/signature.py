"""How Twilio signs its webhooks: an HMAC over the URL and the form, or over a URL that holds a hash of the body.

Nothing here reads a request, a setting or a clock: what was signed, and the keys that may have signed it, come in as
arguments.

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
# Characters of a signature: Base64 of a digest of 20 or of 32 bytes.
_LENGTHS: Final[dict[Algorithm, int]] = {"sha1": 28, "sha256": 44}
# Twilio's header that names a shared key has some 80 characters.
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
    """A secret that signs, and the algorithm it signs with.

    `label` identifies the key in metrics (`auth_token[0]`, or the shared key's id), and is not secret.
    """

    label: str
    secret: bytes = field(repr=False)
    algorithm: Algorithm = "sha1"


class SharedKeyRecord(Protocol):
    """One of Twilio's shared keys, as the settings have it."""

    @property
    def id(self) -> str:
        """Twilio's id, as `webhooks_sharedkey_…`."""

    @property
    def algorithm(self) -> str:
        """`HMAC_SHA1` or `HMAC_SHA256`."""

    @property
    def secret(self) -> str:
        """The secret, which Twilio showed when the key was created."""


def keys_for(
    auth_tokens: Sequence[str], shared_keys: Iterable[SharedKeyRecord], settings_header: str | None
) -> tuple[Key, ...]:
    """Choose the keys of one account that may have signed a request, in the order to try them.

    `settings_header` is the request's `X-Twilio-Webhooks-Signature-Settings`, as `key=<id>,algorithm=HMAC_SHA256`.
    Without it an auth token signed (always with SHA-1); with it only the shared key that it names, so both schemes
    may be in use on one URL. The header chooses a key, never an algorithm: one that names another algorithm than
    our record of the key, or a key we do not have, or says anything twice, or is longer than any of Twilio's, leaves no
    key at all.
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

    `params` are the decoded fields of a form body, in any order; none for a GET and for any other kind of body.
    Names are put in byte order; the values of a repeated name are put in order too and repeated values count once,
    which is what the official libraries do and Twilio documents nowhere.
    """
    return sign_form(url, signed_form(params), key)


def sign_form(url: str, form: bytes, key: Key) -> str:
    """Make the `X-Twilio-Signature` of a request whose form `signed_form` has written."""
    return _sign(_bytes(url) + form, key).decode("ascii")


def sign_time(signature: str, seconds: int, keys: Iterable[Key]) -> str:
    """Make the `X-Router-Signature` of a request: when it was signed, and by each key a signature over that.

    It is written as Stripe's, `t=<seconds>,v1=<hex>`; each `v1` is an HMAC-SHA256 over `<seconds>.<signature>`. The
    `signature` is the request's `X-Twilio-Signature`, which covers URL and form and has no time.
    """
    signed = f"{seconds}.{signature}".encode()
    return ",".join([f"t={seconds}", *(f"v1={hmac.digest(key.secret, signed, 'sha256').hex()}" for key in keys)])


def verify(urls: Sequence[str], params: Iterable[tuple[str, str]], signature: str, keys: Sequence[Key]) -> Key | None:
    """Find the key that made `signature` over one of `urls` and the form's fields; None if no key matches.

    `urls` are the forms the signed URL may have, from `signed_urls`, the likeliest first. Each comparison takes the
    same time wherever the texts differ. Nothing is computed for a signature whose length no key of these makes.
    """
    return verify_form(urls, partial(signed_form, params), signature, keys)


def verify_form(urls: Sequence[str], form: Callable[[], bytes], signature: str, keys: Sequence[Key]) -> Key | None:
    """Find the key that made `signature`, as `verify` does; `form` writes the fields as `signed_form` does."""
    given = _bytes(signature)
    keys = [key for key in keys if len(given) == _LENGTHS[key.algorithm]]
    written = form() if keys else b""
    for url in urls:
        for key in keys:
            if matches(url, written, given, key):
                return key
    return None


def matches(url: str, form: bytes, signature: bytes, key: Key) -> bool:
    """Return whether `key` made `signature` over a URL and a form, which `signed_form` has written: one HMAC."""
    return hmac.compare_digest(_sign(_bytes(url) + form, key), signature)


def signed_urls(base: str, raw_target: str) -> tuple[str, ...]:
    """List the URLs that Twilio may have signed for one request, the likeliest first.

    `base` is the public address, as `https://example.com` or `https://example.com:8443/prefix`; `raw_target` the
    request's target byte for byte, as WSGI servers give it (latin-1). Twilio drops credentials and keeps the port
    when it signs for messaging; its libraries also try the URL without the port, with the default port, and with
    credentials. A fragment (connection overrides) is never signed.

    Raises ValueError when the target does not start with a single `/` or is not latin-1, or when the base is not an
    http(s) URL.
    """
    if raw_target[:1] != "/" or raw_target[1:2] == "/":
        raise ValueError(f"the request target must start with a single '/', not {raw_target[:40]!r}")
    target = raw_target.partition("#")[0]
    if not target.isascii():
        target = target.encode("latin-1").decode("utf-8", "surrogateescape")
    return tuple(prefix + target for prefix in _prefixes(base))


def url_to_sign(url: str) -> str:
    """Write the URL of a request that we send the way Twilio signs it: no credentials, no fragment."""
    return _AUTHORITY.sub(r"\g<scheme>", url.partition("#")[0], count=1)


def names_body_hash(url: str) -> bool:
    """Return whether the URL's query holds `bodySHA256`, as Twilio adds when the body is not a form."""
    return bool(_body_hashes(url))


def body_hash_matches(url: str, body: bytes) -> bool:
    """Return whether `bodySHA256` in the URL's query is the SHA-256 of the raw body, in hex.

    A URL that names no hash matches no body. Every hash counts where there are several.
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
    """Write the fields of a form in the way in which Twilio signs them, behind the URL."""
    # Pairs sort by name first and by value next, and str sorts by code point, which is the order of UTF-8 bytes.
    return _bytes("".join(chain.from_iterable(sorted(set(params)))))


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")  # undoes what signed_urls did to bytes that are not UTF-8


@lru_cache(maxsize=64)  # the few public bases; bounded, for a base may come from a Host header
def _prefixes(base: str) -> tuple[str, ...]:
    match = _BASE.fullmatch(base.partition("#")[0])
    if match is None:
        raise ValueError(f"not an http(s) base URL: {base[:80]!r}")
    scheme, credentials, host, port, path = match.group("scheme", "credentials", "host", "port", "path")
    ports = [f":{port}", ""] if port else ["", f":{_DEFAULT_PORTS[scheme.lower()]}"]
    users = [""] if credentials is None else ["", f"{credentials}@"]
    return tuple(f"{scheme}://{user}{host}{port}{(path or '').rstrip('/')}" for user in users for port in ports)
