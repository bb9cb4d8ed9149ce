"""Authentication: HTTP Basic with account SID and auth token, or with API key SID and secret.

The rate limit never blocks valid credentials: they are checked before it. Only failed attempts are counted, in the
store, for all processes together; above a limit they are answered with 429. The limit reduces load; it is not needed
against guessing, since an auth token has 128 random bits.

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
_NOBODYS: Final = ("0" * 32,)


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

    Raises `ApiError` 403: before the credentials are checked, for a change that a page of another site requests; after
    it, for an untrusted host: the answer's URLs would lead there, and the client would send its credentials.
    """
    if reason := same_origin.refusal(request.environ, settings, page=False):
        raise forbidden(reason)
    caller = _authenticated(request, settings)
    if not public_bases(request.environ, settings):
        raise forbidden(doubt(request.environ, settings))
    return caller


def _authenticated(request: Request, settings: Settings) -> Caller:
    given = _given(request)
    if given is not None and given.type == "basic":
        user, password = given.username or "", (given.password or "").encode()
        account, secrets = _secrets(user, settings)
        # Every secret is compared, in constant time, so that the response time does not reveal which one matched.
        if sum(hmac.compare_digest(secret.encode(), password) for secret in secrets) and account is not None:
            return Caller(account, user)
    raise Unauthenticated


def _given(request: Request) -> Authorization | None:
    try:
        return request.authorization
    except ValueError:  # bytes that are no text
        return None


def authenticate(request: Request, settings: Settings) -> Account:
    """Return the account that the request is made for; raise `Unauthenticated`."""
    return identify(request, settings).account


def _secrets(user: str, settings: Settings) -> tuple[Account | None, tuple[str, ...]]:
    if account := settings.account(user):
        return account, account.auth_tokens
    if found := settings.by_api_key.get(user):
        account, key = found
        return account, (key.secret,)
    return None, _NOBODYS


def refusal(settings: Settings, failures: Failures) -> Callable[[Unauthenticated], Response]:
    """Make the answer to wrong credentials: 401, or 429 with Retry-After after too many failures."""

    def refuse(error: Unauthenticated) -> Response:
        if _given(request) is None:  # no credentials were sent: not a failed login
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
