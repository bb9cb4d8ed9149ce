"""Twilio's error body, and which error of ours is which: https://www.twilio.com/docs/usage/twilios-response."""

from flask import Response, json

from router.errors import FlowConflict, InvalidFlow, RouterError


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


def invalid(parameter: str, reason: str) -> ApiError:
    """Make the answer for a parameter that has no error code of its own."""
    return ApiError(400, 20001, f"{parameter}: {reason}")


def flow_response(error: InvalidFlow) -> Response:
    """Write what is wrong with a Flex Flow.

    45210 (missing or invalid) and 45212 (collides with another flow) are Twilio's codes for "Flex Flow creation
    failed"; which HTTP status Twilio gives them is not documented. Ours are 400 and 409: docs/rest-api.md.
    """
    if isinstance(error, FlowConflict):
        return error_response(ApiError(409, 45212, str(error)))
    return error_response(ApiError(400, 45210, str(error)))


def changed_response(error: RouterError) -> Response:
    """Write that a flow is being changed by too many at once."""
    return error_response(ApiError(409, 20409, str(error)))


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
