"""A webhook called as Twilio calls it: signed, by POST or GET, with Twilio's patience, redirects followed.

https://www.twilio.com/docs/usage/webhooks/webhooks-connection-overrides
https://www.twilio.com/docs/messaging/twiml#twilios-request-to-your-application
"""

import time
import uuid
from dataclasses import dataclass, replace
from typing import Final, Literal
from urllib.parse import urlencode, urljoin, urlsplit

from router.cli.http import Answered, NoAnswer, exchange
from router.cli.send.override import Overrides
from router.message.inbound import FORM
from router.message.signature import Key, sign, url_to_sign

__all__ = ["REDIRECTS", "TAMPERS", "Answered", "Fields", "Method", "NoAnswer", "Signing", "call", "send"]

Fields = list[tuple[str, str]]
Method = Literal["POST", "GET"]

# How many redirects Twilio follows: https://www.twilio.com/docs/api/errors/11215
REDIRECTS: Final = 10
_REDIRECT: Final = range(300, 400)
_KEEP_THE_METHOD: Final = (307, 308)
_FAILED: Final = 400

TAMPERS: Final = {
    "body": "a parameter is added after it was signed",
    "url": "it is signed for another URL: https in place of http, or the other way round",
    "key": "it is signed with a key that is not the account's",
    "scheme": "it names another signing scheme than the one it is signed by",
    "missing": "it has no signature",
    "account": "it is of an account that is not served here",
}
"""Ways to break a webhook, each of which must be refused."""


@dataclass(frozen=True, slots=True)
class Signing:
    """How a webhook is signed: the key, and for a shared key the header that names it.

    `tamper` is one of `TAMPERS`, or "".
    """

    key: Key
    header: str = ""
    tamper: str = ""


def send(  # noqa: PLR0913 - where to, what, how it is signed, and how long to wait
    url: str,
    form: Fields,
    key: Key | Signing,
    *,
    signed_as: str = "",
    method: Method = "POST",
    overrides: Overrides | None = None,
) -> Answered:
    """Send a webhook once, as Twilio does, signed; a redirect is its answer.

    Args:
        url: where to.
        form: its parameters.
        key: what signs.
        signed_as: the URL as it is written at Twilio, where that is another one than `url`.
        method: with GET the parameters are in the query.
        overrides: how long to wait, where that is not as long as Twilio does.

    Raises:
        NoAnswer: nobody listens, or nobody answers in the time that Twilio waits.
    """
    times = overrides or Overrides()
    signing = key if isinstance(key, Signing) else Signing(key)
    encoded = urlencode(form)
    public = url_to_sign(signed_as or url)
    headers = {
        "Accept": "*/*",
        "User-Agent": "TwilioProxy/1.1",
        "X-Home-Region": "us1",
        "I-Twilio-Idempotency-Token": str(uuid.uuid4()),
        **_signature(public if method == "POST" else _with_query(public, encoded), form, signing, method),
    }
    if signing.tamper == "body":
        encoded += "&Tampered=1"
    if method == "GET":
        where = _with_query(url.partition("#")[0], encoded)
        return exchange(method, where, None, headers, connect=times.connect, read=times.read)
    headers["Content-Type"] = f"{FORM}; charset=UTF-8"
    return exchange(method, url, encoded.encode(), headers, connect=times.connect, read=times.read)


def call(url: str, form: Fields, signing: Signing, *, signed_as: str = "", method: Method = "POST") -> Answered:
    """Send a webhook as Twilio does: again after some failures, as the URL's fragment says, and where it redirects to.

    The arguments and what it raises are those of `send`.

    https://www.twilio.com/docs/usage/webhooks/webhooks-connection-overrides
    """
    overrides = Overrides.of(url)
    end = time.monotonic() + overrides.total
    attempts, seconds = 0, 0.0
    while True:
        attempts += 1
        began = time.monotonic()
        try:
            answered = _followed(url, form, signing, signed_as, method, replace(overrides, read=_left(overrides, end)))
        except NoAnswer as error:
            failure = "rt" if error.connected else "ct"
            if attempts > overrides.retries or not overrides.repeats(failure) or time.monotonic() >= end:
                raise
        else:
            failure = f"{answered.status // 100}xx" if answered.status >= _FAILED else ""
            seconds += time.monotonic() - began
            if attempts > overrides.retries or not overrides.repeats(failure) or time.monotonic() >= end:
                return replace(answered, seconds=seconds, attempts=attempts)


def _left(overrides: Overrides, end: float) -> float:
    return max(0.1, min(overrides.read, end - time.monotonic()))


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
            break  # a URL that is none
        if answered.status not in _KEEP_THE_METHOD:
            form, method = [], "GET"
        answered = send(at, form, signing, signed_as=where, method=method, overrides=overrides)
        redirects += 1
    return replace(answered, redirects=redirects)


def _signature(public: str, form: Fields, signing: Signing, method: Method) -> dict[str, str]:
    """Return the headers that sign a request, broken where that is wanted."""
    key, header, tamper = signing.key, signing.header, signing.tamper
    if tamper == "missing":
        return {}
    if tamper == "key":
        key = replace(key, secret=b"not " + key.secret)
    if tamper == "scheme":
        header = "" if header else "key=webhooks_sharedkey_00000000000000000000000000,algorithm=HMAC_SHA256"
    if tamper == "url":
        scheme, _, rest = public.partition("://")
        public = f"{'http' if scheme == 'https' else 'https'}://{rest}"
    headers = {"X-Twilio-Signature": sign(public, form if method == "POST" else (), key)}
    return headers | {"X-Twilio-Webhooks-Signature-Settings": header} if header else headers


def _with_query(url: str, query: str) -> str:
    return f"{url}{'&' if '?' in url else '?'}{query}" if query else url
