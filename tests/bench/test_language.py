"""`make bench PART=language` with a few texts: it measures everything, and its errors name what is missing."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench.language import PAIR, _part
from bench.text import KINDS, not_offered, texts
from router.errors import RouterError
from router.language import detector as models
from tests.bench.command import ROOT, bench

_TEXTS = {
    "en": ["yesterday", "Where is my order?", "thank you very much", "Do you have a table for tonight?"],
    "es": ["ayer", "¿Dónde está mi pedido?", "muchas gracias por todo", "¿Tienen una mesa para esta noche?"],
    "de": ["gestern", "Wo ist meine Bestellung?", "vielen Dank für alles", "Haben Sie einen Tisch für heute Abend?"],
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Texts in three languages, one of them in the folders of lingua's repository."""
    for code, lines in _TEXTS.items():
        place = tmp_path / code / "testdata" if code == "de" else tmp_path / code
        place.mkdir(parents=True)
        for kind in KINDS:
            (place / f"{kind}.txt").write_text("\n".join(lines), encoding="utf-8")
    return tmp_path


def test_the_error_names_where_to_get_texts(tmp_path: Path) -> None:
    """Without `--data`, or with a folder that lacks texts, the benchmark fails, and names where to get them."""
    for arguments in ((), ("--data", tmp_path)):
        found = bench("language", *arguments)
        assert found.returncode == 1
        assert "github.com/pemistahl/lingua-rs" in found.stderr.splitlines()[-1]


def test_only_the_texts_that_were_not_fitted_on_are_measured(folder: Path) -> None:
    """`texts` returns every second line, on which nothing was fitted; `not_offered` the texts of other languages."""
    assert [each.text for each in texts(folder, PAIR, "sentences")] == [
        *(_TEXTS["en"][1::2]),
        *(_TEXTS["es"][1::2]),
    ]
    assert [each.text for each in texts(folder, PAIR, "sentences", half=0)][:2] == _TEXTS["en"][::2]
    assert {each.language for each in not_offered(folder, PAIR, "sentences")} == {"de"}
    with pytest.raises(RouterError, match="fr/sentences"):
        texts(folder, ("fr",), "sentences")


def test_everything_is_measured(folder: Path) -> None:
    """There are figures for lingua alone, the text, the text with the country, the second message, and the time."""
    detector = models.load(models.needed(PAIR))
    figures = {each.name: each for each in _part("two", "sentences", texts(folder, PAIR, "sentences"), PAIR, detector)}
    assert figures["text: right"].median == 100
    assert figures["text: right"].at_least == 99
    assert figures["second message: in a wrong flow"].median == 0
    assert {"lingua alone, right", "text and country: right", "text: decided, at 99% right", "a detection"} < set(
        figures
    )


def test_memory_is_measured_in_a_separate_process() -> None:
    """The process prints the memory and time of loading, and the private memory of each of two forked workers."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.language_memory", "th", "ko"], cwd=ROOT, check=True, capture_output=True
    )
    found = json.loads(done.stdout)
    assert set(found) == {"loaded", "seconds", "private"}
    assert len(found["private"]) == 2
