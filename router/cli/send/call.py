"""Calls a webhook as Twilio does: signed, by POST or GET, with Twilio's timeouts and retries, following redirects.

The fragment of a webhook's URL sets timeouts and retries, as `#rc=2&rp=ct,5xx`:
https://www.twilio.com/docs/usage/webhooks/webhooks-connection-overrides
https://www.twilio.com/docs/messaging/twiml#twilios-request-to-your-application
"""

import time
import uuid
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit

import click

from router.cli.http import Answered, NoAnswer, exchange
from router.cli.send.signing import Fields, Method, Signing
from router.message.inbound import FORM
from router.message.signature import url_to_sign
from router.url import is_http_url

# How many redirects Twilio follows: https://www.twilio.com/docs/api/errors/11215
REDIRECTS: Final = 10
_REDIRECT: Final = range(300, 400)
_KEEP_THE_METHOD: Final = (307, 308)
_FAILED: Final = 400
_POLICIES: Final = frozenset(("ct", "rt", "4xx", "5xx", "all"))
# The ranges that Twilio allows: ms, ms, ms, and times.
_RANGES: Final = {"ct": (100, 10_000), "rt": (100, 15_000), "tt": (100, 15_000), "rc": (0, 5)}
_OTHERS: Final = frozenset(("sni", "e"))


@dataclass(frozen=True, slots=True)
class Overrides:
    """Twilio's connection overrides, with Twilio's defaults. Times are seconds.

    Args:
        connect: the timeout of the connection.
        read: the timeout of the answer.
        total: the timeout of all attempts together.
        retries: how many attempts may follow the first one.
        policy: the failures that are retried: `ct` no connection, `rt` no answer in time, `4xx`, `5xx`, `all`.
    """

    connect: float = 5.0
    read: float = 15.0
    total: float = 15.0
    retries: int = 1
    policy: frozenset[str] = frozenset(("ct",))

    @classmethod
    def of(cls, url: str) -> "Overrides":
        """Read the overrides in the fragment of a URL.

        Raises:
            ValueError: a name or a value that Twilio does not know.
        """
        given = dict(parse_qsl(urlsplit(url).fragment, keep_blank_values=True))
        for name, text in given.items():
            low, high = _RANGES.get(name, (0, 0))
            if name in _RANGES and not (text.isascii() and text.isdecimal() and low <= int(text) <= high):
                raise ValueError(f"{name}={text[:20]} is not a number from {low} to {high}")
            if name == "rp" and not set(text.split(",")) <= _POLICIES:
                raise ValueError(f"rp={text[:40]} is not of {', '.join(sorted(_POLICIES))}")
            if name not in _RANGES | dict.fromkeys(("rp", *_OTHERS)):
                raise ValueError(f"{name[:20]!r} is not a connection override")
        usual = cls()
        return cls(
            connect=int(given.get("ct", 1000 * usual.connect)) / 1000,
            read=int(given.get("rt", 1000 * usual.read)) / 1000,
            total=int(given.get("tt", 1000 * usual.total)) / 1000,
            retries=int(given.get("rc", usual.retries)),
            policy=frozenset(given["rp"].split(",")) if "rp" in given else usual.policy,
        )

    def again(self, failure: str, attempts: int, seconds: float) -> bool:
        """Return whether Twilio makes another attempt.

        Args:
            failure: `ct`, `rt`, `4xx` or `5xx`; "" for an answer without a failure.
            attempts: the number of attempts so far.
            seconds: the time since the first attempt.
        """
        repeated = failure in self.policy or "all" in self.policy
        return bool(failure) and repeated and attempts <= self.retries and seconds < self.total


