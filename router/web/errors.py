"""Twilio's error body, and its mapping from our errors: https://www.twilio.com/docs/usage/twilios-response."""

from flask import Response, json, request
from werkzeug.exceptions import HTTPException

from router.errors import FlowConflict, InvalidFlow, RouterError


class ApiError(RouterError):
    """An error answer of the REST resources: HTTP status, Twilio's code, and a message."""

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


def not_found(path: str) -> ApiError:
    """Return the error for a resource that does not exist or belongs to another account."""
    return ApiError(404, 20404, f"The requested resource {path} was not found")


def forbidden(reason: str) -> ApiError:
    """Return the error for a request that is refused because of its host or its origin."""
    return ApiError(403, 20403, reason)


def invalid(parameter: str, reason: str) -> ApiError:
    """Return the error for a parameter without its own error code."""
    return ApiError(400, 20001, f"{parameter}: {reason}")


def flow_code(error: InvalidFlow) -> int:
    """Return Twilio's code for an invalid Flex Flow; both codes mean "Flex Flow creation failed".

    45210 is for missing or invalid values, 45212 for a conflict with another flow.
    """
    return 45212 if isinstance(error, FlowConflict) else 45210


def flow_response(error: InvalidFlow) -> Response:
    """Return the answer for an invalid Flex Flow.

    Twilio does not document its HTTP status. Ours are 400 and 409: docs/rest-api.md.
    """
    return error_response(ApiError(409 if isinstance(error, FlowConflict) else 400, flow_code(error), str(error)))


def http_response(error: HTTPException) -> Response:
    """Return the answer for werkzeug's errors (unknown path, wrong method) in Twilio's format."""
    status = error.code or 500
    codes = {404: 20404, 405: 20004, 413: 20413}
    if status == 404:  # noqa: PLR2004 - the same body as for a missing resource
        return error_response(not_found(request.path))
    response = error_response(ApiError(status, codes.get(status, 20001), error.description or error.name))
    response.headers.extend((name, value) for name, value in error.get_headers() if name == "Allow")
    return response


def changed_response(error: RouterError) -> Response:
    """Return the answer if too many clients change a flow at the same time."""
    return error_response(ApiError(409, 20409, str(error)))


def error_response(error: ApiError) -> Response:
    """Return an error in Twilio's format."""
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
