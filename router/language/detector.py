"""Computes how well a text fits languages, by its words and by lingua's n-gram models, or that it fits none of them.

Both methods only compare languages with each other. So each text is also compared with background languages of the
same script; a text that fits one of those best is in none of the offered languages. Words are checked first: for a
sentence they are nearly always enough, in a tenth of the n-grams' time.

The process that forks the workers loads the models (`router.process`), once, and the workers share them: lingua stores
them outside of Python's heap, without reference counts that would be written. lingua must not start threads in that
process, because these do not exist after a fork. It does so to preload, in its low accuracy mode, for a single
language, and in its methods named parallel; so none of them is used. Detection holds Python's global lock.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import Final

from lingua import IsoCode639_1, IsoCode639_3, Language, LanguageDetectorBuilder

from router.language import lexicon
from router.language import tag as language_tag
from router.language.evidence import OTHER
from router.language.text import script_of

# The background languages, by lingua's sets of languages that share a script; other scripts identify their language.
# Chosen by measurement (docs/languages.md): most texts in any further language are nearest to one of these.
BACKGROUND: Final[Mapping[str, tuple[str, ...]]] = {
    "latin": ("en", "es", "fr", "de", "it", "pt", "tl", "sv", "yo"),
    "cyrillic": ("ru", "uk", "bg"),
    "arabic": ("ar", "fa", "ur"),
    "devanagari": ("hi", "mr"),
}
# The second language for an address with a single language that has its own script, such as Japanese: with one language
# only, lingua starts threads. No text fits both scripts, so no model is used.
_BESIDE: Final = ("el", "th")
# Languages of which only this number of the most frequent words is loaded: enough to recognize a sentence.
WORDS: Final[Mapping[str, tuple[str, ...]]] = {
    "latin": (
        *(
            "ca",
            "cs",
            "da",
            "fi",
            "hu",
            "id",
            "is",
            "lt",
            "lv",
            "ms",
            "nb",
            "nl",
            "pl",
            "ro",
            "hr",
            "sk",
            "sl",
            "tr",
            "vi",
        ),
    ),
    "cyrillic": ("mk",),
    "arabic": (),
    "devanagari": (),
}
WORDS_MOST: Final = 6000
# lingua's confidences are more reliable for longer texts. Raised to the power letters ** _POWER they are probabilities.
# This value was the best of 0 to 0.8 on the training half of `make bench PART=language`, like those below.
_POWER: Final = 0.3
# How often a language that is ruled out is right in a text of one letter; it falls with the square root of the letters.
_RULED_OUT: Final = 0.03
# N-grams of this many letters are compared first, and those of the rest only if the result is uncertain: the time is
# proportional to the letters.
_FIRST_LETTERS: Final = 16
_FIRST_DOUBT: Final = 0.003
# N-grams are used only if the words leave at least this uncertainty. For short texts they hardly change a decision that
# is more uncertain; for long texts they detect languages that are not offered.
_DOUBT: Final = 0.01
_SHORT_DOUBT: Final = 0.03
_SHORT: Final = 24  # letters
# The effective number of other languages that share the probability of OTHER.
_OTHERS: Final = 10
# The weight of a script that is not the tag's own: some people write Russian with Latin letters.
_OTHER_SCRIPT: Final = 0.02
_LEAST: Final = 1e-4
# The size of the cache: texts are often repeated ("hola", a button's text). An entry is about 3 KB.
_REMEMBERED: Final = 1024
_PLANS: Final = 256


class Detector:
    """Computes how well texts fit languages whose models are loaded, or that are identified by their script.

    Args:
        loaded: the ISO 639-1 codes of the loaded models.

    """

    def __init__(self, loaded: Iterable[str]) -> None:
        self.loaded = frozenset(loaded)
        self._plan = lru_cache(maxsize=_PLANS)(self._make_plan)
        self._remembered = lru_cache(maxsize=_REMEMBERED)(self._likelihood)

    def likelihood(self, text: str, offered: Sequence[str]) -> Mapping[str, float] | None:
        """Return how well a text fits each offered tag, and OTHER; None if the text is no evidence.

        Tags without a loaded model are left out, except those that are identified by their script. The text is a result
        of `indicative_words`.
        """
        return self._remembered(text, tuple(offered)) if text else None

    def _likelihood(self, text: str, offered: tuple[str, ...]) -> Mapping[str, float] | None:
        plan = self._plan(offered)
        return plan.likelihood(text) if plan else None

    def _make_plan(self, offered: tuple[str, ...]) -> "_Plan | None":
        codes = {tag: code for tag in offered if (code := code_of(tag)) in self.loaded | _by_script()}
        known = frozenset(codes.values())
        background = _background(known) - known
        compared = known | (background & self.loaded)
        if not known or (len(compared) == 1 and not known <= _by_script()):  # not loaded as `needed` says
            return None
        if len(compared) == 1:
            compared |= {next(code for code in _BESIDE if code not in known)}
        return _Plan(codes, compared, known | background | _words(known))


class _Plan:
    """The comparison for one set of offered tags.

    Args:
        codes: the ISO 639-1 code of each tag.
        compared: the languages whose n-gram models are compared: those of the tags, and the background.
        worded: the languages whose words are compared, if their lists are loaded.

    """

    def __init__(self, codes: Mapping[str, str], compared: frozenset[str], worded: frozenset[str]) -> None:
        self._codes = codes
        self._lexicon = lexicon.loaded()
        listed = {code: place for place, code in enumerate(self._lexicon.lists) if code in worded}
        self._listed = tuple(listed)
        self._places = tuple(listed.values())
        languages = [language for language in map(language_of, compared) if language]
        self._detector = LanguageDetectorBuilder.from_languages(*languages).build()
        self._languages = frozenset(codes.values())
        # Words may be enough if there are lists of all languages that share their script with others.
        self._words_do = listed.keys() >= {code for code in codes.values() if _background([code])}
        spoken = list(codes.values())
        # Tags of one language in several scripts, which are distinguished by the text's script.
        self._scripts = {
            tag: parts.script
            for tag, code in codes.items()
            if spoken.count(code) > 1 and (parts := language_tag.read(tag))
        }

    def likelihood(self, text: str) -> Mapping[str, float]:
        """Return how well a text fits each tag, and OTHER."""
        found = self._probabilities(self._weights(text), text)
        likelihood = {tag: found.get(code, _LEAST) for tag, code in self._codes.items()}
        if self._scripts and (script := script_of(text)):
            for tag, own in self._scripts.items():
                if own != script:
                    likelihood[tag] *= _OTHER_SCRIPT
        # The likelihood of all languages that are not offered. Nothing was found if no language uses the text's script.
        likelihood[OTHER] = max((1 - sum(found.values())) / _OTHERS, _LEAST) if found else 1.0
        return MappingProxyType(likelihood)

    def _probabilities(self, weights: Mapping[str, float], text: str) -> dict[str, float]:
        """Return the probabilities of the offered languages that have a weight; none of them is 0."""
        if not weights:
            return {}
        floor = _RULED_OUT / math.sqrt(len(text) - text.count(" "))
        scale, floor = (1 - floor) / sum(weights.values()), floor / len(weights)
        return {code: scale * weights[code] + floor for code in self._languages if code in weights}

    def _weights(self, text: str) -> dict[str, float]:
        """Return how well a text fits languages, compared with each other; {} if it fits none."""
        words = self._by_words(text)
        doubt = _SHORT_DOUBT if len(text) <= _SHORT else _DOUBT
        if words and self._words_do and sum(words.values()) < 1 / (1 - doubt):
            return words
        first = _until(text, _FIRST_LETTERS)
        found = self._by_letters(first, words)
        if first == text or (found and max(found.values()) > (1 - _FIRST_DOUBT) * sum(found.values())):
            return found
        return self._by_letters(text, words)

    def _by_words(self, text: str) -> dict[str, float]:
        """Return how well the words fit the languages that have a list, 1 for the best; {} if no word is in a list."""
        all_levels = self._lexicon.levels(text.lower().split())
        levels = [all_levels[place] for place in self._places]
        most = max(levels, default=0)
        if not most:
            return {}
        unknown = math.exp(-lexicon.LEVEL * most)
        weights = [math.exp(lexicon.LEVEL * (level - most)) if level else unknown for level in levels]
        return dict(zip(self._listed, weights, strict=True))

    def _by_letters(self, text: str, words: Mapping[str, float]) -> dict[str, float]:
        values = self._detector.compute_language_confidence_values(text)
        most = values[0].value
        if most <= 0:
            return {}
        power = (len(text) - text.count(" ")) ** _POWER
        # A language without a list gets the average weight of the words, one without a model the best confidence.
        average = sum(words.values()) / len(words) if words else 1.0
        weights = dict(words)
        for value in values:
            code = _CODES[value.language]
            weights[code] = (value.value / most) ** power * words.get(code, average)
        return weights


def _until(text: str, letters: int) -> str:
    """Return the complete words that begin within the first `letters` characters of a text."""
    end = text.find(" ", letters)
    return text[:end] if end > 0 else text


def needed(tags: Iterable[str]) -> frozenset[str]:
    """Return the ISO 639-1 codes of the languages to load for these tags, with their background.

    Languages with their own script need no model.
    """
    known = frozenset(filter(None, map(code_of, tags))) - _by_script()
    return known | _background(known)


def load(languages: Iterable[str]) -> Detector:
    """Load the models and words of these languages (codes from `needed`) that are not loaded yet.

    It takes about 0.1 s and 25 MB for each, once for all processes that are forked afterwards.
    """
    codes = frozenset(languages)
    _LOADED.update(codes)
    lists: dict[str, int] = {}
    for script, (word, _) in _SCRIPTS.items():
        known = [language for language in map(language_of, sorted(codes)) if language]
        members = [language for language in known if language in _members(script)]
        if len(members) > 1:  # for a single language, lingua starts threads
            LanguageDetectorBuilder.from_languages(*members).build().compute_language_confidence_values(word)
            lists |= dict.fromkeys(WORDS[script], WORDS_MOST) | {_CODES[language]: 0 for language in members}
    lexicon.load(lists)
    return Detector(codes)


def shared() -> Detector:
    """Return a detector for the models that this process, or the one that it was forked from, has loaded."""
    return Detector(_LOADED)


@lru_cache(maxsize=1024)
def language_of(tag: str) -> Language | None:
    """Return lingua's language of a BCP 47 tag, None if it has no model for it."""
    parts = language_tag.read(tag)
    if parts is None:
        return None
    try:
        if len(parts.language) == 2:  # noqa: PLR2004 - ISO 639-1
            return Language.from_iso_code_639_1(IsoCode639_1.from_str(parts.language))
        return Language.from_iso_code_639_3(IsoCode639_3.from_str(parts.language))
    except ValueError:
        return None


