"""A compiled condition: the variables that it uses, and its evaluation for a message."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from router.errors import ExpressionError
from router.match.engine import compile_source, run
from router.match.function import OWN, REWRITTEN, SEEN, functions, percent, regexes, share, zone
from router.match.rule import judge
from router.match.token import Fault, Token, tokenize, where
from router.match.variable import VARIABLES

if TYPE_CHECKING:
    import cel

    from router.match.function import Function

MOST: Final = 512  # characters
_KEPT: Final = 1024  # compiled expressions: 10 KB each; half a megabyte for a malicious one
# Steps of an evaluation, of a function call (to trim 1,600 characters takes 28 us) and of an instruction of a regular
# expression (4 KiB of an evil text take 13 us: function.py).
_BASE: Final = 20
_CALL: Final = 35
_INSTRUCTION: Final = 13
_TYPES: Final = {
    str: "a text",
    int: "an integer",
    float: "a double",
    list: "a list",
    datetime: "a timestamp",
    timedelta: "a duration",
}


@dataclass(frozen=True, slots=True)
class Expression:
    """A condition that has been compiled.

    Args:
        text: as it was written.
        names: the variables and functions that it asks for.
        words: what it is written with, the same for two that differ in white space or comments.
        fields: the parameters of the webhook that it asks `params` for.
        shares: the arguments that `percent` has in it.
        content: whether it asks what the customer said, and not only for circumstances.
        steps: how long it takes for a message that is made to be slow, in microseconds or so: an upper bound.

    """

    text: str
    names: frozenset[str]
    words: tuple[str, ...]
    fields: tuple[str, ...]
    shares: tuple[float, ...]
    content: bool
    steps: int
    _program: "cel.Program" = field(repr=False, compare=False)
    _functions: "Mapping[str, Function]" = field(repr=False, compare=False)

    def matches(self, variables: Mapping[str, Any], bucket: float) -> bool:
        """Say whether a message meets the condition.

        Args:
            variables: what is known of it, by the names of `VARIABLES`; at least those in `names`. Of a text, the
                first 1600 characters are seen.
            bucket: the contact's place among a hundred, 0 <= bucket < 100.

        Raises:
            ExpressionError: it has no answer for this message.

        """
        value = self.value(variables, bucket)
        if not isinstance(value, bool):
            raise ExpressionError(f"it is {type_of(value)}, neither true nor false")
        return value

    def value(self, variables: Mapping[str, Any], bucket: float) -> Any:
        """Return what it evaluates to, as `matches` does, of whatever type."""
        seen = {}
        for name in self.names & VARIABLES.keys():
            if name not in variables:
                raise ExpressionError(f"{name} is not known")
            seen[name] = self._seen(variables[name])
        ours = self._functions
        return run(self._program, seen, {**ours, "percent": percent(bucket)} if "percent" in self.names else ours)

    def _seen(self, value: Any) -> Any:
        if isinstance(value, str):
            return value[:SEEN]
        if isinstance(value, Mapping):
            return {name: value.get(name, "")[:SEEN] for name in self.fields}
        return value


@lru_cache(maxsize=_KEPT)
def compile_expression(text: str) -> Expression:
    """Compile a condition; raise ValueError that says where it is wrong, and why."""
    try:
        return build(text)
    except Fault as fault:
        raise ValueError(f"{where(text, fault.at)}: {fault}") from None


def build(text: str) -> Expression:
    """Compile a condition, or a part of one; raise Fault where it is wrong."""
    if len(text) > MOST:
        raise Fault(f"at most {MOST} characters are allowed, not {len(text)}", MOST)
    tokens = tokenize(text)
    asked = judge(tokens, tuple(VARIABLES))
    program = compile_source(text)
    if (rewritten := _rewritten(text, tokens)) != text:
        program = compile_source(rewritten)
    for token in asked.zones:
        with _fault_at(token):
            zone(_literal(token))
    searches: dict[str, Function] = {}
    size = 0
    patterns = [_literal(token) for token in asked.patterns]
    for count, token in enumerate(asked.patterns, 1):
        with _fault_at(token):
            searches, size = regexes(patterns[:count])
    shares = []
    for token in asked.shares:
        with _fault_at(token):
            shares.append(share(token.text))
    return Expression(
        text=text,
        names=asked.variables | asked.functions,
        words=tuple(token.text for token in tokens),
        fields=tuple(_literal(token) for token in asked.fields),
        shares=tuple(shares),
        content=any(VARIABLES[name].content for name in asked.variables),
        steps=_BASE + len(tokens) + _CALL * sum(token.text == "(" for token in tokens) + _INSTRUCTION * size,
        _program=program,
        _functions=functions(asked.functions, searches),
    )


@contextmanager
def _fault_at(token: Token) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise Fault(str(error), token.at) from None


def _literal(token: Token) -> str:
    """Return the text that a literal stands for; a name, as in `params.Body`, stands for itself."""
    return token.text if token.kind == "name" else str(run(compile_source(token.text), {}, {}))


def _rewritten(text: str, tokens: Sequence[Token]) -> str:
    """Give our functions names of their own, for the library's come first."""
    pieces = []
    at = 0
    for token, following in pairwise(tokens):
        if following.text == "(" and token.text in REWRITTEN:
            end = token.at + len(token.text)
            pieces += [text[at:end], OWN]
            at = end
    return "".join((*pieces, text[at:]))


def type_of(value: object) -> str:
    """Say of which type a value is."""
    return _TYPES.get(type(value), "no value")
