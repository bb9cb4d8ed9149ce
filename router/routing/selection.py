"""Selects the flow of one address that takes a message, by the flows' conditions (Match) and languages."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Final

from router.errors import ExpressionError
from router.flow.flex_flow import FlexFlow
from router.language.country import country_of
from router.language.evidence import (
    Decision,
    Evidence,
    command,
    decide,
    from_country,
    from_history,
    from_parameter,
    from_preference,
    from_text,
)
from router.language.tag import best, names
from router.language.text import indicative_words, is_opt_out
from router.match import Expression, compile_expression
from router.match.values import bucket, variables
from router.message.inbound import Message
from router.routing.contact import NOTHING_KNOWN, Candidate, Choice, Known, Strength, identities_of
from router.value import value

# The steps are stored with every message. They name at most this many flows for each reason, then only count them.
_NAMED: Final = 6

# The maximum number of languages compared for one address, which takes about 2 ms. 500 flows may name 16,000.
_OFFERED: Final = 256

Likelihood = Callable[[str, Sequence[str]], Mapping[str, float] | None]


def _silent(text: str, offered: Sequence[str]) -> None:  # noqa: ARG001 - a detector without models
    return None


def _no_pause() -> None:
    """Do nothing: there is no other work."""


@value
class Circumstance:
    """The inputs of a route besides the message and the flows.

    Args:
        at: the time of the message, in seconds since 1970.
        known: what is known about the contact's languages.
        lang: the language in the webhook's URL, "" for none.
        likelihood: returns how well a text fits languages, as `router.language.detector.Detector.likelihood`.
        pause: called between flows, so that the process can do other work: a Match takes up to 5 ms, and an address
            may have 500 flows.

    """

    at: float
    known: Known = NOTHING_KNOWN
    lang: str = ""
    likelihood: Likelihood = _silent
    pause: Callable[[], None] = _no_pause


CIRCUMSTANCE: Final = Circumstance(0.0)


class Selection:
    """Selects the flow for one message, address after address, and collects the steps of the explanation."""

    def __init__(self, message: Message, circumstance: Circumstance) -> None:
        self._message = message
        self._circumstance = circumstance
        self._opt_out = message.opt_out_type or ("STOP" if is_opt_out(message.body) else "")
        self._words = "" if self._opt_out else indicative_words(message.body)
        self._flows: Sequence[FlexFlow] = ()
        self._decision: Decision | None = None
        self._command = ""
        self._met: Expression | None = None  # the Match of the flow checked last, if it is met
        self._read = False  # whether the text gives evidence of its language
        self._steps: list[str] = []
        self.failed: list[tuple[str, str]] = []

    # -- choosing ---------------------------------------------------------------------------------------------------

    def choose(self, flows: Sequence[FlexFlow]) -> FlexFlow | None:
        """Return the first of the enabled flows of an address, in their order, that takes the message."""
        self._flows, self._decision, self._command = flows, None, self._commanded(flows)
        if self._opt_out:
            self._steps.append(
                f"The message is an opt-out keyword ({self._opt_out}): the conversation keeps its flow and language"
            )
        refused: dict[str, list[str]] = {}
        chosen = None
        for flow in flows:
            self._circumstance.pause()
            why_not = self._why_not(flow)
            if why_not is None:
                chosen = flow
                break
            refused.setdefault(why_not, []).append(flow.sid)
        self._steps += not_taken(refused)
        return chosen

    def _why_not(self, flow: FlexFlow) -> str | None:
        """Return why a flow does not take the message; None if it does."""
        self._met = None
        if flow.match:
            result = self._evaluate(flow)
            if isinstance(result, str):
                return result
            self._met = result
        if flow.language and self.decision.language not in flow.language:
            return "its Language is another one" if self.decision.language else "no language is decided"
        return None

    def _evaluate(self, flow: FlexFlow) -> Expression | str:
        """Return the Match of a flow if it is met; else why the flow does not take the message."""
        try:
            expression = compile_expression(flow.match)
            if self._opt_out and "opt_out_type" not in expression.names:
                return "its Match does not test opt_out_type"
            names = expression.names
            values = dict(
                variables(
                    self._message,
                    names=names,
                    language=self.decision.language if "language" in names else "",
                    country=self._country if "country" in names else "",
                    now=datetime.fromtimestamp(self._circumstance.at, UTC),
                )
            )
            values["opt_out_type"] = self._opt_out
            met = expression.matches(values, bucket(self._message))
        except (ExpressionError, ValueError) as error:
            self.failed.append((flow.sid, str(error)))
            if len(self.failed) <= _NAMED:
                self._steps.append(f"The Match of {flow.sid} could not be evaluated: {error}")
            return "its Match could not be evaluated"
        return expression if met else "its Match is false"

    # -- language ---------------------------------------------------------------------------------------------------

    @property
    def decision(self) -> Decision:
        """The language of the message among those of the address; decided on first use."""
        if self._decision is None:
            offered = _offered(self._flows)
            evidence = list(self._evidence(offered)) if offered else []
            self._decision = decide(offered, evidence) if offered else _UNDECIDED
            self._steps += self._decision.steps
            if self._decision.others:
                self._steps.append(f"What would change it: {self._decision.others}")
        return self._decision

    def _commanded(self, flows: Sequence[FlexFlow]) -> str:
        """Return the language that the message requests, "" for none; it applies whichever flow takes the message."""
        if self._opt_out or not any(flow.language_commands for flow in flows):
            return ""
        message, offered = self._message, _offered(flows)
        for tag in offered:  # loading a language's names takes up to 16 ms, so pause in between
            names(tag)
            self._circumstance.pause()
        return command(message.body, message.button_text, message.button_payload, offered)

    def _evidence(self, offered: Sequence[str]) -> Sequence[Evidence]:
        known = self._circumstance.known
        preferred = self._command or known.preference or known.language
        if best(preferred, offered):
            # No other evidence: the text and earlier texts together would outweigh the contact's choice.
            evidence: tuple[Evidence | None, ...] = (from_preference(preferred, offered),)
        else:
            evidence = (
                from_parameter(self._circumstance.lang, offered),
                from_preference(preferred, offered),
                from_history(known.learned, offered),
                self._text(offered) if self._words else None,
                from_country(self._country, offered),
            )
        return [each for each in evidence if each is not None]

    def _text(self, offered: Sequence[str]) -> Evidence | None:
        evidence = from_text(self._circumstance.likelihood(self._words, offered), letters(self._words), offered)
        self._read = evidence is not None
        if evidence is None:
            self._steps.append(f"The text is not evaluated: no language model for {', '.join(offered)} is loaded")
        return evidence

    @property
    def _country(self) -> str:
        return country_of(self._message.from_, self._message.params.get("FromCountry", ""))

    # -- the result ---------------------------------------------------------------------------------------------------

    @property
    def language(self) -> str:
        """The detected language, "" if it is uncertain, or detection was not needed."""
        return self._decision.language if self._decision else ""

    def take_steps(self) -> list[str]:
        """Return the steps since the last call."""
        steps, self._steps = self._steps, []
        return steps

    def choice(self, chosen: FlexFlow | None, candidates: tuple[Candidate, ...]) -> Choice:
        """Return the choice that `accept` compares with the conversation's flow."""
        decision = self._decision or _UNDECIDED
        conditional = chosen is not None and not chosen.is_default
        strength = self._strength(decision, chosen) if chosen and conditional else Strength.SILENT
        by_itself = self._decision is None or bool(self._command) or self._met is None
        return Choice(
            identities=identities_of(self._message),
            ours=self._message.contact_identity,
            language=decision.language if conditional else "",
            strength=strength,
            confident=conditional and (self._met is not None or decision.confident),
            candidates=candidates,
            known=self._circumstance.known.version,
            settled=strength is Strength.OUTRIGHT and by_itself,
            learned=_rounded(decision.shares) if self._read else {},
            preference=self._command,
            transient=bool(self._opt_out) or (conditional and _uses_time(self._met)),
        )

    def _strength(self, decision: Decision, chosen: FlexFlow) -> Strength:
        """Return how strongly the message requires the chosen flow, which has conditions.

        A Match about the content of the message or about the time is always followed. A Match about the customer
        applies to new conversations only, so that a canary does not take over existing ones; combined with a Language
        it is as strong as the Language alone. A text without evidence of a language moves no conversation.
        """
        if self._met and (self._met.content or _uses_time(self._met)):
            return Strength.OUTRIGHT
        if not chosen.language:
            return Strength.SILENT
        if self._command:
            return Strength.OUTRIGHT
        if decision.clear and any(flow.language_change for flow in self._flows):
            return Strength.CLEAR
        return Strength.DECIDED if self._words else Strength.SILENT


def _uses_time(expression: Expression | None) -> bool:
    return expression is not None and "now" in expression.names


def _offered(flows: Sequence[FlexFlow]) -> tuple[str, ...]:
    return tuple(islice(dict.fromkeys(tag for flow in flows for tag in flow.language), _OFFERED))


def _rounded(shares: Iterable[tuple[str, float]]) -> dict[str, float]:
    """Round shares to three digits: with 17 digits they would be the largest part of a contact's record."""
    return {tag: float(f"{share:.3g}") for tag, share in shares}


def not_taken(refused: Mapping[str, Sequence[str]]) -> list[str]:
    """Return sentences that name the flows that did not take a message, by reason."""
    steps = []
    for why, sids in refused.items():
        which = ", ".join(sids) if len(sids) <= _NAMED else f"{len(sids)} flows"
        steps.append(f"{which} not taken: {why if len(sids) == 1 else why.replace('its Match', 'their Match')}")
    return steps


# The decision if no flow of the address has a language.
_UNDECIDED: Final = Decision("", 0.0, (), confident=False, clear=False, steps=(), others="")


def letters(words: str) -> int:
    """Count the letters of some words."""
    return len(words) - words.count(" ")
