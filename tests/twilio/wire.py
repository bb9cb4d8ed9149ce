"""The format of Twilio's answers."""

from typing import Any

Record = dict[str, Any]
Answered = tuple[int, Record | None, dict[str, str]]
"""Status, body and headers."""


def problem(status: int, code: int, message: str, **headers: str) -> Answered:
    """Return an error answer, with headers such as `Retry_After="1"`."""
    more_info = f"https://www.twilio.com/docs/errors/{code}"
    body = {"code": code, "message": message, "more_info": more_info, "status": status}
    return status, body, {name.replace("_", "-"): value for name, value in headers.items()}
