"""A condition is tried on sample messages before it is saved: who writes what cannot work is told at once."""

from collections.abc import Sequence
from typing import Any, Final

from router.errors import ExpressionError
from router.expression.compiled import Expression, build, compile_expression, type_of
from router.expression.token import Fault, Part, Token, parts, tokenize, where
from router.expression.variable import VARIABLES

# Each sample's variables, and the contact's place among a hundred.
_SAMPLES: Final = tuple(
    ({name: variable.samples[place] for name, variable in VARIABLES.items()}, bucket)
    for place, bucket in enumerate((99.99, 0.0))
)
_SAID: Final = ("a text message", "a button pressed on WhatsApp")


def try_expression(text: str) -> Expression:
    """Compile a condition that is about to be saved, and try it, and each of its parts alone.

    A part whose types do not fit is found also where `&&` or `||` would have passed over it.

    Raises ValueError that says where it is wrong, and why.
    """
    expression = compile_expression(text)
    tokens = tokenize(text)
    try:
        doubtful = [fault for part in parts(tokens) if (fault := _try_part(text, tokens[part.first : part.last], part))]
        for (variables, bucket), said in zip(_SAMPLES, _SAID, strict=True):
            try:
                expression.matches(variables, bucket)
            except ExpressionError as error:
                at = doubtful[0].at if doubtful and error.by_value else 0
                advice = '; ask first, as body.matches("^[0-9]+$") && int(body) > 3' if error.by_value else ""
                raise Fault(f"fails for {said}: {error}{advice}", at) from None
    except Fault as fault:
        raise ValueError(f"{where(text, fault.at)}: {fault}") from None
    return expression


def _try_part(text: str, tokens: Sequence[Token], part: Part) -> Fault | None:
    """Raise Fault for a part that cannot work; return one for what fails, but may have a guard beside it."""
    first, last = tokens[0], tokens[-1]
    if first is last and not part.truth:
        return None
    piece = build(text[first.at : last.at + len(last.text)])
    doubtful = None
    for variables, bucket in _SAMPLES:
        try:
            value: Any = piece.value(variables, bucket)
        except ExpressionError as error:
            fault = Fault(str(error), first.at)
            if not error.by_value or not piece.names & VARIABLES.keys():
                raise fault from None
            doubtful = doubtful or fault
        else:
            if part.truth and not isinstance(value, bool):
                raise Fault(f"this is {type_of(value)}, where true or false is wanted", first.at)
    return doubtful
