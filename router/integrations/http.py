"""Forwards messages over HTTP, for `proxy`, `studio` and `external`.

The body is forwarded byte for byte as Twilio sent it, and signed for the target's URL. Redirects are never followed,
and the proxy settings of the environment are ignored.
"""

import hashlib
import time
from collections.abc import Sequence
from dataclasses import replace
from email.utils import parsedate_to_datetime
from importlib import metadata
from typing import Final

from gevent import Timeout

from router.integrations.base import Attempt, AttemptError, Failure
from router.integrations.connection import BODY_LIMIT, Connection, NoAnswerError, NothingSentError, Response
from router.integrations.dialer import Dialer
from router.integrations.idle_connections import IdleConnections
from router.integrations.location import Location, locate
from router.message.raw import FORM
from router.message.signature import Key, keys_for, sign_form, sign_time
from router.message.twiml import Answer, excerpt_of
from router.settings import Account

# The user agent of Twilio's own requests, which Twilio's hosts expect.
TWILIO_AGENT: Final = "TwilioProxy/1.1"

# Statuses which mean that nothing was processed, and statuses that are retried.
REFUSALS: Final = frozenset((429, 503))
FAILURES: Final = frozenset((408, 425))
FORBIDDEN: Final = 403
REDIRECTS: Final = frozenset((301, 302, 303, 307, 308))


def _agent() -> str:
    try:
        return f"twilio-router/{metadata.version('twilio-message-router')}"
    except metadata.PackageNotFoundError:  # run from a folder that was never installed
        return "twilio-router"


AGENT: Final = _agent()


class Http:
    """Forwards messages, for all HTTP integrations of one process.

    Args:
        dialer: makes the connections.
        webhooks_url: the base of Twilio's webhooks, `ROUTER_TWILIO_WEBHOOKS_URL`, set by the operator.

    """

    def __init__(self, dialer: Dialer, webhooks_url: str) -> None:
        self.webhooks_url = webhooks_url.rstrip("/")
        self._dialer = dialer
        self._pool = IdleConnections()
        self._twilio = locate(webhooks_url).origin

    def forward(
        self, attempt: Attempt, url: str, *, keys: Sequence[Key], trusted: bool = False, either: bool = False
    ) -> Answer:
        """Send the message to a URL, signed with the first of `keys`.

        If one of Twilio's hosts answers 403, as after a key rotation, the message is sent again with the second key.

        Args:
            attempt: the message.
            url: the target's URL.
            keys: the account's or the flow's keys, in the order to try them.
            trusted: whether the URL is under a base that the operator has set.
            either: whether the second key is also tried at a host that is not Twilio's.

        Raises:
            AttemptError: as for `Sender.send`.

        """
        try:
            location = locate(url)
        except ValueError as error:
            raise AttemptError(Failure.PERMANENT, f"the URL of the flow cannot be used: {error}") from error
        if not keys:
            raise AttemptError(Failure.PERMANENT, f"account {attempt.account.sid} has no auth token to sign with")
        is_twilio = location.origin == self._twilio
        location, form = _signed_parts(location, attempt)
        tried = keys[:2] if is_twilio or either else keys[:1]
        for key in tried:
            signature = sign_form(location.url, form, key)
            timed = "" if is_twilio else sign_time(signature, int(time.time()), tried)
            head = _head(attempt, location, signature, timed)
            response = self._post(location, head + attempt.raw.body, account_sid=attempt.account.sid, trusted=trusted)
            if response.status != FORBIDDEN or not response.complete:  # incomplete: perhaps the deadline has passed
                break
        _judge(location, response)
        return _answer(location, response)

    def post(self, url: str, form: bytes, *, authorization: str) -> Answer:
        """Post a form to a URL under a base that the operator has set; the router's own request, not a message.

        Raises:
            AttemptError: as for `Sender.send`; also for every status except 2xx.

        """
        location, response = self.request("POST", url, form, authorization=authorization)
        _judge(location, response)
        return _answer(location, response)

    def request(
        self, method: str, url: str, form: bytes = b"", *, authorization: str, headers: Sequence[str] = ()
    ) -> tuple[Location, Response]:
        """Send a request of the router's own to a base that the operator has set; return the answer of any status.

        Raises:
            AttemptError: there is no answer (`REFUSED` if nothing was sent, else `UNKNOWN`).

        """
        location = locate(url)
        head = [
            f"{method} {location.path} HTTP/1.1",
            f"Host: {location.netloc}",
            f"User-Agent: {AGENT}",
            "Accept: application/json",
            f"Authorization: {authorization}",
            *([f"Content-Type: {FORM}", f"Content-Length: {len(form)}"] if method == "POST" else []),
            *headers,
        ]
        return location, self._post(location, "\r\n".join([*head, "", ""]).encode() + form, trusted=True)

    def close(self) -> None:
        """Close the idle connections."""
        self._pool.close()

    def _post(self, location: Location, request: bytes, *, account_sid: str = "", trusted: bool) -> Response:
        target = (location.origin, trusted)
        # If an idle connection is dead at the first byte, nothing was sent, and the request uses a new connection.
        idle = self._pool.take(target)
        if idle is not None:
            try:
                return self._exchange(target, idle, location, request)
            except NothingSentError:
                pass
        try:
            connection = Connection(self._dialer.dial(location, account_sid=account_sid, trusted=trusted))
            return self._exchange(target, connection, location, request)
        except NothingSentError as error:
            raise AttemptError(Failure.REFUSED, f"{location.origin}: {error}") from error
        except Timeout as error:  # the attempt's deadline; once connected, `Connection` handles it
            raise AttemptError(Failure.REFUSED, f"{location.origin} could not be reached in time") from error

    def _exchange(
        self, target: tuple[str, bool], connection: Connection, location: Location, request: bytes
    ) -> Response:
        try:
            response = connection.exchange(request)
        except NoAnswerError as error:
            raise AttemptError(Failure.UNKNOWN, f"{location.origin}: {error}") from error
        self._pool.give(target, connection)
        return response


