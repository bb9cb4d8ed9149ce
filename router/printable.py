"""Text from outside as a terminal may show it: nothing in it steers the terminal, reorders or hides what is shown."""

import json
from typing import Any, Final

# Format characters that shape letters and emoji; the others could reorder or hide what is shown.
_JOINERS: Final = "\u200c\u200d"


def printable(text: str, *, keep: str = "") -> str:
    """Return a text with a mark in the place of each character that cannot be seen, but blanks and those of `keep`."""
    if text.isprintable():
        return text
    return "".join(c if _shows(c) or c in keep else "\N{REPLACEMENT CHARACTER}" for c in text)


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
