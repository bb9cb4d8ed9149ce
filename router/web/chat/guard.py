"""Shared by all requests of visitors: reads JSON, checks the token, and writes errors that ask for no password.

A visitor's browser must never ask for a password: these answers have no `WWW-Authenticate`.
"""

import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from flask import Request, Response, request

from router.chat.limit import REQUEST_MOST
from router.chat.token import BadToken, Tokens, Visitor
from router.errors import RouterError, StoreUnavailable
from router.store import Store
from router.store.chat_record import Chat
from router.web.errors import ApiError, error_response
from router.web.request import Refusal, read_body

_CODES: Final = {400: 45745, 401: 20003, 403: 20403, 404: 20404, 408: 20001, 409: 20409, 413: 20413, 429: 45719}


def refusal(status: int, message: str) -> ApiError:
    """Return the error for a visitor's request that is refused."""
    return ApiError(status, _CODES.get(status, 20001), message)


class TooMuch(ApiError):  # noqa: N818 - it is an answer
    """A limit is reached; the visitor may try again after `seconds`."""

    def __init__(self, seconds: float) -> None:
        self.seconds = max(1, math.ceil(seconds))
        super().__init__(429, _CODES[429], f"Too many requests: try again in {self.seconds} s")


def check_limit(seconds: float) -> None:
    """Raise TooMuch if a limit requires to wait for so many seconds."""
    if seconds:
        raise TooMuch(seconds)


def visitor_error(error: RouterError) -> Response:
    """Return the answer for an error of a visitor's request."""
    if isinstance(error, StoreUnavailable):
        error = ApiError(503, 20503, "The store does not answer, so this may not be saved; send the request again")
    elif isinstance(error, Refusal):
        error = refusal(error.status, f"The request cannot be read: {error.reason}")
    assert isinstance(error, ApiError)  # noqa: S101 - no other is registered
    response = error_response(error)
    response.headers.pop("WWW-Authenticate", None)
    if isinstance(error, TooMuch):
        response.headers["Retry-After"] = str(error.seconds)
    return private(response)


def private(response: Response) -> Response:
    """Forbid caches to store a visitor's answer."""
    response.headers["Cache-Control"] = "no-store"
    return response


def answer(body: Mapping[str, Any] | None, status: int = 200) -> Response:
    """Return an answer to a visitor; status 204 without a body."""
    if body is None:
        return private(Response(status=204))
    return private(Response(json.dumps(body), status, content_type="application/json"))


def read_json(request: Request, most: int = REQUEST_MOST) -> dict[str, Any]:
    """Read the JSON object of a request; no body counts as an empty object. Raises ApiError, Refusal."""
    raw = read_body(request.environ, most)
    if not raw:
        return {}
    try:
        body = json.loads(raw.decode())
        json.dumps(body, ensure_ascii=False).encode()  # raises for a lone surrogate
    except (ValueError, RecursionError):
        raise refusal(400, "The body is not valid JSON in UTF-8") from None
    if not isinstance(body, dict):
        raise refusal(400, "The body is not a JSON object")
    return body


@dataclass(frozen=True, slots=True)
class Guard:
    """Checks visitors' tokens."""

    tokens: Tokens
    store: Store

    def visitor(self, *, late: float = 0.0, token: str | None = None) -> Visitor:
        """Return the visitor of the request's token; raise ApiError 401 if it is not valid."""
        token = _bearer(request) if token is None else token
        if not token:
            raise refusal(401, "No token: begin a chat at /chat/sessions")
        try:
            return self.tokens.read(token, time.time(), late=late)
        except BadToken as error:
            raise refusal(401, str(error).capitalize()) from None

    def chat(self, visitor: Visitor) -> Chat:
        """Return the chat of a token; raise ApiError 403 if access was revoked, 404 if the chat no longer exists."""
        chat = self.store.chats.get(visitor.account_sid, visitor.conversation_sid)
        if chat is None:
            raise refusal(404, "The chat no longer exists")
        if chat.epoch != visitor.epoch:
            raise refusal(403, "Access to this chat was revoked")
        return chat


def _bearer(request: Request) -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""
