"""Prepares a message's body for language detection, and detects opt-out keywords.

Links, numbers, emoji and words such as "ok" are written alike in many languages, so they are left out.
"""

import re
import unicodedata
from collections.abc import Iterable
from typing import Final

# The number of characters of a body that are read: the first words are enough, and WhatsApp's 4,096 take time.
READ: Final = 300
# The maximum number of letters in the result: `make bench PART=language` shows hardly any gain from more. From 120 on,
# lingua computes confidences in another way, and they are not comparable.
MOST_LETTERS: Final = 80
# Fewer Latin letters are no evidence: "si", "ja", "no" are words of many languages. One letter of another script is.
LEAST_LETTERS: Final = 3


def _marks() -> str:
    """Return a character class of combining marks, such as Devanagari's vowels, which Python's `w` does not match."""
    # Without East Asian ideographs, Hangul syllables, surrogates and private use characters.
    places = (*range(0x0300, 0x3400), *range(0xA000, 0xAC00), *range(0xF900, 0x10000))
    points = [n for n in places if unicodedata.category(chr(n)) in ("Mn", "Mc")]
    ranges: list[list[int]] = []
    for n in points:
        if ranges and n == ranges[-1][1] + 1:
            ranges[-1][1] = n
        else:
            ranges.append([n, n])
    return "".join(f"\\u{first:04x}-\\u{last:04x}" for first, last in ranges)


_NOT_WORDS = re.compile(
    r"\b[\w.+-]{1,64}@[\w.-]+"  # e-mail addresses
    r"|(?:https?://|\bwww\.)\S+|\b(?:[\w-]{1,63}\.){1,4}[a-z]{2,6}/\S*"  # links
    r"|[@#]\w+"  # mentions and tags
    r"|\b\w*\d\w*\b",  # numbers, codes of orders
    re.IGNORECASE,
)
# Every match of `_NOT_WORDS` contains one of these. Most bodies have none, and searching for them takes a fifth of the
# time.
_NO_LETTERS = re.compile(r"[@#/\d]|www\.", re.IGNORECASE)
_WORD = re.compile(rf"[^\W\d_]+(?:[{_marks()}'\u2019][^\W\d_]*)*")
_LATIN = re.compile(r"[A-Za-z\u00aa-\u024f]")

# Words that are used in chats of many languages.
_EVERYWHERE: Final = frozenset(
    """
    ok okay okey okk oki okidoki si no na hi hey hello bye ciao
    wow haha hahaha jaja jajaja lol hm hmm mmm ah oh aha pls plz thx test info menu start help stop
    whatsapp sms email mail pdf foto photo video audio sticker taxi hotel online chat bot pin code app web
    """.split()  # noqa: SIM905 - more readable than a list
)


def indicative_words(body: str) -> str:
    """Return the words of a body that are evidence of its language, at most `MOST_LETTERS` letters.

    Links, e-mail addresses, mentions, numbers, codes and emoji are left out. Returns "" if no word is left, or only
    words that are used in many languages ("ok", "si", "hello").
    """
    read = body[:READ]
    words = _WORD.findall(_NOT_WORDS.sub(" ", read) if _NO_LETTERS.search(read) else read)
    if len(body) > READ and len(words) > 1:
        words.pop()  # the last word may be cut
    if all(word.lower() in _EVERYWHERE for word in words):
        return ""
    if sum(map(len, words)) < LEAST_LETTERS and all(map(_LATIN.match, words)):
        return ""
    return _at_most(words, MOST_LETTERS)


def _at_most(words: Iterable[str], letters: int) -> str:
    taken: list[str] = []
    for word in words:
        letters -= len(word)
        if letters < 0:
            taken.append("" if taken else word[:letters])
            break
        taken.append(word)
    return " ".join(taken).rstrip()


_SCRIPT_NAMES: Final = {"LATIN": "Latn", "CYRILLIC": "Cyrl", "ARABIC": "Arab"}


def script_of(text: str) -> str:
    """Return the ISO 15924 code of a text's script if it is Latin, Cyrillic, Arabic or Chinese, else ""."""
    name = unicodedata.name(text[0], "") if text else ""
    if not name.startswith("CJK"):
        return next((code for start, code in _SCRIPT_NAMES.items() if name.startswith(start)), "")
    # GB 2312 has the simplified characters, Big5 the traditional ones.
    simplified, traditional = (
        sum(_encodes(each, own) and not _encodes(each, other) for each in text)
        for own, other in (("gb2312", "big5"), ("big5", "gb2312"))
    )
    return "" if simplified == traditional else "Hans" if simplified > traditional else "Hant"


def _encodes(character: str, encoding: str) -> bool:
    try:
        character.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


# English: Twilio's own keywords, https://www.twilio.com/docs/messaging/tutorials/advanced-opt-out (and "OPT-OUT",
# "REMOVE" and the French ones by https://www.twilio.com/docs/proxy/opt-out-keywords and
# https://docs.aws.amazon.com/sms-voice/latest/userguide/opt-out-list-keywords.html). Of other languages, only words
# that have no other meaning when they are alone in a message: "cancelar" may mean an appointment, so it is left out.
_OPT_OUT: Final = frozenset(
    """
    stop stopall unsubscribe cancel end quit revoke optout opt-out remove
    arret arrêt arrete arrête arrett arreter arrêter désabonner desabonner
    alto baja parar darse-de-baja detener
    stopp abmelden abbestellen
    sair descadastrar
    disiscrivi disiscriviti annulla-iscrizione
    afmelden uitschrijven avregistrera avmeld afmeld
    wypisz rezygnuję odhlásit odhlasit
    iptal-et
    стоп отписаться отписка відписатися
    توقف إلغاء-الاشتراك הסר הסרה
    退订 退訂 取消訂閱 取消订阅 配信停止 수신거부
    """.split()  # noqa: SIM905 - more readable than a list
)
_LONGEST_OPT_OUT: Final = max(map(len, _OPT_OUT)) + 8  # with punctuation


def is_opt_out(body: str) -> bool:
    """Return whether a body consists of an opt-out keyword only."""
    if len(body) > 4 * _LONGEST_OPT_OUT:
        return False
    # NFKC, because some keyboards write accents as separate characters, and ＳＴＯＰ is STOP.  # noqa: RUF003
    words = re.sub(r"[^\w\s-]|_", " ", unicodedata.normalize("NFKC", body).casefold()).split()
    return "-".join(words) in _OPT_OUT
