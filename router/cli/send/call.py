"""Calls a webhook as Twilio does: signed, by POST or GET, with Twilio's timeouts, following redirects.

https://www.twilio.com/docs/messaging/twiml#twilios-request-to-your-application
"""

import uuid
from dataclasses import replace
from typing import Final
from urllib.parse import urlencode, urljoin, urlsplit

import click

from router.cli.http import exchange
from router.cli.send.signing import Fields, Method, Signing
from router.diagnosis.twilio_view import REDIRECTS, Answered
from router.message.raw import FORM
from router.message.signature import url_to_sign
from router.url import is_http_url

_REDIRECT: Final = range(300, 400)
_KEEP_THE_METHOD: Final = (307, 308)


def web_url(text: str) -> str:
    """Check that a text is the absolute http or https URL of a webhook."""
    if not is_http_url(text):
        raise ValueError(f"{text[:80]!r} is not an absolute http or https URL such as https://example.com/sms")
    if not text.isascii():
        raise ValueError(f"{text[:80]!r} has characters that must be percent-encoded")
    return text


url_option = click.option("--url", type=web_url, metavar="URL", help="The URL to send to. [the router that runs here]")


def send(url: str, form: Fields, signing: Signing, *, signed_as: str = "", method: Method = "POST") -> Answered:
    """Send a signed webhook once; redirects are not followed.

    `signed_as` is the URL as it is set at Twilio, if that is not `url`. A fragment, with which Twilio sets connection
    overrides, is neither signed nor sent.

    Raises:
        NoAnswer: there was no connection, or no answer in time.
    """
    public, encoded = url_to_sign(signed_as or url), urlencode(form)
    headers = {
        "Accept": "*/*",
        "User-Agent": "TwilioProxy/1.1",
        "X-Home-Region": "us1",
        "I-Twilio-Idempotency-Token": str(uuid.uuid4()),
        **signing.headers(public if method == "POST" else _with_query(public, encoded), form, method),
    }
    if signing.tamper == "body":
        encoded += "&Tampered=1"
    if method == "GET":
        return exchange(method, _with_query(url.partition("#")[0], encoded), headers=headers)
    return exchange(method, url, encoded.encode(), headers | {"Content-Type": f"{FORM}; charset=UTF-8"})


def call(url: str, form: Fields, signing: Signing, *, signed_as: str = "", method: Method = "POST") -> Answered:
    """Send a webhook and follow redirects: after a 301, 302 or 303 by GET, without the form.

    Arguments and errors are those of `send`. https://www.twilio.com/docs/api/errors/11215
    """
    answered = send(url, form, signing, signed_as=signed_as, method=method)
    target, public, redirects = url, signed_as or url, 0
    while answered.status in _REDIRECT and answered.location and redirects < REDIRECTS:
        try:
            target, public = urljoin(target, answered.location), urljoin(public, answered.location)
            parts = urlsplit(target)
            if parts.scheme not in ("http", "https") or parts.port == 0:
                break
        except ValueError:
            break  # not a URL
        if answered.status not in _KEEP_THE_METHOD:
            form, method = [], "GET"
        answered = send(target, form, signing, signed_as=public, method=method)
        redirects += 1
    return replace(answered, redirects=redirects)


def _with_query(url: str, query: str) -> str:
    return f"{url}{'&' if '?' in url else '?'}{query}" if query else url
