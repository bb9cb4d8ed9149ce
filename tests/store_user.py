"""The store's user for the router, as the documentation defines it."""

import re
from pathlib import Path
from typing import Final

DOCUMENT: Final = Path(__file__).parents[1] / "docs" / "operations.md"
NAME, PASSWORD = "router", "p@ss/word"


def rules() -> list[str]:
    """Return the words after `user router on` in docs/operations.md, with the tests' password."""
    found = re.search(r"^user router on (.*?)^```", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert found is not None
    words = found[1].replace("\\\n", " ").split()
    return [">" + PASSWORD if word.startswith(">") else word for word in words]


def commands() -> set[str]:
    """Return the commands that the user may use, without subcommands."""
    return {word[1:].partition("|")[0] for word in rules() if word.startswith("+")}