class WebUrl(click.ParamType[str]):
    """The absolute http or https URL of a webhook."""

    name = "url"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Check it."""
        text = str(value)
        usable = is_http_url(text)
        if usable and not text.isascii():
            self.fail(f"{text[:80]!r} has characters that must be percent-encoded", param, ctx)
        if not usable:
            self.fail(f"{text[:80]!r} is not an absolute http or https URL, as https://example.com/sms", param, ctx)
        try:
            Overrides.of(text)
        except ValueError as error:
            self.fail(f"the fragment of {text[:80]!r}: {error}", param, ctx)
        return text


def send(  # noqa: PLR0913 - where to, what, how it is signed, and how long to wait
    url: str,
    form: Fields,
    signing: Signing,
    *,
    signed_as: str = "",
    method: Method = "POST",
    overrides: Overrides | None = None,
) -> Answered:
    """Send a signed webhook once, as Twilio does; redirects are not followed.

    Args:
        url: the URL to call.
        form: its parameters.
        signing: the key that signs.
        signed_as: the URL as it is set at Twilio, if that is not `url`.
        method: with GET the parameters are in the query.
        overrides: the timeouts, by default Twilio's.

    Raises:
        NoAnswer: there was no connection, or no answer in time.
    """
    times, encoded = overrides or Overrides(), urlencode(form)
    public = url_to_sign(signed_as or url)
    headers = {
        "Accept": "*/*",
        "User-Agent": "TwilioProxy/1.1",
        "X-Home-Region": "us1",
        "I-Twilio-Idempotency-Token": str(uuid.uuid4()),
        **signing.headers(public if method == "POST" else _with_query(public, encoded), form, method),
    }
    if signing.tamper == "body":
        encoded += "&Tampered=1"
    body = None
    if method == "GET":
        url = _with_query(url.partition("#")[0], encoded)
    else:
        headers["Content-Type"] = f"{FORM}; charset=UTF-8"
        body = encoded.encode()
    return exchange(method, url, body, headers, connect=times.connect, read=times.read)


def call(url: str, form: Fields, signing: Signing, *, signed_as: str = "", method: Method = "POST") -> Answered:
    """Send a webhook as Twilio does, with retries as the URL's fragment sets them, and following redirects.

    Arguments and errors are those of `send`.
    """
    overrides = Overrides.of(url)
    began = time.monotonic()
    attempts, seconds = 0, 0.0
    while True:
        attempts += 1
        attempt_began = time.monotonic()
        left = replace(overrides, read=max(0.1, min(overrides.read, overrides.total - (attempt_began - began))))
        try:
            answered = _followed(url, form, signing, signed_as, method, left)
        except NoAnswer as error:
            if not overrides.again("rt" if error.connected else "ct", attempts, time.monotonic() - began):
                raise
        else:
            seconds += time.monotonic() - attempt_began
            failure = f"{answered.status // 100}xx" if answered.status >= _FAILED else ""
            if not overrides.again(failure, attempts, time.monotonic() - began):
                return replace(answered, seconds=seconds, attempts=attempts)


def _followed(  # noqa: PLR0913, PLR0917 - those of `call`, and how long to wait
    url: str, form: Fields, signing: Signing, signed_as: str, method: Method, overrides: Overrides
) -> Answered:
    """Send a webhook and follow redirects: after a 301, 302 or 303 by GET, without the form.

    https://www.twilio.com/docs/api/errors/11215
    """
    answered = send(url, form, signing, signed_as=signed_as, method=method, overrides=overrides)
    at, where, redirects = url, signed_as or url, 0
    while answered.status in _REDIRECT and answered.location and redirects < REDIRECTS:
        try:
            at, where = urljoin(at, answered.location), urljoin(where, answered.location)
            parts = urlsplit(at)
            if parts.scheme not in ("http", "https") or parts.port == 0:
                break
        except ValueError:
            break  # not a URL
        if answered.status not in _KEEP_THE_METHOD:
            form, method = [], "GET"
        answered = send(at, form, signing, signed_as=where, method=method, overrides=overrides)
        redirects += 1
    return replace(answered, redirects=redirects)


def _with_query(url: str, query: str) -> str:
    return f"{url}{'&' if '?' in url else '?'}{query}" if query else url
