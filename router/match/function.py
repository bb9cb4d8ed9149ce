"""The functions of a Match expression that replace those of the CEL library, or add to them.

The library's `size` counts bytes, its `matches` compiles the regular expression for each message, and its `getHours`
has no time zones.
"""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from functools import cache
from types import UnionType
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

import re2

Function = Callable[..., Any]

# The maximum length of a message: https://www.twilio.com/docs/messaging/api/message-resource
SEEN: Final = 1600
# The slowest known pattern takes 3.2 ns for each of its instructions and each byte of the text. So all patterns of an
# expression, with 320 instructions (eight Cyrillic words in any letter case have 242) and 4 KiB of text, take at most
# 4 ms; usual ones take microseconds.
_REGEX_SIZE: Final = 320
_REGEX_TEXT: Final = 4096
REGEXES: Final = 8
_REGEX_MEMORY: Final = 256 * 1024  # bytes for all patterns; above this RE2 drops its cache and continues
_ALL: Final = 100


@dataclass(frozen=True, slots=True)
class Signature:
    """A function: its name, an example, and its description."""

    name: str
    written: str
    help: str


FUNCTIONS: Final = (
    Signature("size", "body.size()", "the number of characters of a text, or of values of a list"),
    Signature("contains", 'body.contains("refund")', "whether the text contains another"),
    Signature("startsWith", 'to.startsWith("+49")', "whether the text begins with another"),
    Signature("endsWith", 'body.endsWith("?")', "whether the text ends with another"),
    Signature(
        "matches", r'body.matches("(?i)^\\s*stop")', "whether an RE2 regular expression matches a part of the text"
    ),
    Signature("lowerAscii", 'body.lowerAscii() == "menu"', "the text with A to Z in lower case"),
    Signature("trim", 'body.trim() == "1"', "the text without white space around it"),
    Signature("int", 'int(params["NumSegments"]) > 3', "a text or a double as an integer; fails for other texts"),
    Signature("double", 'double(params["Latitude"]) > 48.1', "a text or an integer as a double; fails for other texts"),
    Signature("string", "string(num_media)", "a number or timestamp as text"),
    Signature("timestamp", 'now < timestamp("2027-01-01T00:00:00Z")', "a time, as in RFC 3339"),
    Signature("duration", 'duration("36h")', "a length of time, in h, m, s and ms"),
    Signature("getFullYear", 'now.getFullYear("Europe/Berlin")', "the year in the time zone; UTC without one"),
    Signature("getMonth", 'now.getMonth("Europe/Berlin") == 11', "the month, from 0 (January) to 11"),
    Signature("getDate", 'now.getDate("Europe/Berlin") == 24', "the day of the month, from 1"),
    Signature("getDayOfMonth", 'now.getDayOfMonth("Europe/Berlin")', "the day of the month, from 0"),
    Signature("getDayOfWeek", 'now.getDayOfWeek("Europe/Berlin") == 0', "the day of the week, from 0 (Sunday) to 6"),
    Signature("getDayOfYear", 'now.getDayOfYear("Europe/Berlin")', "the day of the year, from 0"),
    Signature("getHours", 'now.getHours("Europe/Berlin") >= 9', "the hour, from 0 to 23"),
    Signature("getMinutes", 'now.getMinutes("Europe/Berlin")', "the minute, from 0 to 59"),
    Signature("getSeconds", 'now.getSeconds("Europe/Berlin")', "the second, from 0 to 59"),
    Signature("getMilliseconds", "now.getMilliseconds()", "the milliseconds of the second, from 0 to 999"),
    Signature("percent", "percent(10)", "true for this percentage of the contacts, always for the same ones"),
)

_CLOCK: Final[Mapping[str, Callable[[datetime], int]]] = {
    "getFullYear": lambda moment: moment.year,
    "getMonth": lambda moment: moment.month - 1,
    "getDate": lambda moment: moment.day,
    "getDayOfMonth": lambda moment: moment.day - 1,
    "getDayOfWeek": lambda moment: moment.isoweekday() % 7,
    "getDayOfYear": lambda moment: moment.timetuple().tm_yday - 1,
    "getHours": lambda moment: moment.hour,
    "getMinutes": lambda moment: moment.minute,
    "getSeconds": lambda moment: moment.second,
    "getMilliseconds": lambda moment: moment.microsecond // 1000,
}
_UNITS: Final = {
    "getHours": timedelta(hours=1),
    "getMinutes": timedelta(minutes=1),
    "getSeconds": timedelta(seconds=1),
    "getMilliseconds": timedelta(milliseconds=1),
}
CLOCK: Final = frozenset(_CLOCK)
# The library's functions of these names would take precedence: in the compiled text ours end with `OWN`.
REWRITTEN: Final = CLOCK | {"size", "matches"}
OWN: Final = "_"


