"""The frequencies of words in languages: the lists of the wordfreq project, about 30,000 words of each language.

https://github.com/rspeer/wordfreq

A few words identify a language as well as lingua's n-grams do, many words do it better, and in a tenth of the time. All
lists are in one table, so that a word is looked up once for all languages. The process that forks the workers makes the
table, and the workers share it: reading it writes nothing, because it contains no Python objects with reference counts.
"""

import math
import struct
from array import array
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final

# Languages whose list has another code: Tagalog has that of Filipino, Croatian and Bosnian share one.
_LISTS: Final = {"tl": "fil", "hr": "sh", "bs": "sh"}
# Lists of languages with another script also contain English words, which are no evidence for these languages.
_NOT_LATIN: Final = frozenset(
    ["ar", "bg", "bn", "el", "fa", "he", "hi", "ja", "ko", "mk", "ru", "ta", "uk", "ur", "zh"]
)
_LAST_LATIN: Final = "\u024f"
# The assumed frequency of a word that a list does not have, in centibels: one in three million words. The lists end at
# one in a million.
_MISSING: Final = 650
# Centibels of one level: the most frequent words have level 250, which fits into a byte.
_STEP: Final = 2.2
# One level as a difference of natural logarithms.
LEVEL: Final = _STEP * math.log(10) / 100
# The levels of a word are numbers of 16 bits in one large integer, so that one addition adds those of all languages.
_BITS: Final = 16
# The maximum number of words that are added, so that no sum of levels needs more bits.
_MOST_WORDS: Final = 256


class Lexicon:
    """The words of some lists, and how frequent each is in each list.

    A hash table in arrays, with linear probing: the hash of a word is a place in the index, which has the number of a
    row. Words count as equal if their 64-bit hashes are equal.

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
        # At least half of the places are empty, so that searches are short. Row 0 stands for an empty place.
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
        """Return for each list the sum of the words' frequencies, in levels; words must be in lower case."""
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


# The loaded lexicon, for the whole process, like lingua's models.
_LOADED: Final = [Lexicon({})]


def load(lists: Mapping[str, int]) -> None:
    """Load the lists of languages (ISO 639-1), with a maximum number of the most frequent words; 0 for all.

    Languages without a list are skipped, and loaded lists stay. Thirty lists take about 0.4 s and 45 MB.
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
    """Return the loaded lists."""
    return _LOADED[0]