def auth_tokens(account: Account) -> tuple[Key, ...]:
    """Return the account's keys for requests to Twilio: its auth tokens, in order of preference.

    Shared keys are excluded: it is not documented that Twilio's own hosts accept their signatures.
    """
    return keys_for(account.auth_tokens, (), None)


def retry_after(value: str, now: float) -> float | None:
    """Parse a `Retry-After` header: seconds, or an HTTP date; `now` is in Unix seconds. None if it is neither.

    https://www.rfc-editor.org/rfc/rfc9110#section-10.2.3
    """
    value = value.strip()
    if value.isascii() and value.isdecimal():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - now)
    except (ValueError, OverflowError):
        return None


def _signed_parts(location: Location, attempt: Attempt) -> tuple[Location, bytes]:
    """Return the signed parts: URL and form or, for a body that is not a form, a URL that contains its hash."""
    raw = attempt.raw
    if raw.is_form:
        return location, raw.signed_form()
    digest = hashlib.sha256(raw.body).hexdigest()
    query = f"{'&' if '?' in location.path else '?'}bodySHA256={digest}"
    return replace(location, url=location.url + query, path=location.path + query), b""


def _head(attempt: Attempt, location: Location, signature: str, timed: str) -> bytes:
    """Return the head of the request; `timed` is the `X-Router-Signature`, "" for requests to Twilio."""
    raw = attempt.raw
    lines = [
        f"POST {location.path} HTTP/1.1",
        f"Host: {location.netloc}",
        f"User-Agent: {AGENT if timed else TWILIO_AGENT}",
        "Accept: */*",
        f"Content-Type: {FORM if raw.method == 'GET' else raw.content_type}",
        f"Content-Length: {len(raw.body)}",
        f"X-Twilio-Signature: {signature}",
        f"I-Twilio-Idempotency-Token: {raw.idempotency_token or attempt.message.message_sid}",
        f"X-Router-Flex-Flow-Sid: {attempt.flow.sid}",
        f"X-Router-Attempt: {attempt.number}",
    ]
    if timed:
        lines.append(f"X-Router-Signature: {timed}")
    if raw.cookie:
        lines.append(f"Cookie: {raw.cookie}")
    if location.authorization:
        lines.append(f"Authorization: {location.authorization}")
    if attempt.language:
        lines.append(f"X-Router-Language: {attempt.language}")
    if attempt.replay:
        lines.append("X-Router-Replay: true")
    head = "\r\n".join(lines)
    if head.count("\n") != len(lines) - 1 or head.count("\r") != len(lines) - 1 or "\0" in head:
        raise AttemptError(Failure.PERMANENT, "a header of the message holds a line break; it is not passed on")
    return f"{head}\r\n\r\n".encode("latin-1", "replace")


def _judge(location: Location, response: Response) -> None:
    """Raise the kind of failure that a status means, with the target's error text; return for a success."""
    status = response.status
    if 200 <= status < 300:  # noqa: PLR2004
        return
    if status in REFUSALS:
        failure = Failure.REFUSED
    elif status in FAILURES or 500 <= status < 600:  # noqa: PLR2004
        failure = Failure.FAILED
    elif status < 500:  # noqa: PLR2004
        failure = Failure.PERMANENT
    else:
        raise AttemptError(Failure.UNKNOWN, f"{location.origin} answered {status}, which is no HTTP status")
    after = response.header(b"retry-after")
    readable = response.header(b"content-encoding") in {"", "identity"}
    body, reason = response.body if readable else b"", f"{location.origin} answered {status}"
    if leads_to := response.header(b"location") if status in REDIRECTS else "":
        # Redirects are not followed: the signature covers another URL, and the target could make this
        # router call any URL.
        reason += ", a redirect. Redirects are not followed: a message is signed for one URL, that of its flow. "
        reason += "Give the flow the URL that this one leads to"
        body = f"Location: {leads_to}\n\n".encode() + body
    raise AttemptError(
        failure,
        reason,
        status=status,
        retry_after=retry_after(after, time.time()) if after else None,
        excerpt=excerpt_of(response.header(b"content-type"), body),
    )


def _answer(location: Location, response: Response) -> Answer:
    """Return the target's answer, without a body that is incomplete, or compressed although not requested."""
    flaw = ""
    if not response.complete:
        flaw = f"it is over {BODY_LIMIT // 1024} KiB" if response.size > BODY_LIMIT else "it did not come whole"
    elif response.header(b"content-encoding") not in {"", "identity"}:
        flaw = "it is compressed, which was not asked for"
    readable = not flaw
    return Answer(
        status=response.status,
        content_type=response.header(b"content-type") if readable else "",
        body=response.body if readable else b"",
        url=location.url,
        set_cookie=tuple(value.decode("latin-1") for name, value in response.headers if name == b"set-cookie"),
        flaw=flaw,
    )
