"""Deciding a message's language from evidence: the decision, its confidence and its explanation."""

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


def test_without_evidence_no_language_is_decided() -> None:
    """Without evidence no language is decided, and the steps say that there is no evidence."""
    decision = decide(OFFERED, [])
    assert not decision.language
    assert not decision.confident
    assert "no evidence" in decision.steps[0]
    assert "any evidence: " in decision.others


def test_a_clear_text_wins_over_the_country() -> None:
    """A Spanish sentence from a German number is decided as Spanish, confidently and clearly."""
    decision = decide(OFFERED, [_text(es=0.98), _given(from_country("DE", OFFERED))])
    assert decision.language == "es"
    assert decision.confident
    assert decision.clear
    assert "without the text" in decision.others


def test_a_short_text_is_never_clear() -> None:
    """A text shorter than CLEAR_LETTERS is never clear, however likely its language is."""
    assert not decide(OFFERED, [_text(letters=CLEAR_LETTERS - 1, es=0.98)]).clear


def test_the_country_helps_a_doubtful_text() -> None:
    """The country decides a text that alone is undecided between two languages."""
    text = _text(letters=5, en=0.3, es=0.5)
    assert not decide(OFFERED, [text]).language
    decision = decide(OFFERED, [text, _given(from_country("MX", OFFERED))])
    assert decision.language == "es"
    assert "without the country it would be undecided" in decision.others


def test_another_language_goes_to_the_default() -> None:
    """For a text in a language that is not offered none is decided, and the steps say so."""
    decision = decide(OFFERED, [_text(other=0.1)])
    assert not decision.language
    assert not decision.confident
    assert "is in none of" in decision.steps[-1]


def test_below_the_floor_nothing_is_decided() -> None:
    """A language is decided only if its probability reaches FLOOR."""
    for share in (0.5, 0.7, 0.79, 0.9, 0.99):
        decision = decide(OFFERED, [Evidence("text", "", {"en": 1 - share, "es": share, OTHER: 0.0})])
        assert bool(decision.language) == (decision.probability >= FLOOR)


def test_a_preference_wins_over_the_text_and_a_parameter_over_the_country() -> None:
    """A contact's preference wins over the text, and a language parameter wins over the country."""
    assert decide(OFFERED, [_text(en=0.9), _given(from_preference("es", OFFERED))]).language == "es"
    word = _given(from_parameter("es-MX", OFFERED))
    assert decide(OFFERED, [word, _given(from_country("US", OFFERED))]).language == "es"


def test_a_language_parameter_that_is_not_offered_decides_nothing() -> None:
    """A language parameter that is not offered decides nothing, and its sentence says that it is not offered."""
    word = _given(from_parameter("de", OFFERED))
    assert not decide(OFFERED, [word]).language
    assert "not offered here" in word.sentence


@pytest.mark.parametrize("value", ["", "xx-??", "Spanish please", "\x00", "e" * 500])
def test_an_invalid_language_parameter_is_no_evidence(value: str) -> None:
    """A language parameter that is no language tag is no evidence."""
    assert from_parameter(value, OFFERED) is None


def test_two_doubtful_messages_make_a_decision() -> None:
    """The history and a second doubtful message decide a language, and the country is counted only once."""
    country = _given(from_country("MX", OFFERED))
    text = _text(letters=5, en=0.3, es=0.4)
    first = decide(OFFERED, [text])
    assert not first.language
    second = decide(
        OFFERED, [_given(from_history(dict(decide(OFFERED, [text, country]).shares), OFFERED)), text, country]
    )
    assert second.language == "es"
    assert not [step for step in second.steps if "number of MX" in step]


def test_a_clear_text_wins_over_the_history() -> None:
    """A clear sentence in another language wins over the history."""
    shares = dict(decide(OFFERED, [_text(es=0.98), _text(es=0.98)]).shares)
    assert decide(OFFERED, [_given(from_history(shares, OFFERED)), _text(en=0.98)]).language == "en"


def test_no_history_is_no_evidence() -> None:
    """An empty history is no evidence, and a history in languages that are not offered decides nothing."""
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
def test_the_country_decides_between_regional_tags(country: str, offered: tuple[str, ...], language: str) -> None:
    """Between regional tags of one language the country decides."""
    alike = Evidence("text", "", dict.fromkeys(offered, 0.9) | {OTHER: 0.001}, 30)
    assert decide(offered, [alike, _given(from_country(country, offered))]).shares[0][0] == language


def test_an_unknown_country_has_no_languages() -> None:
    """No country, or an unknown one, is no evidence."""
    assert from_country("", OFFERED) is None
    assert from_country("XX", OFFERED) is None


def test_a_text_that_fits_other_is_not_decided_for_a_language_without_a_model() -> None:
    """A text that fits OTHER is not decided for an offered language that has no model, as Swiss German."""
    offered = ("es", "gsw")
    text = _given(from_text({"es": 0.0001, OTHER: 0.09}, 30, offered))
    assert not decide(offered, [text]).language
    assert not decide(offered, [text, _given(from_country("MX", offered))]).language


def test_a_language_without_a_model_is_decided_by_other_evidence() -> None:
    """A language without a model is decided by all evidence except the text, whose sentence says so."""
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
def test_a_languages_name_or_button_is_a_command(body: str, text: str, payload: str, tag: str) -> None:
    """A text that is only a language's name (own or English), or such a button, requests that language."""
    assert command(body, text, payload, ("en", "es-MX")) == tag


@pytest.mark.parametrize("word", ["no", "NO", "ja", "da", "si", "it", "is"])
def test_a_yes_or_no_button_requests_no_language(word: str) -> None:
    """Words such as "no" and "si" request no language, though they are language codes; a payload `language:no` does."""
    offered = ("en", "nb", "ja", "da", "si", "it", "is")
    assert not command(word, word, word, offered)
    assert command("", "", f"language:{word.lower()}", offered)


@pytest.mark.parametrize("offered", [("es",), ("es", "fr"), ("es", "en", "de", "fr", "ja")])
@pytest.mark.parametrize("country", ["JP", "US", "DE", "FR", ""])
@pytest.mark.parametrize("said", [from_parameter, from_preference])
def test_a_parameter_or_preference_is_confident_for_any_country(
    offered: tuple[str, ...], country: str, said: Callable[[str, Sequence[str]], Evidence | None]
) -> None:
    """A language parameter or preference decides confidently for a number of any country."""
    evidence = [each for each in (said("es", offered), from_country(country, offered)) if each]
    decided = decide(offered, evidence)
    assert (decided.language, decided.confident) == ("es", True)


def test_with_one_offered_language_an_english_text_is_not_decided() -> None:
    """If only Spanish is offered, an English text from a Spanish number is not decided as Spanish."""
    country = _given(from_country("ES", ("es",)))
    english = Evidence("text", "", {"es": 0.05, OTHER: 0.95}, 14)
    assert not decide(("es",), [country, english]).language
    spanish = Evidence("text", "", {"es": 0.9, OTHER: 0.1}, 14)
    assert decide(("es",), [country, spanish]).language == "es"
