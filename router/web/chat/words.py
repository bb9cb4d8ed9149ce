"""The widget's texts for pages rendered by the router, for visitors whose browser runs no scripts."""

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from router.language.tag import best, read
from router.web.chat.files import FOLDER

_FALLBACK: Final = "en"
_RIGHT_TO_LEFT: Final = frozenset(("ar", "fa", "he"))


class Words:
    """The locales of the widget."""

    def __init__(self) -> None:
        self._locales = {
            path.stem: json.loads(path.read_text(encoding="utf-8")) for path in (FOLDER / "locales").glob("*.json")
        }
        self._tags = tuple(sorted(self._locales))

    def locale(self, wanted: Iterable[str]) -> str:
        """Return the locale for the first of these tags that has one; English if none does."""
        return next((found for tag in wanted if tag and (found := best(tag, self._tags))), _FALLBACK)

    def of(self, locale: str) -> Mapping[str, Any]:
        """Return the texts of a locale."""
        words: Mapping[str, Any] = self._locales[locale]
        return words


def direction(locale: str) -> str:
    """Return the text direction of a locale for HTML."""
    return "rtl" if locale in _RIGHT_TO_LEFT else "ltr"


def in_words(texts: Mapping[str, str], locale: str) -> str:
    """Choose a text by language as the widget does; "" without texts."""
    tag = read(locale)
    wanted = (locale, tag.language if tag else "", _FALLBACK, *texts)
    return next((texts[each] for each in wanted if each in texts), "")