def code_of(tag: str) -> str:
    """Return the ISO 639-1 code of a tag's language, "" if there is no model for it."""
    language = language_of(tag)
    return _CODES[language] if language else ""


def _code(language: Language) -> str:
    return language.iso_code_639_1.name.lower()


def _background(codes: Iterable[str]) -> frozenset[str]:
    return frozenset(code for script in _scripts(codes) for code in BACKGROUND[script])


def _words(codes: Iterable[str]) -> frozenset[str]:
    return frozenset(code for script in _scripts(codes) for code in WORDS[script])


def _scripts(codes: Iterable[str]) -> list[str]:
    languages = frozenset(map(language_of, codes))
    return [script for script in _SCRIPTS if not _members(script).isdisjoint(languages)]


@lru_cache
def _members(script: str) -> frozenset[Language | None]:
    return frozenset(_SCRIPTS[script][1]())


_CODES: Final = {language: _code(language) for language in Language.all()}
# The loaded models: lingua caches them for the whole process, but has no method that returns which.
_LOADED: Final[set[str]] = set()
# For each script a word of five letters that all its languages have: detecting it loads all their models.
_SCRIPTS: Final = {
    "latin": ("aroma", Language.all_with_latin_script),
    "cyrillic": ("карта", Language.all_with_cyrillic_script),
    "arabic": ("سلامت", Language.all_with_arabic_script),
    "devanagari": ("समाचार", Language.all_with_devanagari_script),
}


@lru_cache(maxsize=1)
def _by_script() -> frozenset[str]:
    """Return the languages with their own script, such as Japanese and Thai, which identifies them without a model."""
    return frozenset(code for code in _CODES.values() if not _scripts([code]))
