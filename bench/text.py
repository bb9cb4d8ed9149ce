"""Labelled short texts for `make bench PART=language`, from a folder.

The folder has a subfolder for each language (ISO 639-1) with `single-words.txt`, `word-pairs.txt` and `sentences.txt`,
in it or in its `testdata`, one text per line, like `language-models` in github.com/pemistahl/lingua-rs. The detector's
constants were fitted on the lines with even numbers; the figures are of the others.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from router.errors import RouterError

KINDS: Final = ("single-words", "word-pairs", "sentences")
# The countries of a language's customers, and the share of customers who write from one of them.
_COUNTRIES: Final = """
en:US,GB,AU es:ES,MX,CO fr:FR de:DE,AT it:IT pt:BR,PT nl:NL pl:PL tr:TR ru:RU
ar:EG,SA zh:CN ja:JP ko:KR hi:IN el:GR he:IL th:TH uk:UA fa:IR
"""
_HOMES: Final = {each[:2]: each[3:].split(",") for each in _COUNTRIES.split()}
_AT_HOME: Final = 0.85


@dataclass(frozen=True, slots=True)
class Text:
    """A text, its language, and the country of its sender's number."""

    language: str
    text: str
    country: str = ""


def texts(folder: Path, languages: Sequence[str], kind: str, *, half: int = 1) -> list[Text]:
    """Read one half of the texts; 85 % are from a country of their language, the others from another country.

    Raises:
        RouterError: the folder does not have the texts of all these languages.
    """
    chance = random.Random(1)  # noqa: S311 - the same in every run
    found = []
    for code in languages:
        for line in _lines(folder, code, kind)[half::2]:
            elsewhere = [each for each in languages if each != code]
            home = code if chance.random() < _AT_HOME else chance.choice(elsewhere)
            found.append(Text(code, line, chance.choice(_HOMES[home])))
    return found


def not_offered(folder: Path, offered: Sequence[str], kind: str) -> list[Text]:
    """Read the texts of all languages in the folder that are not offered."""
    codes = sorted(each.name for each in folder.iterdir() if each.is_dir() and each.name not in offered)
    return [Text(code, line) for code in codes for line in _lines(folder, code, kind)[1::2]]


def _lines(folder: Path, code: str, kind: str) -> list[str]:
    for file in (folder / code / f"{kind}.txt", folder / code / "testdata" / f"{kind}.txt"):
        if file.is_file():
            return [line.strip() for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    raise RouterError(
        f"--data: {folder} has no {code}/{kind}.txt. It needs texts, one per line, for each language, like the folder "
        "language-models of https://github.com/pemistahl/lingua-rs"
    )
