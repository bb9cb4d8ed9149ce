"""Calls Twilio's REST API, for integrations that write resources instead of forwarding the message.

A write whose outcome is unknown may have succeeded. So if an attempt `repeats` an earlier one, the sender first
searches for the result, and the next attempt is delayed until Twilio's lists contain it.
"""

import json
import time
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from router.integrations.base import Attempt, AttemptError, Failure
from router.integrations.codes import sentence
from router.integrations.connection import Response
from router.integrations.http import FAILURES, REFUSALS, Http, retry_after
from router.message.twiml import Excerpt, excerpt_of
from router.settings import Account

TASKROUTER: Final = "https://taskrouter.twilio.com"
CONVERSATIONS: Final = "https://conversations.twilio.com"
FLEX: Final = "https://flex-api.twilio.com"
PROXY: Final = "https://proxy.twilio.com"

# Seconds between a write without an answer and the search for it: TaskRouter does not document the delay of its lists.
LOOK_AFTER: Final = 5.0
# The part of an attempt's time after which no request is begun any more.
_PART: Final = 0.8
UNAUTHORIZED: Final = 401
NOT_FOUND: Final = 404
PRECONDITION: Final = 412


# A form; a list of pairs if a name is repeated.
Form: TypeAlias = Mapping[str, str] | Sequence[tuple[str, str]]


class RestError(AttemptError):
    """Twilio answered with an error: its `code`, 0 for none, and its message `text`, which may contain addresses."""

    def __init__(  # noqa: PLR0913 - keyword arguments
        self,
        failure: Failure,
        reason: str,
        *,
        status: int,
        code: int,
        text: str,
        after: float | None,
        excerpt: Excerpt | None,
    ) -> None:
        super().__init__(failure, reason, status=status, retry_after=after, excerpt=excerpt)
        self.code = code
        self.text = text


@dataclass(frozen=True, slots=True)
class Reply:
    """A record, or a page of records, in Twilio's JSON."""

    status: int
    record: Mapping[str, Any] = field(repr=False)
    etag: str = ""

    def text(self, name: str) -> str:
        """Return a text of the record, "" for null."""
        return str(self.record.get(name) or "")

    @property
    def following(self) -> dict[str, str]:
        """The query of the next page, {} after the last one. The URL's host and path are ignored, as untrusted."""
        meta = self.record.get("meta")
        url = str(meta.get("next_page_url") or "") if isinstance(meta, dict) else ""
        return dict(parse_qsl(urlsplit(url).query))

    def rows(self, name: str) -> list[Mapping[str, Any]]:
        """Return the records of a page."""
        found = self.record.get(name)
        return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


@dataclass(frozen=True, slots=True)
class Rest:
    """Reads and writes as an account; `api_url` is ROUTER_TWILIO_API_URL, None for Twilio's own hosts."""

    http: Http
    api_url: str | None = None

    def get(self, account: Account, url: str, **query: str) -> Reply:
        """Read a record or a page.

        Raises:
            RestError: Twilio answered with an error.
            AttemptError: there is no answer. Nothing was written, so the message may wait.

        """
        try:
            return self._call(account, "GET", f"{url}?{urlencode(query, quote_via=quote)}" if query else url)
        except RestError:
            raise
        except AttemptError as error:
            reason = f"{error.reason}, when it was asked what there is already; nothing was written"
            raise AttemptError(Failure.REFUSED, reason, unreachable=error.unreachable) from error

    def post(self, account: Account, url: str, form: Form, *, headers: Sequence[str] = ()) -> Reply:
        """Write a record.

        Raises:
            RestError: Twilio answered with an error.
            AttemptError: there is no answer.

        """
        return self._call(account, "POST", url, urlencode(form).encode(), headers)

    def delete(self, account: Account, url: str) -> None:
        """Remove a record; it is no error if it does not exist. Raises as `post` does."""
        try:
            self._call(account, "DELETE", url)
        except RestError as error:
            if error.status != NOT_FOUND:
                raise

    def _call(self, account: Account, method: str, url: str, form: bytes = b"", headers: Sequence[str] = ()) -> Reply:
        if self.api_url:
            url = self.api_url.rstrip("/") + "/" + url.partition("://")[2].partition("/")[2]
        if not account.auth_tokens:
            raise AttemptError(Failure.PERMANENT, f"account {account.sid} has no auth token for Twilio's REST API")
        for token in account.auth_tokens[:2]:  # after a rotation at Twilio the second one is valid
            basic = b64encode(f"{account.sid}:{token}".encode()).decode()
            try:
                _, response = self.http.request(method, url, form, authorization=f"Basic {basic}", headers=headers)
            except AttemptError as error:
                if error.failure is not Failure.UNKNOWN:
                    raise
                raise AttemptError(Failure.UNKNOWN, error.reason, retry_after=LOOK_AFTER) from error
            if response.status != UNAUTHORIZED or not response.complete:
                break
        return _judged(url.partition("?")[0], response)


def _judged(url: str, response: Response) -> Reply:
    """Parse an answer; raise if it is not a success, or is incomplete."""
    status = response.status
    what = _named(url)
    if not response.complete:
        raise AttemptError(Failure.UNKNOWN, f"{what}: the answer did not come whole", retry_after=LOOK_AFTER)
    try:
        body = json.loads(response.body) if response.body else {}
    except ValueError:
        body = None
    record = body if isinstance(body, dict) else {}
    if 200 <= status < 300:  # noqa: PLR2004
        if body is None or not isinstance(body, dict):
            raise AttemptError(Failure.UNKNOWN, f"{what} did not answer as Twilio does", retry_after=LOOK_AFTER)
        return Reply(status, record, response.header(b"etag"))
    raise _error(what, response, record)


def _error(what: str, response: Response, record: Mapping[str, Any]) -> RestError:
    status = response.status
    code = record.get("code")
    code = code if isinstance(code, int) else 0
    if status in REFUSALS:
        failure = Failure.REFUSED
    elif status in FAILURES or status >= 500:  # noqa: PLR2004
        failure = Failure.FAILED
    else:
        failure = Failure.PERMANENT
    known = sentence(code, status)
    reason = f"{what} answered {status}{f' ({code})' if code else ''}{f': {known}' if known else ''}"
    header = response.header(b"retry-after")
    after = retry_after(header, time.time()) if header else None
    if failure is Failure.FAILED:
        after = max(after or 0.0, LOOK_AFTER)
    return RestError(
        failure,
        reason,
        status=status,
        code=code,
        text=str(record.get("message", "")),
        after=after,
        excerpt=excerpt_of(response.header(b"content-type"), response.body),
    )


def _named(url: str) -> str:
    """Return the name of a resource for people: its path. `url` has no query, which may contain an address."""
    path = url.partition("://")[2].partition("/")[2]
    return f"Twilio's /{path}"


def deadline(attempt: Attempt, started: float) -> None:
    """Raise if most of an attempt's time is over, so that no further request is begun."""
    if time.monotonic() - started > _PART * attempt.seconds:
        raise AttemptError(Failure.REFUSED, "Twilio is slow: the attempt's time ended between two requests")
