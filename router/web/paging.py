"""Twilio's paged lists: `meta` with absolute URLs under the base URL to which the request was sent."""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from flask import Request, Response, json

from router.settings import Account, Settings
from router.web.errors import ApiError, invalid
from router.web.number import whole_number
from router.web.public import public_bases

_DEFAULT = 50
_DIGITS: Final = 9  # a Page of ten digits is past every end
# Approximate size of the records in a page; a larger result is split into several pages, to limit blocking time.
PAGE_BYTES: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class PageRequest:
    """The requested page: `number` from 0, `size` from 1."""

    number: int
    size: int
    token: str


def base_url(request: Request, settings: Settings) -> str:
    """Return the public base URL to which the request was sent; `identify` has refused requests without one."""
    return public_bases(request.environ, settings)[0]


def read_page(parameters: Mapping[str, str], *, most: int = 1000, cut: bool = False) -> PageRequest:
    """Read PageSize, Page and PageToken; raise `ApiError` 400 for invalid values.

    Args:
        parameters: the query.
        most: the largest PageSize.
        cut: whether a larger PageSize is reduced to `most` instead of refused.
    """
    size = _number(parameters, "PageSize", min(_DEFAULT, most), 1)
    if size > most and not cut:
        raise ApiError(400, 20007, f"PageSize: {size} is not a whole number from 1 to {most}")
    return PageRequest(
        number=_number(parameters, "Page", 0, 0), size=min(size, most), token=parameters.get("PageToken", "")
    )


def _number(parameters: Mapping[str, str], name: str, default: int, least: int) -> int:
    text = parameters.get(name, "")
    if not text:
        return default
    number = whole_number(text, _DIGITS)
    if number is None or number < least:
        raise invalid(name, f"{text[:20]!r} is not a whole number, {least} or more")
    return number


def seal(account: Account, scope: str, cursor: str) -> str:
    """Return a signed PageToken, valid only for the list `scope` of this account."""
    return f"{cursor}.{_seal(account.auth_tokens[0], scope, cursor)}" if cursor else ""


def unseal(account: Account, scope: str, token: str) -> str:
    """Return the cursor of a PageToken, "" without a token; raise `ApiError` 400 for one not issued by this list."""
    cursor, _, sealed = token.rpartition(".")
    if token and not any(
        hmac.compare_digest(_seal(key, scope, cursor).encode(), sealed.encode()) for key in account.auth_tokens
    ):
        raise invalid("PageToken", "was not issued for this list with these filters")
    return cursor


def _seal(key: str, scope: str, cursor: str) -> str:
    return hmac.new(key.encode(), f"PageToken\n{scope}\n{cursor}".encode(), "sha256").hexdigest()[:24]


def json_response(body: Mapping[str, Any], status: int = 200) -> Response:
    """Return a resource as JSON."""
    return Response(json.dumps(body), status, content_type="application/json")


def no_content() -> Response:
    """Return the answer to a DELETE."""
    response = Response(status=204)
    del response.headers["Content-Type"]
    return response


def page_body(  # noqa: PLR0913 - the parts of a page
    key: str,
    items: list[dict[str, Any]],
    asked: PageRequest,
    *,
    url: str,
    filters: Mapping[str, str],
    next_token: str,
    previous_token: str,
) -> dict[str, Any]:
    """Return a page in Twilio's format; an empty token means that there is no such page."""

    def link(number: int, token: str) -> str:
        query = {**filters, "PageSize": asked.size, "Page": number} | ({"PageToken": token} if token else {})
        return f"{url}?{urlencode(query)}"

    return {
        "meta": {
            "page": asked.number,
            "page_size": asked.size,
            "first_page_url": link(0, ""),
            "previous_page_url": link(asked.number - 1, previous_token) if asked.number and previous_token else None,
            "url": link(asked.number, asked.token),
            "next_page_url": link(asked.number + 1, next_token) if next_token else None,
            "key": key,
        },
        key: items,
    }
