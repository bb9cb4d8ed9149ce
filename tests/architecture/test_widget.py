"""The chat widget is small, and complete in every language."""

import gzip
import json
import re
from pathlib import Path
from string import Formatter
from typing import Any

import pytest
from babel import Locale

from router.web.chat.files import lean, load

WEB = Path(__file__).parents[2] / "router" / "web" / "chat"
LOCALES = sorted((WEB / "static" / "locales").glob("*.json"))
SCRIPTS = sorted((WEB / "static").glob("*.js"))
TEMPLATES = sorted((WEB / "templates").glob("*.html"))
# One visit: these, and the words of one language.
FRAME = ("frame.js", "chat.js", "router.js", "view.js", "chat.css")


def words(path: Path) -> dict[str, Any]:
    """Read a locale."""
    return dict(json.loads(path.read_text(encoding="utf-8")))


def placeholders(text: str | dict[str, str]) -> list[set[str | None]]:
    """Return the placeholders of a text, of each of its plural forms."""
    forms = text.values() if isinstance(text, dict) else [text]
    return [{name for _, name, _, _ in Formatter().parse(form) if name} for form in forms]


def test_what_a_visitor_loads_is_at_most_15_kilobytes() -> None:
    """The loader is smaller than 3 KB, and everything with the longest language at most 15 KB, as sent with gzip."""
    files = load()
    loader = len(files.by_name["widget.js"].gzipped)
    html = "".join((WEB / "templates" / name).read_text(encoding="utf-8") for name in ("frame.html", "_chat.html"))
    sizes = {name: len(files.by_name[name].gzipped) for name in FRAME}
    sizes["page"] = len(gzip.compress(lean(html).encode()))
    sizes["words"] = max(len(files.by_name[f"locales/{path.name}"].gzipped) for path in LOCALES)

    assert b"initWebchat" in gzip.decompress(files.by_name["widget.js"].gzipped)
    assert loader < 3 * 1000
    assert loader + sum(sizes.values()) <= 15 * 1024, sizes


def test_every_script_of_the_frame_is_counted() -> None:
    """The sum above includes every script that a visitor's browser loads."""
    assert {path.name for path in SCRIPTS} == {name for name in FRAME if name.endswith(".js")} | {"widget.js"}


@pytest.mark.parametrize("path", LOCALES, ids=lambda path: path.stem)
def test_a_locale_is_complete(path: Path) -> None:
    """A locale has the keys of English in the same order, its placeholders, and all plural forms of the language."""
    english, own = words(WEB / "static" / "locales" / "en.json"), words(path)
    rules = Locale.parse(path.stem, sep="-").plural_form
    plurals = {rules(number) for number in range(201)} | {"other"}

    assert list(own) == list(english)
    assert all(own.values())
    assert all(form == placeholders(english[key])[0] for key in own for form in placeholders(own[key]))
    assert set(own["unread"]) == plurals


def test_the_texts_of_a_locale_are_those_in_use() -> None:
    """Scripts and templates use every text of a locale, and no other; the list of locales is that of the files."""
    scripts = "".join(path.read_text(encoding="utf-8") for path in SCRIPTS)
    templates = "".join(path.read_text(encoding="utf-8") for path in TEMPLATES)
    english = words(WEB / "static" / "locales" / "en.json")
    named = set(re.findall(r'data-(?:t|name)="(\w+)"', templates)) | set(re.findall(r"\btext\.(\w+)", templates))
    named |= set(re.findall(r'\bt\("(\w+)"', scripts))
    listed = re.search(r"LOCALES = \[(.*?)\]", scripts, re.DOTALL)

    assert named <= set(english)
    assert {key for key in english if f'"{key}"' not in scripts} <= named
    assert listed is not None
    assert sorted(re.findall(r'"([\w-]+)"', listed[1])) == sorted(path.stem for path in LOCALES)
