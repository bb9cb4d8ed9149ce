"""Authentication: HTTP Basic with account SID and auth token, or with API key SID and secret.

The rate limit never blocks valid credentials: they are checked before it. Only failed attempts are counted, in the
store, for all processes together; above a limit they are answered with 429. The limit reduces load. It is not needed
against guessing, because an auth token has 128 random bits.

https://www.twilio.com/docs/iam/api-keys
"""

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from flask import Request, Response, request
from werkzeug.datastructures import Authorization

from router.errors import StoreUnavailable
from router.settings import Account, Settings
from router.store.failures import Failures
from router.web import same_origin
from router.web.errors import ApiError, error_response, forbidden
from router.web.public import client_address, doubt, public_bases

# Compared when the user name is unknown, so that the response time does not reveal which accounts exist.
_UNKNOWN: Final = ("0" * 32,)


@dataclass(frozen=True, slots=True)
class Caller:
    """The authenticated client: its account, and its user name (`AC…` or `SK…`)."""

    account: Account
    user: str


class Unauthenticated(ApiError):  # noqa: N818 - it is an answer
    """No credentials, or wrong ones; the answer is the same in each case."""

    def __init__(self) -> None:
        super().__init__(401, 20003, "Authenticate")


def identify(request: Request, settings: Settings) -> Caller:
    """Return the authenticated client; raise `Unauthenticated`.

    Raises `ApiError` 403 for a change that a page of another site requests, before the credentials are checked; and
    after that for an untrusted host, because the client would send its credentials to the URLs in the answer.
    """
    if reason := same_origin.refusal(request.environ, settings, page=False):
        raise forbidden(reason)
    caller = _authenticated(request, settings)
    if not public_bases(request.environ, settings):
        raise forbidden(doubt(request.environ, settings))
    return caller


def _authenticated(request: Request, settings: Settings) -> Caller:
    sent = _credentials(request)
    if sent is not None and sent.type == "basic":
        user, password = sent.username or "", (sent.password or "").encode()
        account, secrets = _secrets(user, settings)
        # Every secret is compared, in constant time, so that the response time does not reveal which one matched.
        if sum(hmac.compare_digest(secret.encode(), password) for secret in secrets) and account is not None:
            return Caller(account, user)
    raise Unauthenticated


def _credentials(request: Request) -> Authorization | None:
    try:
        return request.authorization
    except ValueError:  # the header is not valid UTF-8
        return None


def authenticate(request: Request, settings: Settings) -> Account:
    """Return the account of the authenticated client; raise `Unauthenticated`."""
    return identify(request, settings).account


def _secrets(user: str, settings: Settings) -> tuple[Account | None, tuple[str, ...]]:
    if account := settings.account(user):
        return account, account.auth_tokens
    if found := settings.by_api_key.get(user):
        account, key = found
        return account, (key.secret,)
    return None, _UNKNOWN


def refusal(settings: Settings, failures: Failures) -> Callable[[Unauthenticated], Response]:
    """Return the error handler for wrong credentials: 401, or 429 with Retry-After after too many failures."""

    def refuse(error: Unauthenticated) -> Response:
        if _credentials(request) is None:  # no credentials were sent: not a failed login
            return error_response(error)
        try:
            seconds = failures.count(client_address(request.environ, settings))
        except StoreUnavailable:
            return error_response(error)
        if not seconds:
            return error_response(error)
        response = error_response(ApiError(429, 20429, "Too many requests with wrong credentials"))
        response.headers["Retry-After"] = str(seconds)
        return response

    return refuse
