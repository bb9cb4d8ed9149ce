"""Twilio's lists: `meta` with absolute URLs on the base that the request came in on."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from flask import Request

from router.settings import Settings
from router.web.errors import ApiError
from router.web.public import public_bases

_DEFAULT = 50


@dataclass(frozen=True, slots=True)
class PageRequest:
    """The page that was asked for: `number` from 0, `size` from 1."""

    number: int
    size: int
    token: str


def base_url(request: Request, settings: Settings) -> str:
    """Return the public base that the request came in on."""
    bases = public_bases(request.environ, settings)
    return bases[0] if bases else request.url_root.rstrip("/")


def read_page(parameters: Mapping[str, str], *, most: int = 1000) -> PageRequest:
    """Read PageSize, Page and PageToken; raise `ApiError` 400 for what is not a page."""
    return PageRequest(
        number=_number(parameters, "Page", 0, 0, math.inf),
        size=_number(parameters, "PageSize", min(_DEFAULT, most), 1, most),
        token=parameters.get("PageToken", ""),
    )


def _number(parameters: Mapping[str, str], name: str, default: int, least: int, most: float) -> int:
    text = parameters.get(name, "")
    if not text:
        return default
    if not (text.isascii() and text.isdecimal() and len(text) < 10 and least <= int(text) <= most):  # noqa: PLR2004 - a Page of ten digits is past every end
        allowed = f"from {least} to {most}" if most < math.inf else f"{least} or more"
        raise ApiError(400, 20001, f"{name} must be a whole number, {allowed}")
    return int(text)


def page_body(  # noqa: PLR0913 - what a page of Twilio's says
    key: str,
    items: list[dict[str, Any]],
    asked: PageRequest,
    *,
    url: str,
    filters: Mapping[str, str],
    next_token: str,
    previous_token: str,
) -> dict[str, Any]:
    """Write a page; an empty token means that there is no such page."""

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
