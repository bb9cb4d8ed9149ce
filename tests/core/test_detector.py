"""The detector with real models: what texts fit, what fits none, and that nothing makes it fail."""

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
    """English and Spanish, with the background."""
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
def test_what_a_text_fits(detector: Detector, body: str, best: str) -> None:
    """A text in an offered language fits that one; any other fits OTHER, also one in another script."""
    assert _best(detector, body) == best


def test_nothing_is_said_of_nothing(detector: Detector) -> None:
    """Without a telling word, or a model for any offered tag, the text is no evidence."""
    assert detector.likelihood("", OFFERED) is None
    assert detector.likelihood("grüezi mitenand", ("gsw",)) is None
    assert Detector(()).likelihood("Where is my order", OFFERED) is None


def test_what_has_no_model_is_left_out(detector: Detector) -> None:
    """Tags that lingua does not know, and those that are not loaded, are in no answer; the others are."""
    likelihood = detector.likelihood("Where is my order", ("en", "gsw", "lv"))
    assert likelihood is not None
    assert set(likelihood) == {"en", OTHER}


def test_one_language_alone_is_compared_with_the_background(detector: Detector) -> None:
    """An address that offers one language and has a default still tells who writes in another."""
    assert _best(detector, "Where is my order?", ("en",)) == "en"
    assert _best(detector, "Guten Tag, ich habe eine Frage", ("en",)) == OTHER


@pytest.mark.parametrize("offered", [("hi",), ("ru",), ("uk", "ru"), ("ar",), ("en", "hi")], ids="-".join)
@pytest.mark.parametrize("body", ["Where is my order?", "hello my friend", "thank you very much", "please call"])
def test_english_is_no_other_script(offered: tuple[str, ...], body: str) -> None:
    """English words are in the lists of all languages; where another script is offered, they say nothing for it."""
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
def test_a_language_with_a_script_of_its_own_needs_no_other_beside_it(tag: str) -> None:
    """Alone at its address its texts are read, and those of all other scripts fit OTHER, without model or thread."""
    assert needed([tag]) == frozenset()
    before = Detector(())
    threads = len(list(Path("/proc/self/task").iterdir()))
    assert _best(before, ALONE[tag], (tag,)) == tag
    others = [text for other, text in ALONE.items() if {other, tag} != {"ja", "zh"} and other != tag]
    for text in (*others, "Where is my order?", "Где мой заказ?", "أين طلبي؟"):
        assert _best(before, text, (tag,)) == OTHER
    assert len(list(Path("/proc/self/task").iterdir())) == threads


def test_scripts_of_one_language_are_told_apart() -> None:
    """Simplified and traditional characters are, regions of one script are not."""
    chinese = load(needed(("zh-Hans", "zh-Hant", "en")))
    assert _best(chinese, "请问你们几点开门", ("zh-Hans", "zh-Hant", "en")) == "zh-Hans"
    assert _best(chinese, "請問你們幾點開門", ("zh-Hans", "zh-Hant", "en")) == "zh-Hant"
    regions = chinese.likelihood("where is my order", ("en-GB", "en-US"))
    assert regions
    assert regions["en-GB"] == regions["en-US"]


def test_scripts() -> None:
    """What both kinds of Chinese write alike says nothing."""
    assert [script_of(text) for text in ("привет", "hola", "你好", "👍", "")] == ["Cyrl", "Latn", "", "", ""]


def test_nothing_is_loaded_for_nothing() -> None:
    """A router whose flows name no language spends no memory; one more language brings its script's background."""
    assert not needed(())
    assert needed(("xx", "gsw")) == frozenset()
    assert {"en", "es", "fr"} < needed(("es-MX",))
    assert needed(("th",)) == frozenset()


@given(body=st.text(alphabet=st.characters(), max_size=400))
def test_every_text_is_read(detector: Detector, body: str) -> None:
    """Emoji, mixed scripts, NUL, lone surrogates: never an exception; likelihoods are probabilities above nothing."""
    likelihood = detector.likelihood(indicative_words(body), OFFERED)
    assert likelihood is None or all(0 < each <= 1 for each in likelihood.values())
