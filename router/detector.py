"""How well a text fits languages: lingua's n-gram models, calibrated, with a place for languages nobody offers.

lingua compares languages with each other and has no notion of none of them. So each text is also compared with a few
languages of the background, of the same script; what fits one of those best fits no offered one.

Models are loaded by the process that forks the workers (config/gunicorn.conf.py), once, and shared by all: lingua keeps
them outside of Python's heap, where no reference count ever writes. It must not start threads there, which would be
missing after the fork: it does so to preload, for its low accuracy mode, for a single language, and for its methods
named parallel. None of them is used. Detection holds the interpreter's lock.
"""

import math
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import Final

from lingua import IsoCode639_1, IsoCode639_3, Language, LanguageDetectorBuilder

from router import language_tag
from router.language import OTHER

# The background, by lingua's sets of languages that share a script; the other scripts tell their language themselves.
# Chosen by measurement (docs/languages.md): most texts in any further language are nearest to one of these.
BACKGROUND: Final[Mapping[str, tuple[str, ...]]] = {
    "latin": ("en", "es", "fr", "de", "it", "pt", "tl", "sv", "yo"),
    "cyrillic": ("ru", "uk", "bg"),
    "arabic": ("ar", "fa", "ur"),
    "devanagari": ("hi", "mr"),
}
# lingua's confidences are the better founded the longer a text is. To the power of the number of letters to this one
# they are probabilities: what `router bench language` finds on its training half.
_SCALE: Final = 1.0
_POWER: Final = 0.3
# How often, in a text of one letter, a language is right that lingua rules out; it falls with the root of the letters.
_RULED_OUT: Final = 0.03
# A text is read to its end only where so many letters of it leave a doubt. Time is proportional to the letters.
_FIRST_LETTERS: Final = 16
_DOUBT: Final = 0.01
# A script that is not a tag's own: people write Russian with Latin letters too.
_OTHER_SCRIPT: Final = 0.02
_LEAST: Final = 1e-4
# Texts repeat themselves ("hola", a button's). An entry is some 1 KB.
_REMEMBERED: Final = 4096
_PLANS: Final = 256


class Detector:
    """Says how well texts fit languages whose models are in memory.

    Args:
        loaded: their codes in ISO 639-1.

    """

    def __init__(self, loaded: Iterable[str]) -> None:
        self.loaded = frozenset(loaded)
        self._plan = lru_cache(maxsize=_PLANS)(self._make_plan)
        self._remembered = lru_cache(maxsize=_REMEMBERED)(self._likelihood)

    def likelihood(self, text: str, offered: Sequence[str]) -> Mapping[str, float] | None:
        """Return how well a text fits each offered tag, and OTHER; None when nobody can say.

        A tag without a model in memory is left out. The text is what `telling` returns.
        """
        return self._remembered(text, tuple(offered)) if text else None

    def _likelihood(self, text: str, offered: tuple[str, ...]) -> Mapping[str, float] | None:
        plan = self._plan(offered)
        return plan.likelihood(text) if plan else None

    def _make_plan(self, offered: tuple[str, ...]) -> "_Plan | None":
        return _plan(offered, self.loaded)


class _Plan:
    """What is compared for one set of offered tags."""

    def __init__(self, languages: Mapping[str, Language], background: Sequence[Language]) -> None:
        self._languages = languages
        self._background = background
        compared = {*languages.values(), *background}
        self._detector = LanguageDetectorBuilder.from_languages(*compared).build()
        known = list(languages.values())
        # Tags of one language that are written in several scripts: the text's script tells them apart.
        self._scripts = {
            tag: parts.script
            for tag, language in languages.items()
            if known.count(language) > 1 and (parts := language_tag.read(tag))
        }

    def likelihood(self, text: str) -> Mapping[str, float]:
        """Return how well a text fits each tag, and OTHER."""
        found = self._probabilities(text)
        other = _LEAST
        if not found:  # a script that none of the languages is written in
            other = 1.0
        elif self._background:
            other = sum(found[each] for each in self._background) / len(self._background)
        likelihood = {tag: found.get(language, _LEAST) for tag, language in self._languages.items()}
        if self._scripts and (script := script_of(text)):
            for tag, own in self._scripts.items():
                if own != script:
                    likelihood[tag] *= _OTHER_SCRIPT
        likelihood[OTHER] = max(other, _LEAST)
        return MappingProxyType(likelihood)

    def _probabilities(self, text: str) -> dict[Language, float]:
        cut = text.find(" ", _FIRST_LETTERS)
        if cut > 0:
            found = self._calibrated(text[:cut])
            if found and max(found.values()) > 1 - _DOUBT:
                return found
        return self._calibrated(text)

    def _calibrated(self, text: str) -> dict[Language, float]:
        """Return the probabilities of languages that a text is equally likely to be in; none if it can be in none."""
        values = self._detector.compute_language_confidence_values(text)
        most = values[0].value
        if most <= 0:
            return {}
        letters = len(text) - text.count(" ")
        power = _SCALE * letters**_POWER
        weights = {value.language: (value.value / most) ** power for value in values}
        floor = _RULED_OUT / math.sqrt(letters)
        scale, floor = (1 - floor) / sum(weights.values()), floor / len(weights)
        return {language: scale * weight + floor for language, weight in weights.items()}


