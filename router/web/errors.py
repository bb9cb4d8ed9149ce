"""Twilio's error body, and which error of ours is which: https://www.twilio.com/docs/usage/twilios-response."""

from flask import Response, json

from router.errors import RouterError


class ApiError(RouterError):
    """An answer of the REST resources that is not the thing asked for: HTTP status, Twilio's code, one sentence."""

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


def not_found(path: str) -> ApiError:
    """Make the answer for what is not there, or is another account's."""
    return ApiError(404, 20404, f"The requested resource {path} was not found")


def error_response(error: ApiError) -> Response:
    """Write an error as Twilio does."""
    body = {
        "code": error.code,
        "message": error.message,
        "more_info": f"https://www.twilio.com/docs/errors/{error.code}",
        "status": error.status,
    }
    response = Response(json.dumps(body), error.status, content_type="application/json")
    if error.status == 401:  # noqa: PLR2004 - what a browser asks the password for
        response.headers["WWW-Authenticate"] = 'Basic realm="Twilio API"'
    return response
