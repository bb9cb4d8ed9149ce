"""The answer to a webhook, without Flask's response object, which takes more time than the rest of an answer."""

from dataclasses import field
from typing import Final
from wsgiref.types import StartResponse

from flask import Response
from werkzeug.http import HTTP_STATUS_CODES

from router.value import value

XML: Final = "text/xml"
TEXT: Final = "text/plain; charset=utf-8"


@value
class Reply:
    """A complete answer; `headers` are those besides Content-Type and Content-Length."""

    body: bytes = field(repr=False)
    status: int = 200
    content_type: str = XML
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    def write(self, start_response: StartResponse) -> list[bytes]:
        """Return the answer to a WSGI server."""
        length = str(len(self.body))
        start_response(
            _STATUS[self.status], [("Content-Type", self.content_type), ("Content-Length", length), *self.headers]
        )
        return [self.body]

    def response(self) -> Response:
        """Return it as Flask's response."""
        response = Response(self.body, self.status, content_type=self.content_type)
        for name, text in self.headers:
            response.headers.add(name, text)
        return response


# The status lines, in Flask's format.
_STATUS: Final = {status: f"{status} {phrase.upper()}" for status, phrase in HTTP_STATUS_CODES.items()}
