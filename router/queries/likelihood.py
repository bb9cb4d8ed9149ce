"""Computes how well texts fit languages, for commands: models are loaded only when a text needs them."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from router.routing.selection import Likelihood
from router.store.processes import Process

if TYPE_CHECKING:
    from router.language.detector import Detector


def likelihood(text: str, offered: Sequence[str]) -> Mapping[str, float] | None:
    """Return how well a text fits each of the offered tags; the models load in about 0.1 s for each language."""
    from router.language.detector import needed

    return _detector(needed(offered)).likelihood(text, offered)


def as_read_by(processes: Sequence[Process]) -> Likelihood:
    """Return a `likelihood` for the languages that all processes have loaded; without a process for all languages."""
    if not processes:
        return likelihood
    common = frozenset.intersection(*(frozenset(each.languages) for each in processes))

    def read(text: str, offered: Sequence[str]) -> Mapping[str, float] | None:
        from router.language.detector import needed

        return _detector(needed(offered) & common).likelihood(text, offered)

    return read


@lru_cache(maxsize=8)
def _detector(languages: frozenset[str]) -> "Detector":
    from router.language.detector import load

    return load(languages)
