"""How well a text fits languages: lingua's n-gram models, calibrated, with a place for languages nobody offers.

lingua compares languages with each other and has no notion of none of them. So each text is also compared with a few
languages of the background, of the same script; what fits one of those best fits no offered one.

Models are loaded by the process that forks the workers (config/gunicorn.conf.py), once, and shared by all: lingua keeps
them outside of Python's heap, where no reference count ever writes. It must not start threads there, which would be
missing after the fork: it does so to preload, for its low accuracy mode, for a single language, and for its methods
named parallel. None of them is used. Detection holds the interpreter's lock.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import Final

from lingua import IsoCode639_1, IsoCode639_3, Language, LanguageDetector, LanguageDetectorBuilder

from router import language_tag
from router.language import OTHER

# The background, by lingua's sets of languages that share a script; the other scripts tell their language themselves.
# Chosen by measurement (docs/bench.md): of the languages that are not in it, most texts are nearest to one of these.
BACKGROUND: Final[Mapping[str, tuple[str, ...]]] = {
    "latin": ("en", "es", "fr", "de", "it", "pt", "tr", "tl", "sv"),
    "cyrillic": ("ru", "uk", "bg"),
    "arabic": ("ar", "fa", "ur"),
    "devanagari": ("hi", "mr"),
}
# lingua's confidences of short texts are far too cautious, and those of long ones not cautious enough. To this power,
# times the number of letters to this one, they are probabilities: fitted by `router bench language`.
_SCALE: Final = 0.35
_POWER: Final = 0.7
# How often a language that lingua's rules exclude is the right one after all.
_RULED_OUT: Final = 0.01
_LEAST: Final = 1e-4


class Detector:
    """Says how well texts fit languages whose models are in memory."""

    def __init__(self, loaded: Iterable[str]) -> None:
        self.loaded = frozenset(loaded)
        self._plans: dict[tuple[str, ...], _Plan | None] = {}

    def likelihood(self, text: str, offered: Sequence[str]) -> Mapping[str, float] | None:
        """Return how well a text of telling words fits each offered tag, and OTHER; None when nobody can say.

        A tag without a model in memory is as likely as OTHER. The text is `telling`'s, without lone surrogates.
        """
        key = tuple(offered)
        if key not in self._plans:
            self._plans[key] = _plan(key, self.loaded)
        plan = self._plans[key]
        return plan.likelihood(text) if plan and text else None


class _Plan:
    """What is compared for one set of offered tags."""

    def __init__(self, languages: Mapping[str, Language | None], background: Sequence[Language]) -> None:
        self.languages = languages
        self.background = background
        compared = {language for language in languages.values() if language} | set(background)
        self.detector = LanguageDetectorBuilder.from_languages(*compared).build()
        self.likelihood = lru_cache(maxsize=4096)(self._likelihood)

    def _likelihood(self, text: str) -> Mapping[str, float]:
        letters = len(text) - text.count(" ")
        found = _calibrated(self.detector, text, letters)
        other = _LEAST
        if not found:  # a script that none of the languages is written in
            other = 1.0
        elif self.background:
            other = sum(found[each] for each in self.background) / len(self.background)
        likelihood = {
            tag: found.get(language, _LEAST) if language else other for tag, language in self.languages.items()
        }
        likelihood[OTHER] = max(other, _LEAST)
        return MappingProxyType(likelihood)


def _calibrated(detector: LanguageDetector, text: str, letters: int) -> dict[Language, float]:
    """Return the probabilities of languages that a text is equally likely to be in; none if it can be in none."""
    confidences = {value.language: value.value for value in detector.compute_language_confidence_values(text)}
    most = max(confidences.values())
    if most <= 0:
        return {}
    power = _SCALE * letters**_POWER
    weights = {language: (value / most) ** power for language, value in confidences.items()}
    total = sum(weights.values())
    floor = _RULED_OUT / len(weights)
    return {language: (1 - _RULED_OUT) * weight / total + floor for language, weight in weights.items()}


def _plan(offered: Sequence[str], loaded: frozenset[str]) -> _Plan | None:
    languages = {tag: found if (found := language_of(tag)) and _code(found) in loaded else None for tag in offered}
    known = {language for language in languages.values() if language}
    if not known:
        return None
    background = [
        each for each in map(language_of, _background(known)) if each and each not in known and _code(each) in loaded
    ]
    if len(known) + len(background) < 2:  # noqa: PLR2004 - nothing to compare; lingua would start threads
        return None
    return _Plan(languages, background)


def needed(tags: Iterable[str]) -> frozenset[str]:
    """Return the ISO 639-1 codes of the languages to load for these tags, with their background; none for no tag."""
    known = {found for tag in tags if (found := language_of(tag))}
    return frozenset(map(_code, known)) | _background(known)


def load(languages: Iterable[str]) -> Detector:
    """Load the models of these languages (ISO 639-1 codes, as `needed` gives them), where they are not yet in memory.

    It takes some 0.1 s and 20 MB for each, once for all processes that are forked afterwards.
    """
    codes = frozenset(languages)
    for script, (word, _) in _SCRIPTS.items():
        members = [found for code in sorted(codes) if (found := language_of(code)) in _members(script)]
        if len(members) > 1:  # one alone is told by its script, without a model
            LanguageDetectorBuilder.from_languages(*members).build().compute_language_confidence_values(word)
    return Detector(codes)


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


# A word of five letters, without any that only some of the languages have: for it each model is looked up, and loaded.
_SCRIPTS: Final = {
    "latin": ("aroma", Language.all_with_latin_script),
    "cyrillic": ("карта", Language.all_with_cyrillic_script),
    "arabic": ("سلامت", Language.all_with_arabic_script),
    "devanagari": ("समाचार", Language.all_with_devanagari_script),
}
