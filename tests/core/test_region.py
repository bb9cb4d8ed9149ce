"""The country of an address, the languages of a country, and language tags."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.language import tag as language_tag
from router.language.country import country_of, languages_of


@pytest.mark.parametrize(
    ("address", "country"),
    [
        ("+4915112345678", "DE"),
        ("whatsapp:+5215512345678", "MX"),
        ("rcs:+33612345678", "FR"),
        ("+14155550123", "US"),
        ("+14165550123", "CA"),
        ("+17875550123", "PR"),
        ("+15005550006", "US"),  # not a valid number, but a North American one
        ("+77011234567", "KZ"),
        ("+79161234567", "RU"),
        ("+44 7400 123456", "GB"),
        ("whatsapp:US.13491208655302741918", "US"),  # a WhatsApp user with a hidden number
        ("whatsapp:US.ENT.13491208655302741918", "US"),
        ("+80012345678", ""),  # an international freephone number
        ("+999123", ""),
        ("12345", ""),  # a short code
        ("messenger:1234567890", ""),
        ("line:U4af4980629", ""),
        ("", ""),
    ],
)
def test_the_country_of_an_address(address: str, country: str) -> None:
    """A telephone number has a country on any channel; other identities have none."""
    assert country_of(address) == country


def test_from_country_wins_over_the_number() -> None:
    """FromCountry wins over the number's country if it is a country code."""
    assert country_of("+14155550123", "ca") == "CA"
    assert country_of("+14155550123", "") == "US"
    assert country_of("+14155550123", "not one") == "US"


@given(st.text(max_size=40))
def test_every_address_is_read(address: str) -> None:
    """Any text as an address has a country or none, and raises no exception."""
    assert len(country_of(address)) in (0, 2)
    assert len(country_of("+" + address)) in (0, 2)


def test_the_languages_of_a_country() -> None:
    """A country's languages are ranked as people there use them, and their shares add up to one."""
    swiss = languages_of("CH")
    assert max(swiss, key=lambda tag: swiss[tag]) == "de"
    assert swiss["fr"] > swiss["en"]
    assert sum(swiss.values()) == pytest.approx(1)
    assert max(languages_of("TW").items(), key=lambda each: each[1])[0] == "zh-Hant"
    assert not languages_of("XX")


@pytest.mark.parametrize(
    ("wanted", "offered", "found"),
    [
        ("es-MX", ("en", "es"), "es"),
        ("pt-PT", ("en", "pt-BR"), "pt-BR"),
        ("pt-PT", ("pt-BR", "pt-PT"), "pt-PT"),
        ("zh-TW", ("zh-Hans", "zh-Hant"), "zh-Hant"),
        ("zh_CN", ("zh-Hant", "zh-Hans"), "zh-Hans"),
        ("en-GB", ("en-US", "en-GB"), "en-GB"),
        ("no", ("nb",), "nb"),
        ("fil", ("tl",), "tl"),
        ("fr", ("en", "es"), ""),
        ("xx-??", ("en",), ""),
        ("", ("en",), ""),
        ("e" * 1000, ("en",), ""),
    ],
)
def test_the_best_offered_tag(wanted: str, offered: tuple[str, ...], found: str) -> None:
    """The best offered tag is the same one, else one of the same script and region, else of the same language."""
    assert language_tag.best(wanted, offered) == found


def test_a_language_is_named_in_itself_and_in_english() -> None:
    """A language has its own name and its English one, with its region, in any case and without accents."""
    assert language_tag.folded("ESPAÑOL!") in language_tag.names("es-MX")
    assert language_tag.folded("spanish") in language_tag.names("es")
    assert language_tag.folded("Português (Brasil)") in language_tag.names("pt-BR")
    assert language_tag.folded("中文") in language_tag.names("zh-Hant")
    assert not language_tag.names("xx")


@pytest.mark.parametrize(
    ("written", "offered", "found"),
    [
        ("Norsk", ("en", "nb"), "nb"),
        ("Norwegian", ("nn",), "nn"),
        ("繁體中文", ("zh-Hans", "zh-Hant"), "zh-Hant"),
        ("Simplified Chinese", ("zh-Hant", "zh-Hans"), "zh-Hans"),
        ("srpski", ("en", "sr"), "sr"),
        ("српски", ("en", "sr-Latn"), "sr-Latn"),
        ("Brazilian Portuguese", ("pt-PT", "pt-BR"), "pt-BR"),
        ("português", ("pt-PT", "pt-BR"), "pt-PT"),
    ],
)
def test_a_language_is_found_by_script_region_or_wider_name(written: str, offered: tuple[str, ...], found: str) -> None:
    """A language is also found by a wider name, its script's or region's name, or its name in another script."""
    assert next(tag for tag in offered if language_tag.folded(written) in language_tag.names(tag)) == found
