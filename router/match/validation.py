"""Evaluates a condition on sample messages before it is saved, so that run-time errors are reported to its author."""

from collections.abc import Iterator
from typing import Any, Final

from router.errors import ExpressionError
from router.match.compiled import Expression, build, compile_expression, type_of
from router.match.token import Fault, parts, tokenize, where
from router.match.variable import VARIABLES

# The variables of each sample, and the contact's percentile.
_SAMPLES: Final = tuple(
    ({name: variable.samples[place] for name, variable in VARIABLES.items()}, bucket)
    for place, bucket in enumerate((99.99, 0.0))
)
_SAMPLE_NAMES: Final = ("a text message", "a button pressed on WhatsApp")


def try_expression(text: str) -> Expression:
    """Compile a condition before it is saved, and evaluate it, and each of its parts alone, for the samples.

    So a part with wrong types is found even if `&&` or `||` would skip it.

    Raises ValueError with the place and the reason of an error.
    """
    expression = compile_expression(text)
    try:
        unsure = list(_unsure(text))
        for (variables, bucket), sample in zip(_SAMPLES, _SAMPLE_NAMES, strict=True):
            try:
                expression.matches(variables, bucket)
            except ExpressionError as error:
                at = unsure[0].at if unsure and error.by_value else 0
                advice = (
                    '; test the value first, as body.matches("^[0-9]+$") && int(body) > 3' if error.by_value else ""
                )
                raise Fault(f"fails for {sample}: {error}{advice}", at) from None
    except Fault as fault:
        raise ValueError(f"{where(text, fault.at)}: {fault}") from None
    return expression


def _unsure(text: str) -> Iterator[Fault]:
    """Raise Fault for a part that cannot work; yield one for each part that fails but may have a guard beside it."""
    tokens = tokenize(text)
    tried = set()
    for part in parts(tokens):
        first, last = tokens[part.first], tokens[part.last - 1]
        piece = text[first.at : last.at + len(last.text)]
        if (piece, part.truth) in tried or (first is last and not part.truth):
            continue
        tried.add((piece, part.truth))
        expression = build(piece)
        for variables, bucket in _SAMPLES:
            try:
                value: Any = expression.value(variables, bucket)
            except ExpressionError as error:
                fault = Fault(str(error), first.at)
                if not error.by_value or not expression.names & VARIABLES.keys():
                    raise fault from None
                yield fault
            else:
                if part.truth and not isinstance(value, bool):
                    raise Fault(f"this is {type_of(value)}, but must be true or false", first.at)
