"""BCP 47 language tags: language, script and region, the names that people use, and which tag fits another one.

https://www.rfc-editor.org/rfc/rfc5646
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from babel import Locale

# Codes for which CLDR uses another one: https://cldr.unicode.org/translation/language-names
_ALIASES: Final = {"no": "nb", "fil": "tl", "iw": "he", "in": "id", "ji": "yi", "cmn": "zh", "mo": "ro"}
# Languages that also have a more general name: Bokmål and Nynorsk are also called Norwegian.
_WIDER: Final = {"nb": ("no",), "nn": ("no",)}
# RFC 5646, section 2.1, without grandfathered tags and extensions: language, script, region, variants.
_LANGUAGE = re.compile(
    r"(?P<language>[a-z]{2,3}|[a-z]{5,8})"
    r"(?:-(?P<script>[a-z]{4}))?"
    r"(?:-(?P<region>[a-z]{2}|[0-9]{3}))?"
    r"(?P<rest>(?:-(?:[a-z0-9]{5,8}|[0-9][a-z0-9]{3}))*(?:-x(?:-[a-z0-9]{1,8})+)?)",
    re.IGNORECASE,
)
_MOST: Final = 64  # the maximum length of a tag from outside


# CLDR is read on first use: this takes 25 ms, and most starts and commands do not need it.
@lru_cache(maxsize=1)
def _likely() -> Mapping[str, Any]:
    from babel.core import get_global

    return get_global("likely_subtags")


@lru_cache(maxsize=1)
def _english() -> "Locale":
    from babel import Locale

    return Locale("en")


@lru_cache(maxsize=1)
def _longer() -> Mapping[str, str]:
    """Return the two-letter codes by the three-letter codes of the same languages, such as `spa` and `ger`."""
    from babel.core import get_global

    aliases = get_global("language_aliases").items()
    return {longer: code for longer, code in aliases if (len(longer), len(code)) == (3, 2)}


@dataclass(frozen=True, slots=True)
class Tag:
    """A tag's parts; "" for one that the tag does not have and for which CLDR has no likely value."""

    text: str
    language: str
    script: str
    region: str


def canonical_tag(tag: str) -> str:
    """Return a tag in its usual letter case (`pt-BR`, `zh-Hant-TW`); raise ValueError for any other text."""
    match = _LANGUAGE.fullmatch(tag)
    if not match:
        raise ValueError(f"{tag[:_MOST]!r} is not a BCP 47 language tag, as en, pt-BR or zh-Hant")
    parts = (match["language"].lower(), (match["script"] or "").title(), (match["region"] or "").upper())
    return "-".join(part for part in parts if part) + match["rest"].lower()


@lru_cache(maxsize=1024)
def read(text: str) -> Tag | None:
    """Read a tag in any usual form (`es`, `pt_BR`, `zh-hant`); None for any other text.

    `script` and `region` are the tag's own, or else the likely ones: Hant for `zh-TW`, BR for `pt`.
    """
    text = text.strip()
    if len(text) > _MOST:
        return None
    try:
        tag = canonical_tag(text.replace("_", "-"))
    except ValueError:
        return None
    language, *rest = tag.split("-")
    script = next((part for part in rest[:1] if len(part) == 4), "")  # noqa: PLR2004 - RFC 5646, 2.2.3
    region = next((part for part in rest[:2] if part != script and len(part) in (2, 3)), "")
    language = _ALIASES.get(language, language)
    likely = ()
    for form in ((language, script, region), (language, region), (language, script), (language,)):
        if found := _likely().get("_".join(part for part in form if part)):
            likely = found.split("_")
            break
    _, likely_script, likely_region = (*likely, "", "", "")[:3]
    return Tag(tag, language, script or likely_script, region or likely_region)


def says_region(tag: Tag) -> bool:
    """Return whether a tag names its region itself: `pt-BR`, and not `pt`."""
    return bool(tag.region) and tag.region in tag.text.split("-")


@lru_cache(maxsize=4096)
def best(wanted: str, offered: Sequence[str]) -> str:
    """Return the offered tag that fits the wanted one best, "" if none has its language.

    The same tag fits best, then one with the same script and region, then the same script, then the same language; of
    several equal ones, the first.
    """
    tag = read(wanted)
    if tag is None:
        return ""
    known = [(each, parts) for each in offered if (parts := read(each)) and parts.language == tag.language]
    return max(known, key=lambda each: _nearness(tag, each[1]), default=("", None))[0]


def _nearness(wanted: Tag, tag: Tag) -> tuple[bool, bool, bool]:
    return tag.text == wanted.text, tag.script == wanted.script, tag.region == wanted.region


@lru_cache(maxsize=1024)
def names(tag: str) -> frozenset[str]:
    """Return the names of a language, folded (`folded`): in that language and in English, with and without region.

    Reading a language's names for the first time takes 2 to 16 ms.
    """
    from babel import Locale, UnknownLocaleError

    parts = read(tag)
    if parts is None:
        return frozenset()
    language = parts.language
    # Some people use Latin letters for a language with another script: `srpski`.
    texts = (tag.replace("-", "_"), language, f"{language}_Latn", *_WIDER.get(language, ()))
    # A script or region may give a special name: `繁體中文`, Traditional Chinese, Brazilian Portuguese.
    keys = (language, f"{language}_{parts.script}", f"{language}_{parts.region}" if says_region(parts) else "")
    names_ = set()
    for text in texts:
        try:
            locale = Locale.parse(text)
        except (ValueError, UnknownLocaleError):
            continue
        names_ |= {locale.get_display_name(locale), locale.get_display_name("en")}
        names_ |= {spoken.languages.get(key) for spoken in (locale, _english()) for key in keys}
    return frozenset(folded(name) for name in names_ if name)


def folded(text: str) -> str:
    """Return a text without letter case, accents and punctuation, so that `ESPANOL` equals `Español`."""
    text = unicodedata.normalize("NFKD", text.casefold())
    letters = ("".join(character for character in text if not unicodedata.combining(character))).strip()
    return " ".join("".join(each if each.isalnum() else " " for each in letters).split())


# Languages' own names that could be tags: five to eight letters without accents.
_OWN_NAMES: Final = {
    "dansk": "da", "deutsch": "de", "espanol": "es", "francais": "fr", "hrvatski": "hr", "italiano": "it",
    "magyar": "hu", "norsk": "nb", "polski": "pl", "srpski": "sr", "suomi": "fi", "svenska": "sv",
}  # fmt: skip


def meant(tag: str) -> str:
    """Return the tag that is probably meant if a tag begins with a name or a longer code: `spanish`, `ger-AT`.

    Returns "" if the tag begins with the usual code of a language.
    """
    language, *rest = tag.lower().split("-")
    code = _codes_by_name().get(language) or _OWN_NAMES.get(language) or _longer().get(language, "")
    return canonical_tag("-".join((code, *rest))) if code else ""


@lru_cache(maxsize=1)
def _codes_by_name() -> dict[str, str]:
    """Return the codes of languages by their English names, for names that could be tags."""
    named = {folded(name): code for code, name in _english().languages.items() if code.isalpha()}
    return {name: code for name, code in named.items() if _LANGUAGE.fullmatch(name) and len(name) > len(code)}
