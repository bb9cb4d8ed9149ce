"""How commands read the language of a text: with the models of the languages asked for, loaded when they first are."""

from collections.abc import Mapping, Sequence
from functools import lru_cache

from router.language.detector import Detector, load, needed


def likelihood(text: str, offered: Sequence[str]) -> Mapping[str, float] | None:
    """Return how well a text fits each of the offered tags; loading the models takes some 0.1 s for each language."""
    return _detector(needed(offered)).likelihood(text, offered)


@lru_cache(maxsize=8)
def _detector(languages: frozenset[str]) -> Detector:
    return load(languages)