@cache
def zone(name: str) -> ZoneInfo:
    """Return a time zone of the IANA database; raise ValueError for an unknown name."""
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, ZoneInfoNotFoundError):
        near = get_close_matches(name, sorted(available_timezones()), n=3)
        also = f"perhaps {' or '.join(near)}" if near else "write it as Europe/Berlin"
        raise ValueError(f"there is no time zone {name!r}; {also}") from None


def regexes(patterns: Sequence[str]) -> tuple[dict[str, Function], int]:
    """Compile regular expressions; each function searches a text in linear time.

    Returns the functions by pattern, and the number of instructions of all patterns.

    Raises ValueError if RE2 does not accept one, or if they are too large together; a pattern counts for each use.
    """
    options = re2.Options()
    options.max_mem = _REGEX_MEMORY // len(patterns)
    options.log_errors = False
    options.never_capture = True
    compiled = {pattern: _regex(pattern, options) for pattern in patterns}
    size = sum(compiled[pattern].programsize for pattern in patterns)
    if size > _REGEX_SIZE:
        raise ValueError(
            f"too large for a regular expression, {size} instructions where {_REGEX_SIZE} are allowed; use smaller "
            r"repetitions, fewer alternatives, and \p{Latin} instead of \p{L}"
        )
    return {pattern: _search(each) for pattern, each in compiled.items()}, size


def _regex(pattern: str, options: Any) -> Any:
    try:
        return re2.compile(pattern, options=options)
    except (re2.error, UnicodeEncodeError) as error:
        raise ValueError(f"not a regular expression that RE2 accepts: {_message(error)}") from None


def _search(regex: Any) -> Function:
    def search(text: str) -> bool:
        data = text.encode()
        if len(data) > _REGEX_TEXT:
            data = data[:_REGEX_TEXT].decode(errors="ignore").encode()
        return regex.search(data) is not None

    return search


def share(text: str) -> float:
    """Return the argument of `percent`; raise ValueError if it is not between 0 and 100."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= _ALL:
        raise ValueError(f"percent() takes a number from 0 to 100, not {text}")
    return value


def _message(error: Exception) -> str:
    message = error.args[0] if error.args else ""
    return message.decode("utf-8", "replace") if isinstance(message, bytes) else str(message)


def functions(names: Collection[str], searches: Mapping[str, Function]) -> dict[str, Function]:
    """Return our functions of these names, except `percent`, by their names in the compiled text."""
    ours = {name: _clock(name) for name in _CLOCK}
    ours["size"] = _unary("size", "a text or a list", str | list, len)
    ours["lowerAscii"] = _unary("lowerAscii", "a text", str, _lower_ascii)
    ours["trim"] = _unary("trim", "a text", str, str.strip)
    ours["matches"] = _matches(searches)
    return {name + OWN * (name in REWRITTEN): ours[name] for name in names if name in ours}


def percent(bucket: float) -> Function:
    """Return `percent` for a contact with the percentile `bucket`, 0 <= bucket < 100."""
    return lambda share: bucket < share


def _matches(searches: Mapping[str, Function]) -> Function:
    def matches(text: object, pattern: str) -> Any:
        if not isinstance(text, str):
            raise TypeError("matches() works on a text")
        return searches[pattern](text[:SEEN])

    return matches


def _unary(name: str, takes: str, kinds: type | UnionType, function: Function) -> Function:
    def unary(*values: Any) -> Any:
        if len(values) != 1 or not isinstance(values[0], kinds):
            raise TypeError(f"{name}() takes {takes}")
        return function(*values)

    return unary


def _lower_ascii(text: str) -> str:
    return text.encode().lower().decode()  # lower() of bytes changes ASCII letters only


def _clock(name: str) -> Function:
    read = _CLOCK[name]

    def clock(value: object, zone_name: str = "") -> int:
        if isinstance(value, datetime):
            return read(value.astimezone(zone(zone_name) if zone_name else UTC))
        if isinstance(value, timedelta) and name in _UNITS:
            return math.trunc(value / _UNITS[name])
        raise TypeError(f"{name}() is for a timestamp{' or a duration' if name in _UNITS else ''}")

    return clock
