"""The part `language`: the quality of detection by the text alone, with the number's country, and by two messages."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from lingua import LanguageDetectorBuilder

from bench.report import Figure, figure
from bench.text import KINDS, Text, not_offered, texts
from router.language import detector as models
from router.language.detector import Detector
from router.language.evidence import FLOOR, OTHER, Decision, decide, from_country, from_history, from_text
from router.language.text import indicative_words

TENS: Final = {
    "ten": ("en", "es", "fr", "de", "it", "pt", "nl", "pl", "tr", "ru"),
    "scripts": ("ar", "zh", "ja", "ko", "hi", "el", "he", "th", "uk", "fa"),
}
PAIR: Final = ("en", "es")
# The accuracy of lingua itself with ten languages, which the router must reach at least.
_ALONE: Final = dict(zip(KINDS, (82.0, 94.0, 99.0), strict=True))
_WITH_COUNTRY: Final = 92.0  # of single words
_SECOND: Final = 97.0
_PRECISE: Final = 0.99
_TIMED: Final = 2000  # texts

Outcome = tuple[str, Decision]
Decide = Callable[[Text], Decision]


def language(folder: Path) -> list[Figure]:
    """Measure everything on the texts of a folder."""
    figures: list[Figure] = []
    for name, offered in TENS.items():
        labelled = {kind: texts(folder, offered, kind) for kind in KINDS}
        detector = models.load(models.needed(offered))
        for kind, found in labelled.items():
            figures += _part(f"{name}, {kind}", kind, found, offered, detector)
    detector = models.load(models.needed(PAIR))
    for kind in KINDS:
        foreign = [(each.language, _decide(each, PAIR, detector)) for each in not_offered(folder, PAIR, kind)]
        wrong = sum(bool(decision.language) for _, decision in foreign) / len(foreign)
        figures.append(figure(f"not offered, {kind}", f"to a flow for {' or '.join(PAIR)}", "%", [100 * wrong]))
    return [*figures, *_memory()]


def _part(part: str, kind: str, found: Sequence[Text], offered: Sequence[str], detector: Detector) -> Iterator[Figure]:
    alone = [(each.language, _decide(each, offered, detector)) for each in found]
    yield figure(part, "lingua alone, right", "%", [_lingua(found, offered)])
    yield figure(part, "text: right", "%", [_right(alone)], at_least=_ALONE[kind])
    yield from _decided(part, "text", alone)
    with_country = [(each.language, _decide(each, offered, detector, country=each.country)) for each in found]
    wanted = _WITH_COUNTRY if kind == "single-words" else None
    yield figure(part, "text and country: right", "%", [_right(with_country)], at_least=wanted)
    yield from _decided(part, "text and country", with_country)
    yield from _second(part, found, offered, detector)
    yield _time(part, found, offered, detector)


def _decide(
    text: Text, offered: Sequence[str], detector: Detector, *, country: str = "", before: Decision | None = None
) -> Decision:
    body = indicative_words(text.text)
    evidence = [
        from_text(detector.likelihood(body, offered), len(body), offered),
        from_country(country, offered),
        from_history(dict(before.shares), offered) if before else None,
    ]
    return decide(offered, [each for each in evidence if each])


def _right(outcomes: Sequence[Outcome]) -> float:
    """Return how often the most probable of the offered languages is correct, in percent."""
    first = [next(tag for tag, _ in decision.shares if tag != OTHER) for _, decision in outcomes]
    return 100 * sum(tag == code for tag, (code, _) in zip(first, outcomes, strict=True)) / len(outcomes)


def _decided(part: str, name: str, outcomes: Sequence[Outcome]) -> Iterator[Figure]:
    """Yield the share of decided texts, of correct ones among them, and of those decided at 99 % precision."""
    decided = [(code, decision) for code, decision in outcomes if decision.language]
    right = sum(code == decision.language for code, decision in decided)
    yield figure(part, f"{name}: decided, at {FLOOR:.0%}", "%", [100 * len(decided) / len(outcomes)])
    yield figure(part, f"{name}: right of these", "%", [100 * right / max(1, len(decided))])
    ranked = sorted(outcomes, key=lambda each: -max(share for tag, share in each[1].shares if tag != OTHER))
    right = covered = 0
    for place, (code, decision) in enumerate(ranked, 1):
        right += code == next(tag for tag, _ in decision.shares if tag != OTHER)
        covered = place if right >= _PRECISE * place else covered
    yield figure(part, f"{name}: decided, at {_PRECISE:.0%} right", "%", [100 * covered / len(outcomes)])
    bins: dict[int, list[tuple[float, bool]]] = {}
    for code, decision in outcomes:
        tag, share = decision.shares[0]
        bins.setdefault(int(10 * share), []).append((share, tag == code))
    error = sum(abs(sum(share - right for share, right in each)) for each in bins.values()) / len(outcomes)
    yield figure(part, f"{name}: probabilities off by", "%", [100 * error])


def _second(part: str, found: Sequence[Text], offered: Sequence[str], detector: Detector) -> Iterator[Figure]:
    """Yield the results after two messages: a confident decision is kept, another is made again with the second."""
    ends = []
    for first, second in zip(found[::2], found[1::2], strict=False):
        if first.language == second.language:
            decision = _decide(first, offered, detector, country=first.country)
            if not decision.confident:
                decision = _decide(second, offered, detector, before=decision)
            ends.append((first.language, decision))
    yield figure(part, "second message: right", "%", [_right(ends)], at_least=_SECOND)
    wrong = sum(decision.language not in ("", code) for code, decision in ends)
    yield figure(part, "second message: in a wrong flow", "%", [100 * wrong / len(ends)])


def _lingua(found: Sequence[Text], offered: Sequence[str]) -> float:
    """Return how often lingua is correct when restricted to the offered languages, in percent."""
    detector = LanguageDetectorBuilder.from_languages(*filter(None, map(models.language_of, offered))).build()
    right = sum(detector.detect_language_of(each.text) == models.language_of(each.language) for each in found)
    return 100 * right / len(found)


def _time(part: str, found: Sequence[Text], offered: Sequence[str], detector: Detector) -> Figure:
    """Measure the processor time for a new text: its indicative words and their likelihood."""
    fresh = Detector(detector.loaded)
    fresh.likelihood(indicative_words(found[0].text), offered)
    taken = []
    for each in found[1 :: max(1, len(found) // _TIMED)]:
        started = time.thread_time()
        fresh.likelihood(indicative_words(each.text), offered)
        taken.append(1e6 * (time.thread_time() - started))
    return figure(part, "a detection", "µs", taken, at_most=60)


def _memory() -> Iterator[Figure]:
    """Yield the memory of models: in the process that loads them, and in forked workers that have used them."""
    for name, offered in {"2 languages": PAIR, "10 languages": TENS["ten"]}.items():
        command = [sys.executable, "-m", "bench.language_memory", *offered]
        found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)  # noqa: S603 - our own
        part = f"memory, {name}"
        yield figure(part, "loaded once", "MB", [found["loaded"]])
        yield figure(part, "loading takes", "s", [found["seconds"]])
        yield figure(part, "private to a worker, more than without", "MB", found["private"], at_most=10)
