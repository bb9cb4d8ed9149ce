"""Decides the language of a message from evidence of several kinds, combined as probabilities.

Each piece of evidence has a likelihood for each language that an address offers, and for all others together. The
likelihoods are multiplied (Bayes), so several weak pieces of evidence make a strong one, and their order does not
matter.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from router.language import tag as language_tag
from router.language.country import languages_of
from router.language.tag import best, says_region

OTHER: Final = "other"
"""Stands for every language that the address does not offer."""

# The minimum prior probability that a customer writes in a language that the address does not offer.
_OTHER_LEAST: Final = 0.05
# Below this probability the default flow takes the message, because a wrong flow is worse than the default. With it, 96
# of 100 decisions about single words are right, 98 with the number's country, 99 for word pairs
# (`make bench PART=language`).
FLOOR: Final = 0.8
# From this probability on, the conversation keeps the language: 99 of 100 single words with a country are right.
CONFIDENT: Final = 0.95
# From this probability of the text alone, with at least this many letters, a conversation's language may change: 997 of
# 1,000 word pairs are right.
CLEAR: Final = 0.99
CLEAR_LETTERS: Final = 12
# How often the language in the webhook's URL, or the one that the contact chose, is wrong.
_SAID_WRONG: Final = {"parameter": 0.02, "preference": 0.0005}
# If there is evidence of these kinds, the country of the number is ignored.
_BEYOND_COUNTRY: Final = frozenset(("parameter", "preference", "history"))
# How often the number's country gives no hint of the customer's language: `make bench PART=language` has 15 %.
_ELSEWHERE: Final = 0.15
# How often a customer changes to another language.
_SWITCH: Final = 0.02
# How often a text in a language without a model is in one particular such language.
_UNKNOWN: Final = 0.05
# The weight of a tag that names another region: `pt-BR` for a customer in Portugal.
_OTHER_REGION: Final = 0.1


@dataclass(frozen=True, slots=True)
class Evidence:
    """One piece of evidence for a language.

    Args:
        source: `parameter`, `preference`, `contact`, `history`, `text` or `country`.
        sentence: its description for people.
        likelihood: how well it fits each offered tag, and OTHER; only the ratios matter.
        letters: for a text, how many letters the detector used.

    """

    source: str
    sentence: str
    likelihood: Mapping[str, float]
    letters: int = 0


@dataclass(frozen=True, slots=True)
class Decision:
    """The result of weighing the evidence.

    Args:
        language: an offered tag; "" if none is probable enough, or the message is in another language.
        probability: of the language, or of the most probable one if none is decided.
        shares: all tags and OTHER with their probabilities, most probable first.
        confident: whether it is certain enough that a conversation keeps it.
        clear: whether the text alone decides it, and is long enough: then it may change a conversation's language.
        steps: the evidence and its weight, in sentences.
        others: evidence that would have changed it, in a sentence.

    """

    language: str
    probability: float
    shares: tuple[tuple[str, float], ...]
    confident: bool
    clear: bool
    steps: tuple[str, ...]
    others: str


def decide(offered: Sequence[str], evidence: Sequence[Evidence]) -> Decision:
    """Weigh the evidence for the languages that an address offers (BCP 47 tags).

    The country of the number is ignored if there is a parameter or a preference, and also if there is a history, which
    the country has already influenced.
    """
    if any(each.source in _BEYOND_COUNTRY for each in evidence):
        evidence = [each for each in evidence if each.source != "country"]
    posterior = _posterior(offered, evidence)
    shares = tuple(sorted(posterior.items(), key=lambda share: -share[1]))
    first, probability = shares[0]
    language = _decided(shares)
    text = [each for each in evidence if each.source == "text"]
    clear = (
        bool(language and text)
        and text[0].letters >= CLEAR_LETTERS
        and _posterior(offered, text).get(language, 0) >= CLEAR
    )
    steps = [each.sentence for each in evidence] or ["There is no evidence of the language"]
    if len(evidence) > 1:
        steps.append(f"Together: {_listed(posterior)}")
    if not language:
        if first == OTHER:
            reason = f"the message is in none of {', '.join(offered)}, most probably ({_percent(probability)})"
        else:
            reason = f"{first} has a probability of {_percent(probability)}, and at least {_percent(FLOOR)} is needed"
        steps.append(f"No language is decided: {reason}")
    return Decision(
        language,
        probability,
        shares,
        confident=bool(language) and probability >= CONFIDENT,
        clear=clear,
        steps=tuple(steps),
        others=_others(offered, evidence, language),
    )


def _posterior(offered: Sequence[str], evidence: Sequence[Evidence]) -> dict[str, float]:
    logs = {tag: math.log(share) for tag, share in _prior(offered).items()}
    for each in evidence:
        for tag in logs:
            logs[tag] += math.log(max(each.likelihood.get(tag, 0.0), 1e-9))
    most = max(logs.values())
    weights = {tag: math.exp(log - most) for tag, log in logs.items()}
    total = sum(weights.values())
    return {tag: weight / total for tag, weight in weights.items()}


def _prior(offered: Sequence[str]) -> dict[str, float]:
    """Return the probabilities before any evidence: equal for each offered language and for all others together.

    An address that names only Spanish also has customers with other languages: those of its default flow.
    """
    other = max(_OTHER_LEAST, 1 / (len(offered) + 1))
    return dict.fromkeys(offered, (1 - other) / len(offered)) | {OTHER: other}


def _decided(shares: Sequence[tuple[str, float]]) -> str:
    first, probability = shares[0]
    return first if first != OTHER and probability >= FLOOR else ""


def _others(offered: Sequence[str], evidence: Sequence[Evidence], language: str) -> str:
    """Describe the pieces of evidence without which the decision would be different."""
    changes = []
    for left_out in evidence:
        rest = _posterior(offered, [each for each in evidence if each is not left_out])
        without = _decided(sorted(rest.items(), key=lambda share: -share[1]))
        if without != language:
            changes.append(f"without the {left_out.source} it would be {without or 'undecided'}")
    if changes:
        return "; ".join(changes)
    if not evidence:
        return "any evidence: a longer text, the number's country, the language in the webhook's URL, a preference"
    another = "another language" if language else "one language"
    return f"clearer evidence for {another}. Without any one of these signs the decision would be the same"


def from_text(likelihood: Mapping[str, float] | None, letters: int, offered: Sequence[str]) -> Evidence | None:
    """Make evidence from the detector's result for a text of this many letters; None if there is no result.

    An offered tag without a model is less likely than OTHER: such a text goes to the default flow, unless there is
    other evidence for that tag.
    """
    if not likelihood:
        return None
    unknown = [tag for tag in offered if tag not in likelihood]
    fits = dict.fromkeys(unknown, _UNKNOWN * likelihood[OTHER]) | dict(likelihood)
    sentence = f"The text ({letters} letters) fits {_listed(likelihood)}"
    if unknown:
        sentence += f"; there is no model in memory for {', '.join(unknown)}"
    return Evidence("text", sentence, fits, letters)


def from_country(country: str, offered: Sequence[str]) -> Evidence | None:
    """Make evidence from the languages of the number's country; None for a country without data."""
    spoken = languages_of(country)
    if not spoken:
        return None
    fits = dict.fromkeys((*offered, OTHER), 0.0)
    for name, share in spoken.items():
        fitting = _fitting(name, country, offered)
        for tag, part in fitting.items() or {OTHER: 1.0}.items():
            fits[tag] += share * part
    # OTHER's share is the sum of all its languages; the prior already takes their number into account.
    even = _ELSEWHERE / len(fits)
    likelihood = {tag: (1 - _ELSEWHERE) * share + even for tag, share in fits.items()}
    return Evidence("country", f"The country of the number ({country}) fits {_listed(likelihood)}", likelihood)


