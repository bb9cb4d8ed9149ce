"""Text from outside as people may be shown it: nothing in it steers a terminal, reorders or hides what is shown."""

import json
from typing import Any, Final

# Format characters that shape letters and emoji; the others could reorder or hide what is shown.
_JOINERS: Final = "\u200c\u200d"
_AGES: Final = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def printable(text: str, *, keep: str = "") -> str:
    """Return a text with a mark in the place of each character that cannot be seen, but blanks and those of `keep`."""
    if text.isprintable():
        return text
    return "".join(c if _shows(c) or c in keep else "\N{REPLACEMENT CHARACTER}" for c in text)


def clean(text: str, *, lines: bool = False) -> str:
    """Return text from outside as a terminal may show it; on one line unless `lines`."""
    text = text.replace("\r\n", "\n").replace("\t", " ")
    if not lines:
        text = text.replace("\n", " ⏎ ")
    return printable(text, keep="\n")


def age(then: int, now: float) -> str:
    """Return how long ago something was, as `3 min`.

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
    """Return when something was, as `3 min ago`; the arguments are those of `age`."""
    elapsed = age(then, now)
    return elapsed if elapsed == "now" else f"{elapsed} ago"


def number(count: int, name: str, plural: str = "s") -> str:
    """Write a number of things, as `1,024 messages`."""
    return f"{count:,} {name}{plural * (count != 1)}"


def to_json(value: Any, *, indent: int | None = None) -> str:
    """Write JSON: letters of every script as they are, and escaped what a terminal would take for something else."""
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    return "".join(c if _shows(c) or c == "\n" else json.dumps(c)[1:-1] for c in text)


def to_toml(value: str | bool | int) -> str:
    """Write a value of a TOML file, as `to_json` does: JSON writes texts, numbers, true and false alike."""
    text = json.dumps(value, ensure_ascii=False)
    return "".join(c if _shows(c) else f"\\u{ord(c):04x}" if ord(c) < 2**16 else f"\\U{ord(c):08x}" for c in text)


def _shows(character: str) -> bool:
    return character.isprintable() or character in _JOINERS
