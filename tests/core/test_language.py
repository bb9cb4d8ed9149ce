"""Evidence for a language: the decision, its confidence, and its explanation."""

from collections.abc import Callable, Sequence

import pytest

from router.language.evidence import (
    CLEAR_LETTERS,
    FLOOR,
    OTHER,
    Evidence,
    command,
    decide,
    from_country,
    from_history,
    from_parameter,
    from_preference,
    from_text,
)

OFFERED = ("en", "es")


def _text(*, letters: int = 30, en: float = 0.001, es: float = 0.001, other: float = 0.001) -> Evidence:
    evidence = from_text({"en": en, "es": es, OTHER: other}, letters, OFFERED)
    assert evidence
    return evidence


def _given(evidence: Evidence | None) -> Evidence:
    assert evidence
    return evidence


def test_nothing_known_decides_nothing() -> None:
    """Without evidence the default flow takes it, and the steps say why."""
    decision = decide(OFFERED, [])
    assert not decision.language
    assert not decision.confident
    assert "no evidence" in decision.steps[0]
    assert "any evidence: " in decision.others


def test_a_clear_text_wins_over_the_country() -> None:
    """A Spanish sentence from a German number is Spanish, confidently and clearly."""
    decision = decide(OFFERED, [_text(es=0.98), _given(from_country("DE", OFFERED))])
    assert decision.language == "es"
    assert decision.confident
    assert decision.clear
    assert "without the text" in decision.others


def test_a_short_text_is_never_clear() -> None:
    """However sure one word is, it does not change a conversation's language."""
    assert not decide(OFFERED, [_text(letters=CLEAR_LETTERS - 1, es=0.98)]).clear


def test_the_country_helps_a_doubtful_text() -> None:
    """A word that two languages share is decided by the number, though neither would decide alone."""
    text = _text(letters=5, en=0.3, es=0.5)
    assert not decide(OFFERED, [text]).language
    decision = decide(OFFERED, [text, _given(from_country("MX", OFFERED))])
    assert decision.language == "es"
    assert "without the country it would be undecided" in decision.others


def test_another_language_goes_to_the_default() -> None:
    """A text in a language that is not offered is in none of those that are, and the steps say so."""
    decision = decide(OFFERED, [_text(other=0.1)])
    assert not decision.language
    assert not decision.confident
    assert "is in none of" in decision.steps[-1]


def test_below_the_floor_nothing_is_decided() -> None:
    """Probabilities decide only where a wrong flow is rare."""
    for share in (0.5, 0.7, 0.79, 0.9, 0.99):
        decision = decide(OFFERED, [Evidence("text", "", {"en": 1 - share, "es": share, OTHER: 0.0})])
        assert bool(decision.language) == (decision.probability >= FLOOR)


def test_what_was_said_outright_wins() -> None:
    """A preference wins over the text; the channel's word wins over the country."""
    assert decide(OFFERED, [_text(en=0.9), _given(from_preference("es", OFFERED))]).language == "es"
    word = _given(from_parameter("es-MX", OFFERED))
    assert decide(OFFERED, [word, _given(from_country("US", OFFERED))]).language == "es"


def test_a_language_said_outright_that_is_not_offered() -> None:
    """It goes to the default, unless the text is in one that is offered."""
    word = _given(from_parameter("de", OFFERED))
    assert not decide(OFFERED, [word]).language
    assert "not offered here" in word.sentence


@pytest.mark.parametrize("value", ["", "xx-??", "Spanish please", "\x00", "e" * 500])
def test_what_is_no_tag_is_no_evidence(value: str) -> None:
    """A parameter that makes no sense changes nothing."""
    assert from_parameter(value, OFFERED) is None


def test_history_counts_on() -> None:
    """Two doubtful messages make a decision, and the country counts once."""
    country = _given(from_country("MX", OFFERED))
    text = _text(letters=5, en=0.3, es=0.4)
    first = decide(OFFERED, [text])
    assert not first.language
    second = decide(
        OFFERED, [_given(from_history(dict(decide(OFFERED, [text, country]).shares), OFFERED)), text, country]
    )
    assert second.language == "es"
    assert not [step for step in second.steps if "number of MX" in step]


def test_a_customer_may_change() -> None:
    """No history is so long that a clear sentence in another language does not win."""
    shares = dict(decide(OFFERED, [_text(es=0.98), _text(es=0.98)]).shares)
    assert decide(OFFERED, [_given(from_history(shares, OFFERED)), _text(en=0.98)]).language == "en"


def test_no_history_is_no_evidence() -> None:
    """A contact who never wrote says nothing; one who wrote where other languages were offered may."""
    assert from_history({}, OFFERED) is None
    elsewhere = from_history({"de": 0.9, OTHER: 0.1}, OFFERED)
    assert elsewhere
    assert not decide(OFFERED, [elsewhere]).language


