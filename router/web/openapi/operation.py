"""One operation of the OpenAPI document: a method of a path."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from router.web.openapi.kind import TEXT, Schema


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path.

    Args:
        name: its `operationId`.
        summary: what it does.
        answers: the status of success, and the name of its schema, or its media type, or "" for no body.
        errors: the statuses of its own errors; those of every guarded resource are added.
        query: the parameters of its query.
        form: the name of its form's schema, "" for none.
        guarded: whether it requires credentials, and answers with Twilio's errors.
    """

    name: str
    summary: str
    answers: tuple[int, str]
    errors: tuple[int, ...] = ()
    query: dict[str, Schema] = field(default_factory=dict)
    form: str = ""
    guarded: bool = True


def paged(filters: Mapping[str, Schema] | None = None, *, most: int = 1000) -> dict[str, Schema]:
    """Return the query of a list: filters, and the parameters of its pages."""
    size = {"type": "integer", "minimum": 1, "maximum": most, "default": 50}
    return dict(filters or {}) | {"PageSize": size, "Page": {"type": "integer", "minimum": 0}, "PageToken": TEXT}
