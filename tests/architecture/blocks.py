"""The code blocks of README and docs/: their text, their place, and the `router` commands in them."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
PAGES: Final = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
# A block without a language is shell; other text has the language `text`.
SHELL: Final = ("", "sh", "console")
_BLOCK: Final = re.compile(
    r"(?:<!-- file: (?P<file>[^\n]+) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
_SPAN: Final = re.compile(r"`(router [^`]+)`")
_PROMPT: Final = "$ "
# The placeholders of values on a page, and a value for each.
_VALUES: Final = (
    (re.compile(r"\b([A-Z]{2})…"), r"\g<1>" + "0" * 32),
    (re.compile(r"\+1…"), "+15005550006"),
    (re.compile(r"https://…"), "https://router.example.com"),
)


@dataclass(frozen=True, slots=True)
class Block:
    """A block of a page; `file` is the name under which the page's test saves it, "" for none."""

    place: str
    language: str
    text: str
    file: str


def blocks() -> list[Block]:
    """Return the blocks of all pages."""
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for match in _BLOCK.finditer(text):
            line = text.count("\n", 0, match.start("language")) + 1
            place = f"{page.relative_to(ROOT)}:{line}"
            found.append(Block(place, match["language"], match["text"], file=match["file"] or ""))
    return found


def script(block: Block) -> str:
    """Return the commands of a block: in a `console` the text after each prompt, otherwise the whole text."""
    if block.language != "console":
        return block.text
    typed = (line.removeprefix(_PROMPT) for line in block.text.splitlines() if line.startswith(_PROMPT))
    return "".join(f"{line}\n" for line in typed)


def router_commands(text: str) -> Iterator[list[str]]:
    """Yield the words after `router` for each such command of a script, with values for the placeholders."""
    for line in text.replace("\\\n", " ").splitlines():
        for pattern, value in _VALUES:
            line = pattern.sub(value, line)  # noqa: PLW2901 - the same line, complete
        words = shlex.shlex(line, posix=True, punctuation_chars=True)
        words.whitespace_split = True
        command: list[str] = []
        for word in (*words, ";"):
            if set(word) <= set(";|&<>()"):
                if command and command[0].rpartition("/")[2] == "router":
                    yield command[1:]
                command = []
            else:
                command.append(word)


def spans() -> list[tuple[str, str]]:
    """Return the commands in the sentences of the pages, such as `router flows apply`, each with its place."""
    return [
        (f"{page.relative_to(ROOT)}:{line}", span)
        for page in PAGES
        for line, text in enumerate(_without_blocks(page).splitlines(), 1)
        for span in _SPAN.findall(text)
    ]


def _without_blocks(page: Path) -> str:
    return _BLOCK.sub(lambda block: "\n" * block[0].count("\n"), page.read_text(encoding="utf-8"))