def _plan(offered: Sequence[str], loaded: frozenset[str]) -> _Plan | None:
    languages = {tag: found for tag in offered if (found := language_of(tag)) and _code(found) in loaded}
    known = frozenset(languages.values())
    if not known:
        return None
    background = [
        each for each in map(language_of, _background(known)) if each and each not in known and _code(each) in loaded
    ]
    if len(known) + len(background) < 2:  # noqa: PLR2004 - nothing to compare; lingua would start threads
        return None
    return _Plan(languages, background)


def script_of(text: str) -> str:
    """Return the ISO 15924 code of a text's script where it is Latin, Cyrillic or Arabic or either Chinese, else ""."""
    name = unicodedata.name(text[0], "") if text else ""
    if not name.startswith("CJK"):
        return next((code for start, code in _SCRIPT_NAMES.items() if name.startswith(start)), "")
    # GB 2312 has the simplified characters, Big5 the traditional ones.
    simplified, traditional = (
        sum(_encodes(each, own) and not _encodes(each, other) for each in text)
        for own, other in (("gb2312", "big5"), ("big5", "gb2312"))
    )
    return "" if simplified == traditional else "Hans" if simplified > traditional else "Hant"


def _encodes(character: str, encoding: str) -> bool:
    try:
        character.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


def needed(tags: Iterable[str]) -> frozenset[str]:
    """Return the ISO 639-1 codes of the languages to load for these tags, with their background; none for no tag."""
    known = {found for tag in tags if (found := language_of(tag))}
    return frozenset(map(_code, known)) | _background(known)


def load(languages: Iterable[str]) -> Detector:
    """Load the models of these languages (ISO 639-1 codes, as `needed` gives them), where they are not yet in memory.

    It takes some 0.1 s and 20 MB for each, once for all processes that are forked afterwards.
    """
    codes = frozenset(languages)
    _LOADED.update(codes)
    for script, (word, _) in _SCRIPTS.items():
        members = [found for code in sorted(codes) if (found := language_of(code)) in _members(script)]
        if len(members) > 1:  # one alone is told by its script, without a model
            LanguageDetectorBuilder.from_languages(*members).build().compute_language_confidence_values(word)
    return Detector(codes)


def shared() -> Detector:
    """Return a detector for what this process, or the one that it was forked from, has loaded."""
    return Detector(_LOADED)


@lru_cache(maxsize=1024)
def language_of(tag: str) -> Language | None:
    """Return lingua's language of a BCP 47 tag, None when it has no model for it."""
    parts = language_tag.read(tag)
    if parts is None:
        return None
    try:
        if len(parts.language) == 2:  # noqa: PLR2004 - ISO 639-1
            return Language.from_iso_code_639_1(IsoCode639_1.from_str(parts.language))
        return Language.from_iso_code_639_3(IsoCode639_3.from_str(parts.language))
    except ValueError:
        return None


def _code(language: Language) -> str:
    return language.iso_code_639_1.name.lower()


def _background(languages: Iterable[Language]) -> frozenset[str]:
    return frozenset(
        code for script in _SCRIPTS if not _members(script).isdisjoint(languages) for code in BACKGROUND[script]
    )


@lru_cache
def _members(script: str) -> frozenset[Language]:
    return frozenset(_SCRIPTS[script][1]())


# lingua keeps models for the whole process, and does not say which.
_LOADED: Final[set[str]] = set()
_SCRIPT_NAMES: Final = {"LATIN": "Latn", "CYRILLIC": "Cyrl", "ARABIC": "Arab"}
# A word of five letters, without any that only some of the languages have: for it each model is looked up, and loaded.
_SCRIPTS: Final = {
    "latin": ("aroma", Language.all_with_latin_script),
    "cyrillic": ("карта", Language.all_with_cyrillic_script),
    "arabic": ("سلامت", Language.all_with_arabic_script),
    "devanagari": ("समाचार", Language.all_with_devanagari_script),
}
