"""Makes text from outside safe to show: without characters that control a terminal, or reorder or hide text."""

import json
from typing import Any, Final

# Format characters that join letters and emoji; the others could reorder or hide text.
_JOINERS: Final = "\u200c\u200d"
_AGES: Final = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def printable(text: str, *, keep: str = "") -> str:
    """Replace each character that is not printable, except blanks and those of `keep`, by a replacement character."""
    if text.isprintable():
        return text
    return "".join(c if _shows(c) or c in keep else "\N{REPLACEMENT CHARACTER}" for c in text)


def clean(text: str, *, lines: bool = False) -> str:
    """Return text from outside in a form that is safe for a terminal; on one line unless `lines`."""
    text = text.replace("\r\n", "\n").replace("\t", " ")
    if not lines:
        text = text.replace("\n", " ⏎ ")
    return printable(text, keep="\n")


def age(then: int, now: float) -> str:
    """Return the time since an event, for example `3 min`.

    Args:
        then: ms since 1970.
        now: seconds since 1970.
    """
    seconds = max(0, int(now - then / 1000))
    for unit, name in _AGES:
        if seconds >= unit:
            return f"{seconds // unit} {name}"
    return "now"


def ago(then: int, now: float) -> str:
    """Return the time of an event, for example `3 min ago`; the arguments are those of `age`."""
    elapsed = age(then, now)
    return elapsed if elapsed == "now" else f"{elapsed} ago"


def number(count: int, name: str, plural: str = "s") -> str:
    """Format a number of things, for example `1,024 messages`."""
    return f"{count:,} {name}{plural * (count != 1)}"


def to_json(value: Any, *, indent: int | None = None) -> str:
    """Return JSON with the letters of all scripts unchanged, and characters that could affect a terminal escaped."""
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    return "".join(c if _shows(c) or c == "\n" else json.dumps(c)[1:-1] for c in text)


def to_toml(value: str | bool | int) -> str:
    """Return a value for a TOML file, safe as in `to_json`: TOML writes texts, numbers, true and false like JSON."""
    text = json.dumps(value, ensure_ascii=False)
    return "".join(c if _shows(c) else f"\\u{ord(c):04x}" if ord(c) < 2**16 else f"\\U{ord(c):08x}" for c in text)


def _shows(character: str) -> bool:
    return character.isprintable() or character in _JOINERS