@pytest.mark.parametrize(
    ("country", "offered", "language"),
    [
        ("PT", ("pt-BR", "pt-PT"), "pt-PT"),
        ("BR", ("pt-BR", "pt-PT"), "pt-BR"),
        ("TW", ("zh-Hans", "zh-Hant"), "zh-Hant"),
        ("CN", ("zh-Hans", "zh-Hant"), "zh-Hans"),
        ("GB", ("en-GB", "en-US"), "en-GB"),
    ],
)
def test_the_country_tells_regions_apart(country: str, offered: tuple[str, ...], language: str) -> None:
    """Tags of one language are as likely by their text; the country says which."""
    alike = Evidence("text", "", dict.fromkeys(offered, 0.9) | {OTHER: 0.001}, 30)
    assert decide(offered, [alike, _given(from_country(country, offered))]).shares[0][0] == language


def test_an_unknown_country_has_no_languages() -> None:
    """A sender without a telephone number has no country."""
    assert from_country("", OFFERED) is None
    assert from_country("XX", OFFERED) is None


def test_a_text_in_none_of_the_known_languages_is_not_in_the_unknown_one() -> None:
    """A German sentence goes to the default where Swiss German is offered, which nothing tells in a text."""
    offered = ("es", "gsw")
    text = _given(from_text({"es": 0.0001, OTHER: 0.09}, 30, offered))
    assert not decide(offered, [text]).language
    assert not decide(offered, [text, _given(from_country("MX", offered))]).language


def test_a_language_without_a_model() -> None:
    """It is decided by all evidence except the text, and the steps say so."""
    offered = ("de", "gsw")
    text = from_text({"de": 0.2, OTHER: 0.1}, 12, offered)
    assert text
    assert "no model in memory for gsw" in text.sentence
    assert decide(offered, [text, _given(from_preference("gsw", offered))]).language == "gsw"
    assert from_text(None, 12, offered) is None


@pytest.mark.parametrize(
    ("body", "text", "payload", "tag"),
    [
        ("ESPAÑOL", "", "", "es-MX"),
        ("espanol!", "", "", "es-MX"),
        ("Spanish", "", "", "es-MX"),
        ("English", "", "", "en"),
        ("", "Español", "", "es-MX"),
        ("", "Choose", "language:es", "es-MX"),
        ("", "Choose", "en", "en"),
        ("Deutsch", "", "", ""),
        ("español por favor", "", "", ""),
        ("en", "", "", ""),
        ("", "", "", ""),
        ("👍", "", "yes", ""),
        ("x" * 5000, "", "", ""),
    ],
)
def test_preference_commands(body: str, text: str, payload: str, tag: str) -> None:
    """A language's own name, or its English one, alone; or a button that stands for it."""
    assert command(body, text, payload, ("en", "es-MX")) == tag


@pytest.mark.parametrize("word", ["no", "NO", "ja", "da", "si", "it", "is"])
def test_a_button_that_answers_a_question_names_no_language(word: str) -> None:
    """Buttons as Yes and No are also codes of languages; they do not request Norwegian or Sinhala."""
    offered = ("en", "nb", "ja", "da", "si", "it", "is")
    assert not command(word, word, word, offered)
    assert command("", "", f"language:{word.lower()}", offered)


@pytest.mark.parametrize("offered", [("es",), ("es", "fr"), ("es", "en", "de", "fr", "ja")])
@pytest.mark.parametrize("country", ["JP", "US", "DE", "FR", ""])
@pytest.mark.parametrize("said", [from_parameter, from_preference])
def test_what_is_said_outright_is_firm_wherever_the_number_is_from(
    offered: tuple[str, ...], country: str, said: Callable[[str, Sequence[str]], Evidence | None]
) -> None:
    """`?lang=es` and a chosen language decide for a number of any country, also where one language is offered."""
    evidence = [each for each in (said("es", offered), from_country(country, offered)) if each]
    decided = decide(offered, evidence)
    assert (decided.language, decided.confident) == ("es", True)


def test_an_address_that_names_one_language_has_others_customers_too() -> None:
    """Where only Spanish is named, a doubtful text of a Spanish number is not Spanish for want of another choice."""
    country = _given(from_country("ES", ("es",)))
    english = Evidence("text", "", {"es": 0.05, OTHER: 0.95}, 14)
    assert not decide(("es",), [country, english]).language
    spanish = Evidence("text", "", {"es": 0.9, OTHER: 0.1}, 14)
    assert decide(("es",), [country, spanish]).language == "es"
