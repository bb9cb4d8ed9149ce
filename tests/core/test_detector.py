"""The language detector with real models."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.language.detector import Detector, load, needed
from router.language.evidence import OTHER
from router.language.text import indicative_words, script_of

OFFERED = ("en", "es")


@pytest.fixture(scope="module")
def detector() -> Detector:
    """A detector for English and Spanish, with its background languages."""
    return load(needed(OFFERED))


def _best(detector: Detector, body: str, offered: tuple[str, ...] = OFFERED) -> str:
    likelihood = detector.likelihood(indicative_words(body), offered)
    assert likelihood
    return max(likelihood, key=lambda tag: likelihood[tag])


@pytest.mark.parametrize(
    ("body", "best"),
    [
        ("Hola, ¿tienen una mesa para cuatro?", "es"),
        ("Where is my order?", "en"),
        ("Guten Tag, ich möchte gerne einen Tisch bestellen", OTHER),
        ("Je voudrais réserver une table pour ce soir", OTHER),
        ("Добрый день, где мой заказ?", OTHER),
        ("สวัสดีครับ ผมต้องการความช่วยเหลือ", OTHER),
    ],
)
def test_a_text_fits_its_language_or_other(detector: Detector, body: str, best: str) -> None:
    """A text in an offered language fits that language; any other text, also in another script, fits OTHER."""
    assert _best(detector, body) == best


def test_no_likelihood_without_words_or_models(detector: Detector) -> None:
    """There is no likelihood without an indicative word, or without a model for any offered language."""
    assert detector.likelihood("", OFFERED) is None
    assert detector.likelihood("grüezi mitenand", ("gsw",)) is None
    assert Detector(()).likelihood("Where is my order", OFFERED) is None


def test_a_tag_without_a_loaded_model_is_left_out(detector: Detector) -> None:
    """A tag that lingua does not know, or that is not loaded, is left out; the other tags have a likelihood."""
    likelihood = detector.likelihood("Where is my order", ("en", "gsw", "lv"))
    assert likelihood is not None
    assert set(likelihood) == {"en", OTHER}


def test_one_language_alone_is_compared_with_the_background(detector: Detector) -> None:
    """With one offered language, a text in it fits it, and a text in another language fits OTHER."""
    assert _best(detector, "Where is my order?", ("en",)) == "en"
    assert _best(detector, "Guten Tag, ich habe eine Frage", ("en",)) == OTHER


@pytest.mark.parametrize("offered", [("hi",), ("ru",), ("uk", "ru"), ("ar",), ("en", "hi")], ids="-".join)
@pytest.mark.parametrize("body", ["Where is my order?", "hello my friend", "thank you very much", "please call"])
def test_english_words_do_not_fit_a_language_of_another_script(offered: tuple[str, ...], body: str) -> None:
    """English words fit English or OTHER, never an offered language of another script."""
    assert _best(load(needed(offered)), body, offered) == ("en" if "en" in offered else OTHER)


ALONE = {
    "bn": "আমার অর্ডার কোথায়",
    "el": "Πού είναι η παραγγελία μου;",
    "gu": "મારો ઓર્ડર ક્યાં છે",
    "he": "איפה ההזמנה שלי?",
    "hy": "Որտեղ է իմ պատվերը",
    "ja": "注文の状況を教えてください",
    "ka": "სად არის ჩემი შეკვეთა",
    "ko": "주문 상태를 알려주세요",
    "pa": "ਮੇਰਾ ਆਰਡਰ ਕਿੱਥੇ ਹੈ",
    "ta": "எனது ஆர்டர் எங்கே",
    "te": "నా ఆర్డర్ ఎక్కడ ఉంది",
    "th": "สวัสดีครับ ผมต้องการความช่วยเหลือ",
    "zh": "我的订单在哪里",
}


@pytest.mark.parametrize("tag", ALONE)
def test_a_language_with_its_own_script_needs_no_model(tag: str) -> None:
    """A language with its own script is distinguished from all other scripts without a model or a thread."""
    assert needed([tag]) == frozenset()
    before = Detector(())
    threads = len(list(Path("/proc/self/task").iterdir()))
    assert _best(before, ALONE[tag], (tag,)) == tag
    others = [text for other, text in ALONE.items() if {other, tag} != {"ja", "zh"} and other != tag]
    for text in (*others, "Where is my order?", "Где мой заказ?", "أين طلبي؟"):
        assert _best(before, text, (tag,)) == OTHER
    assert len(list(Path("/proc/self/task").iterdir())) == threads


def test_scripts_of_one_language_are_distinguished() -> None:
    """Simplified and traditional Chinese are distinguished; British and American English are equally likely."""
    chinese = load(needed(("zh-Hans", "zh-Hant", "en")))
    assert _best(chinese, "请问你们几点开门", ("zh-Hans", "zh-Hant", "en")) == "zh-Hans"
    assert _best(chinese, "請問你們幾點開門", ("zh-Hans", "zh-Hant", "en")) == "zh-Hant"
    regions = chinese.likelihood("where is my order", ("en-GB", "en-US"))
    assert regions
    assert regions["en-GB"] == regions["en-US"]


def test_the_script_of_a_text() -> None:
    """A text's script is named, except for Chinese characters that both scripts share, emoji and empty text."""
    assert [script_of(text) for text in ("привет", "hola", "你好", "👍", "")] == ["Cyrl", "Latn", "", "", ""]


def test_only_models_of_named_languages_are_loaded() -> None:
    """Without a flow that names a language no model is loaded; a language brings the others of its script."""
    assert not needed(())
    assert needed(("xx", "gsw")) == frozenset()
    assert {"en", "es", "fr"} < needed(("es-MX",))
    assert needed(("th",)) == frozenset()


@given(body=st.text(alphabet=st.characters(), max_size=400))
def test_no_text_makes_the_detector_fail(detector: Detector, body: str) -> None:
    """No text makes the detector fail (emoji, NUL, lone surrogates), and likelihoods are in (0, 1]."""
    likelihood = detector.likelihood(indicative_words(body), OFFERED)
    assert likelihood is None or all(0 < each <= 1 for each in likelihood.values())
