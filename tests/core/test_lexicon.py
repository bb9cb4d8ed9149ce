"""The Lexicon holds the word lists of many languages in one table, with each word's frequency."""

import math

import pytest

from router.language.lexicon import LEVEL, Lexicon, load, loaded

LISTS = {"en": 0, "es": 500, "tl": 0, "uk": 500}


@pytest.fixture(scope="module")
def lexicon() -> Lexicon:
    """A Lexicon of two whole lists and the beginnings of two others."""
    return Lexicon(LISTS)


@pytest.mark.parametrize(("code", "name"), [("en", "en"), ("tl", "fil")])
def test_a_word_is_as_frequent_as_in_its_list(lexicon: Lexicon, code: str, name: str) -> None:
    """Each word of a whole list has the frequency that its list gives it, although other lists have it too."""
    place = list(LISTS).index(code)
    import wordfreq  # here, because each pytest worker imports this module, and its import takes 0.2 s

    words = wordfreq.top_n_list(name, 100_000, wordlist="small")
    assert len(words) > 20_000
    for word in words:
        found = lexicon.levels([word])[place]
        frequency = wordfreq.get_frequency_dict(name, wordlist="small")[word]
        assert found * LEVEL == pytest.approx(math.log(frequency * 10**6.5), abs=LEVEL)


def test_only_the_most_frequent_words_of_a_list_are_read(lexicon: Lexicon) -> None:
    """With a limit of 500, about the 500 most frequent words of a list are read."""
    import wordfreq

    words = wordfreq.top_n_list("es", 2000, wordlist="small")
    known = [word for word in words if lexicon.levels([word])[1]]
    assert known[:500] == words[:500]
    assert len(known) < 600


def test_frequencies_of_words_are_added(lexicon: Lexicon) -> None:
    """The levels of a text's words are added for each language; an unknown word adds 0, and 256 words count at most."""
    one, two, none = (lexicon.levels([word]) for word in ("hola", "the", "qwertzuiop"))
    assert none == (0, 0, 0, 0)
    assert lexicon.levels(["hola", "qwertzuiop", "the"]) == tuple(map(sum, zip(one, two, strict=True)))
    assert lexicon.levels(["the"] * 256) == tuple(256 * level for level in two)
    assert lexicon.levels(["the"] * 1000) == lexicon.levels(["the"] * 256)


def test_words_with_the_same_bytes_are_distinguished() -> None:
    """A heart and "d'" have the same bytes in memory, and only the heart is found in French."""
    french = Lexicon({"fr": 0})
    assert french.levels(["❤"]) != (0,)
    assert french.levels(["d'"]) == (0,)


def test_loading_a_list_keeps_a_longer_one() -> None:
    """A whole list replaces its beginning but not the reverse; a language without a list is left out."""
    load({"bn": 100, "sn": 0})
    assert loaded().lists["bn"] == 100
    assert "sn" not in loaded().lists
    load({"bn": 0})
    before = loaded()
    assert before.lists["bn"] == 0
    load({"bn": 100, "sn": 0})
    assert loaded() is before
