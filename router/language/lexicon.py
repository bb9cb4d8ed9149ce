"""How frequent words are in languages: the lists of the wordfreq project, some 30,000 words of each language.

https://github.com/rspeer/wordfreq

Few words tell a language as well as lingua's n-grams do, many tell it better, and in a tenth of the time. All lists are
in one table, so that a word is looked up once for all languages. The process that forks the workers makes the table,
and they share it: reading writes nothing, because the table has no Python objects whose references would be counted.
"""

import math
import struct
from array import array
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final

# Lists are of other codes than lingua's models: Filipino is Tagalog, and Croatian and Bosnian are one list.
_LISTS: Final = {"tl": "fil", "hr": "sh", "bs": "sh"}
# Lists of languages with another script also have English words, which say nothing for these languages.
_NOT_LATIN: Final = frozenset(
    ["ar", "bg", "bn", "el", "fa", "he", "hi", "ja", "ko", "mk", "ru", "ta", "uk", "ur", "zh"]
)
_LAST_LATIN: Final = "\u024f"
# A word that a list does not have is taken to be as rare as this, in centibels: once in three million words. The lists
# end at once in a million.
_MISSING: Final = 650
# Centibels of one level: the most frequent words come out at 250, which fits into a byte.
_STEP: Final = 2.2
# One level as a difference of natural logarithms.
LEVEL: Final = _STEP * math.log(10) / 100
# The levels of a word are numbers of 16 bits in one large integer, so that one addition adds those of all languages.
_BITS: Final = 16
# Words that are added at most: so that no sum of levels needs more than these bits.
_MOST_WORDS: Final = 256


class Lexicon:
    """The words of some lists, and how frequent each is in each list.

    A hash table of arrays: the hash of a word leads to a place of the index, the index to a row. Where the place has
    another word's row, the next place is looked at. Words are equal if their 64 bits of hash are.

    Args:
        lists: the languages (ISO 639-1), and how many of the most frequent words of each; 0 for all.

    """

    __slots__ = ("_hashes", "_index", "_mask", "_rows", "_unpack", "_width", "lists")

    def __init__(self, lists: Mapping[str, int]) -> None:
        self.lists: Final = MappingProxyType(dict(lists))
        self._width = width = len(lists) * _BITS // 8
        self._unpack = struct.Struct(f"<{len(lists)}H").unpack
        levels = [list(_levels(code, most)) for code, most in lists.items()]
        most = 1 + sum(len(words) for each in levels for _, words in each)
        # At least half of the places are empty, so that searches are short. Row 0 is no word's.
        self._mask = mask = (1 << (2 * most).bit_length()) - 1
        self._index = index = array("I", bytes(4 * (mask + 1)))
        self._hashes = hashes = array("q", bytes(8 * most))
        self._rows = rows = bytearray(width * most)
        count = 1
        for column, each in enumerate(levels):
            offset = column * _BITS // 8
            for level, words in each:
                for wanted in map(hash, map(str.encode, words)):
                    place = wanted & mask
                    while row := index[place]:
                        if hashes[row] == wanted:
                            break
                        place = (place + 1) & mask
                    else:
                        index[place] = row = count
                        hashes[row] = wanted
                        count += 1
                    rows[row * width + offset] = level
        del hashes[count:], rows[count * width :]

    def levels(self, words: Sequence[str]) -> tuple[int, ...]:
        """Return how frequent these words are together in each of the lists, in levels; the lists have lower case."""
        total = 0
        index, hashes, rows, mask, width = self._index, self._hashes, self._rows, self._mask, self._width
        for word in words[:_MOST_WORDS]:
            wanted = hash(word.encode())
            place = wanted & mask
            while row := index[place]:
                if hashes[row] == wanted:
                    total += int.from_bytes(rows[row * width : (row + 1) * width], "little")
                    break
                place = (place + 1) & mask
        return self._unpack(total.to_bytes(width, "little"))


def _levels(code: str, most: int) -> Iterator[tuple[int, list[str]]]:
    """Yield the words of a list by their level, the most frequent first."""
    import wordfreq

    file = wordfreq.available_languages("small")[_LISTS.get(code, code)]
    count = 0
    for centibels, listed in enumerate(wordfreq.read_cBpack(file)):
        if most and count >= most:
            return
        words = [word for word in listed if word > _LAST_LATIN] if code in _NOT_LATIN else listed
        count += len(words)
        yield max(1, round((_MISSING - centibels) / _STEP)), words


# The lexicon in memory, as lingua keeps its models for the whole process.
_LOADED: Final = [Lexicon({})]


def load(lists: Mapping[str, int]) -> None:
    """Load the lists of languages (ISO 639-1), with at most so many of the most frequent words; 0 for all.

    A language without a list is passed over, and what is in memory stays. Thirty lists take some 0.4 s and 45 MB.
    """
    import wordfreq

    files = wordfreq.available_languages("small")
    wanted = dict(_LOADED[0].lists)
    for code, most in lists.items():
        if _LISTS.get(code, code) in files and (code not in wanted or not most):
            wanted[code] = most
    if wanted != _LOADED[0].lists:
        _LOADED[0] = Lexicon(wanted)


def loaded() -> Lexicon:
    """Return the lists that are in memory."""
    return _LOADED[0]
