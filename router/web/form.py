"""Reads the form of a REST request, and refuses parameters with several values."""

from collections.abc import Iterable
from typing import Final

from flask import Request
from werkzeug.datastructures import MultiDict

from router.errors import InvalidFlow
from router.web.errors import ApiError

_FORMS: Final = ("application/x-www-form-urlencoded", "multipart/form-data")


def read_form(request: Request, once: Iterable[str]) -> MultiDict[str, str]:
    """Return the form of a POST.

    Other content types are refused: Flask would parse them as an empty form, so an update with JSON would change
    nothing and be answered with 200.

    Args:
        request: the request; without a body its form is empty.
        once: parameters that have one value.

    Raises:
        ApiError: 415, the body is not a form.
        RequestEntityTooLarge: the form is too large.
        InvalidFlow: a parameter of `once` has several values, which is ambiguous.
    """
    form = request.form
    if request.content_length is None:  # Werkzeug cuts a chunked form at its limit: reading on there raises its error
        request.stream.read(1)
    if request.mimetype not in _FORMS and (request.content_length or request.headers.get("Transfer-Encoding")):
        raise ApiError(415, 20001, f"Content-Type: {request.mimetype[:60] or 'none'!r} is not a form; send {_FORMS[0]}")
    for name in once:
        if len(values := dict.fromkeys(form.getlist(name))) > 1:
            raise InvalidFlow(name, f"is given {len(values)} times, with different values")
    return form
