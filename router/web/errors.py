"""Twilio's error body, and its mapping from our errors: https://www.twilio.com/docs/usage/twilios-response."""

from flask import Response, json, request
from werkzeug.exceptions import HTTPException

from router.errors import FlowConflict, InvalidFlow, RouterError


class ApiError(RouterError):
    """An error answer of the REST resources: HTTP status, Twilio's code, one sentence."""

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


def not_found(path: str) -> ApiError:
    """Make the answer for a resource that does not exist, or belongs to another account."""
    return ApiError(404, 20404, f"The requested resource {path} was not found")


def forbidden(reason: str) -> ApiError:
    """Make the answer for a request refused independently of its credentials: for its host, or its origin."""
    return ApiError(403, 20403, reason)


def invalid(parameter: str, reason: str) -> ApiError:
    """Make the answer for a parameter that has no error code of its own."""
    return ApiError(400, 20001, f"{parameter}: {reason}")


def flow_code(error: InvalidFlow) -> int:
    """Return Twilio's code for what is wrong with a Flex Flow: both mean "Flex Flow creation failed".

    45210 is for what is missing or invalid, 45212 for what collides with another flow.
    """
    return 45212 if isinstance(error, FlowConflict) else 45210


def flow_response(error: InvalidFlow) -> Response:
    """Write what is wrong with a Flex Flow.

    Which HTTP status Twilio gives is not documented. Ours are 400 and 409: docs/rest-api.md.
    """
    return error_response(ApiError(409 if isinstance(error, FlowConflict) else 400, flow_code(error), str(error)))


def http_response(error: HTTPException) -> Response:
    """Write werkzeug's own errors (no such path, no such method) as Twilio writes them."""
    status = error.code or 500
    codes = {404: 20404, 405: 20004, 413: 20413}
    if status == 404:  # noqa: PLR2004 - the same body as for a missing resource
        return error_response(not_found(request.path))
    response = error_response(ApiError(status, codes.get(status, 20001), error.description or error.name))
    response.headers.extend((name, value) for name, value in error.get_headers() if name == "Allow")
    return response


def changed_response(error: RouterError) -> Response:
    """Write that too many clients are changing the flow at the same time."""
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
    if error.status == 401:  # noqa: PLR2004 - makes a browser ask for the password
        response.headers["WWW-Authenticate"] = 'Basic realm="Twilio API"'
    return response
