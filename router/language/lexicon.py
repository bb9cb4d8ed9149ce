"""How frequent words are in languages: the lists of the wordfreq project, some 30,000 words of each language.

https://github.com/rspeer/wordfreq

Few words tell a language as well as lingua's n-grams do, many tell it better, and at a hundredth of the time. Lists are
loaded by the process that forks the workers, and shared: reading one writes nothing to its memory, because its values
are integers small enough for Python to have each of them once.
"""

import math
from collections.abc import Iterable, Mapping
from itertools import repeat
from typing import Final

# Lists are of other codes than lingua's models: Filipino is Tagalog, and Croatian and Bosnian are one list.
_LISTS: Final = {"tl": "fil", "hr": "sh", "bs": "sh"}
# A word that a list does not have is taken to be as rare as this, in centibels: once in three million words. The lists
# end at once in a million.
_MISSING: Final = 650
# Centibels of one level: the most frequent words come out at 250, and Python has the integers up to 256 once.
_STEP: Final = 2.2
# One level as a difference of natural logarithms.
LEVEL: Final = _STEP * math.log(10) / 100
_NOTHING: Final = repeat(0)

# Lists in memory, as lingua keeps its models for the whole process.
_LOADED: Final[dict[str, Mapping[str, int]]] = {}


def load(codes: Iterable[str], most: int = 0) -> None:
    """Load the lists of languages (ISO 639-1), with at most so many of the most frequent words; 0 for all.

    A language without a list is passed over, and what is in memory stays. A whole list takes some 15 ms and 4 MB.
    """
    import wordfreq

    files = wordfreq.available_languages("small")
    for code in codes:
        name = _LISTS.get(code, code)
        if name in files and (code not in _LOADED or not most):
            levels: dict[str, int] = {}
            for centibels, words in enumerate(wordfreq.read_cBpack(files[name])):
                if most and len(levels) >= most:
                    break
                levels.update(dict.fromkeys(words, max(1, round((_MISSING - centibels) / _STEP))))
            _LOADED[code] = levels


def loaded() -> frozenset[str]:
    """Return the codes of the languages whose lists are in memory."""
    return frozenset(_LOADED)


def levels(words: list[str], codes: Iterable[str]) -> dict[str, int]:
    """Return for languages in memory how frequent these words are together, in levels; the lists have lower case."""
    return {code: sum(map(_LOADED[code].get, words, _NOTHING)) for code in codes}