def _fitting(name: str, country: str, offered: Sequence[str]) -> dict[str, float]:
    """Return the offered tags that fit a country's language, and how well each fits."""
    spoken = language_tag.read(name)
    if spoken is None:
        return {}
    fits = {}
    for tag in offered:
        parts = language_tag.read(tag)
        if parts is None or parts.language != spoken.language:
            continue
        here = parts.region == country or not says_region(parts)
        fits[tag] = (1.0 if here else _OTHER_REGION) * (1.0 if parts.script == spoken.script else _OTHER_REGION)
    return fits


def from_parameter(value: str, offered: Sequence[str]) -> Evidence | None:
    """Make evidence from the language in the webhook's URL; None if the URL has no language."""
    return _evidence("parameter", f"The webhook's URL says lang={value}", value, offered)


def from_preference(tag: str, offered: Sequence[str]) -> Evidence | None:
    """Make evidence of the language that the contact has chosen; return None if it has chosen no language."""
    return _evidence("preference", f"The contact prefers {tag}", tag, offered)


def _evidence(source: str, sentence: str, value: str, offered: Sequence[str]) -> Evidence | None:
    if not value or language_tag.read(value) is None:
        return None
    meant = best(value, tuple(offered)) or OTHER
    wrong = _SAID_WRONG[source]
    likelihood = dict.fromkeys((*offered, OTHER), wrong / len(offered))
    # A language that is not offered has a small prior; an explicit choice outweighs it.
    likelihood[meant] = 1 - wrong if meant != OTHER else (1 - wrong) / _prior(offered)[OTHER]
    return Evidence(source, f"{sentence}: {'not offered here' if meant == OTHER else meant}", likelihood)


