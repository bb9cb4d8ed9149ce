"""Which words of a body indicate its language, and which bodies are opt-outs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.language.text import MOST_LETTERS, indicative_words, is_opt_out


@pytest.mark.parametrize(
    ("body", "reported"),
    [
        pytest.param("", "", id="nothing"),
        pytest.param("ok", "", id="ok"),
        pytest.param("Si", "", id="si"),
        pytest.param("Hello!", "", id="an international greeting"),
        pytest.param("1", "", id="a digit"),
        pytest.param("👍🏽", "", id="emoji"),
        pytest.param("https://example.com/hola/mundo?a=buenos+dias", "", id="a link"),
        pytest.param("example.com/hola", "", id="a link without a scheme"),
        pytest.param("maria.garcia@example.es", "", id="an e-mail address"),
        pytest.param("@juan #hola", "", id="a mention and a tag"),
        pytest.param("AB12-X9 4711", "", id="the code of an order"),
        pytest.param("\x00\ud800", "", id="NUL and a lone surrogate"),
        pytest.param("hola\ud800mundo\x00", "hola mundo", id="words between them"),
        pytest.param("ok gracias", "ok gracias", id="ok, and more"),
        pytest.param("¿Dónde está mi pedido 4711? https://a.example/b 😡", "Dónde está mi pedido", id="a question"),
        pytest.param("Qu'est-ce que c'est ?", "Qu'est ce que c'est", id="apostrophes"),
        pytest.param("नमस्ते, मुझे मदद चाहिए", "नमस्ते मुझे मदद चाहिए", id="vowels that are marks"),
        pytest.param("שלום עולם", "שלום עולם", id="right to left"),
        pytest.param("はい", "はい", id="two letters of a script that few languages have"),
        pytest.param("Привет hello", "Привет hello", id="two scripts"),
    ],
)
def test_words_that_indicate_a_language(body: str, reported: str) -> None:
    """Words indicate a language; links, addresses, numbers, emoji and international words do not."""
    assert indicative_words(body) == reported


@given(st.text(alphabet=st.characters(), max_size=3000))
def test_no_body_raises_an_exception(body: str) -> None:
    """No body raises an exception, and at most MOST_LETTERS letters are returned, without lone surrogates."""
    reported = indicative_words(body)
    assert len(reported) - reported.count(" ") <= MOST_LETTERS
    reported.encode()  # as lingua does; it fails if a lone surrogate is left
    is_opt_out(body)


@given(st.text(alphabet=st.sampled_from("aé\u0301नी'\u2019 .,@#/:-1_wW"), max_size=60))
def test_a_number_at_the_end_changes_nothing(body: str) -> None:
    """A number added at the end of a body does not change its indicative words."""
    assert indicative_words(body) == indicative_words(f"{body} 1")


@pytest.mark.parametrize(
    "body", ["x" * 1600, "a." * 800, "_" * 1600, "@" * 1600, "1a" * 800, "hola " * 320, "字" * 1600]
)
def test_a_long_body_is_cut(body: str) -> None:
    """At most MOST_LETTERS letters of a long body are returned."""
    reported = indicative_words(body)
    assert len(reported) - reported.count(" ") <= MOST_LETTERS


@pytest.mark.parametrize(
    "body",
    [
        "STOP",
        "stop.",
        " Stop ",
        "UNSUBSCRIBE",
        "opt out",
        "OPT-OUT",
        "Arrêt",
        "Arre\u0302t",
        "\uff33\uff34\uff2f\uff30",
        "ARRET",
        "BAJA",
        "стоп",
        "退订",
        "إلغاء الاشتراك",
    ],
)
def test_opt_out_words_are_recognized(body: str) -> None:
    """Twilio's opt-out words, and clear ones of other languages, count in any case, width and composition."""
    assert is_opt_out(body)


@pytest.mark.parametrize(
    "body", ["", "stop it please", "don't stop", "cancelar", "the end", "STOP " * 100, "nonstop", "👍"]
)
def test_other_texts_are_no_opt_outs(body: str) -> None:
    """A sentence with an opt-out word is not an opt-out, nor is an ambiguous word."""
    assert not is_opt_out(body)
