"""Times in ISO 8601, as JSON shows them and as people write them."""

from datetime import UTC, datetime


def utc(ms: float) -> str:
    """Format a time in ms since 1970 to the second, for example `2026-05-31T22:00:00Z`."""
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def ms_of(text: str) -> int:
    """Parse a time, which is in UTC unless it has an offset; return ms since 1970. Raises ValueError."""
    try:
        moment = datetime.fromisoformat(text)
        return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
    except OverflowError as error:
        raise ValueError(str(error)) from None