def from_history(shares: Mapping[str, float], offered: Sequence[str]) -> Evidence | None:
    """Make evidence from the shares after this contact's earlier messages; None without earlier messages.

    The customer may have changed to another language, so no earlier evidence is certain.
    """
    if not shares:
        return None
    tags = (*offered, OTHER)
    prior = _prior(offered)
    unknown = shares.get(OTHER, 0.0) / len(tags)
    before = {tag: shares.get(tag, unknown) for tag in tags}
    total = sum(before.values()) or 1.0
    # Divided by the prior, the shares are the likelihood of the earlier evidence.
    likelihood = {tag: (1 - _SWITCH) * before[tag] / total / prior[tag] + _SWITCH for tag in tags}
    return Evidence("history", f"Earlier messages fit {_listed(before)}", likelihood)


def command(body: str, button_text: str, button_payload: str, offered: Sequence[str]) -> str:
    """Return the offered tag that a preference command names, "" if the message is not a command.

    A command is a message that consists of a language's name, in that language or in English (`ESPAÑOL`, `German`); or
    a button whose text or payload is such a name, or whose payload is a tag that is not a usual word, or `language:`
    and a tag.
    """
    tags = tuple(offered)
    payload = button_payload.strip()
    wanted = payload.removeprefix("language:")
    if (wanted != payload or wanted.casefold() not in _NO_TAGS) and (found := best(wanted, tags)):
        return found
    for text in (payload, button_text, body):
        if 0 < len(text) <= _LONGEST_NAME and (name := language_tag.folded(text)):
            named = [tag for tag in tags if name in language_tag.names(tag)]
            if named:
                return named[0]
    return ""


_LONGEST_NAME: Final = 40
# Tags that are also usual texts of buttons, so they are not commands: "no" (Norwegian), "ja" (Japanese), "da", "si".
_NO_TAGS: Final = frozenset(("no", "ja", "da", "si", "ne", "nej", "is", "it", "id", "hi", "so", "to", "my", "or", "am"))


def _listed(shares: Mapping[str, float]) -> str:
    """Format the best two of some shares: `es 97 %, pt 2 %`."""
    total = sum(shares.values()) or 1.0
    first = sorted(shares.items(), key=lambda share: -share[1])[:2]
    return ", ".join(f"{_name(tag)} {_percent(share / total)}" for tag, share in first)


def _percent(share: float) -> str:
    """Format a probability; never as 0 % or 100 %, because no language is certain or excluded."""
    return "over 99 %" if share > 0.99 else "under 1 %" if share < 0.01 else f"{100 * share:.0f} %"  # noqa: PLR2004


def _name(tag: str) -> str:
    return "another language" if tag == OTHER else tag
