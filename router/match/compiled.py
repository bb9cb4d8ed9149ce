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
_KEPT: Final = 1024  # cached expressions: 10 KB each; half a megabyte for a malicious one
# Steps of an evaluation, of a function call (trimming 1,600 characters takes 28 us) and of an instruction of a regular
# expression (searching 4 KiB of the slowest text takes 13 us: function.py).
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
        text: its source.
        names: the variables and functions that it uses.
        words: its tokens, the same for two expressions that differ only in white space or comments.
        fields: the parameters of the webhook that it reads from `params`.
        shares: the arguments of `percent` in it.
        content: whether it uses the content of the message, not only its circumstances.
        steps: an upper bound of its evaluation time; a step is about a microsecond.

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
        """Return whether a message meets the condition.

        Args:
            variables: the values of the message, by the names of `VARIABLES`; at least those in `names`. Only the
                first 1600 characters of a text are used.
            bucket: the contact's percentile, 0 <= bucket < 100.

        Raises:
            ExpressionError: the evaluation fails for this message.

        """
        value = self.value(variables, bucket)
        if not isinstance(value, bool):
            raise ExpressionError(f"its value is {type_of(value)}, not true or false")
        return value

    def value(self, variables: Mapping[str, Any], bucket: float) -> Any:
        """Return its value, of any type; arguments and errors are those of `matches`."""
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
    """Compile a condition; raise ValueError with the place and the reason of an error."""
    try:
        return build(text)
    except Fault as fault:
        raise ValueError(f"{where(text, fault.at)}: {fault}") from None


def build(text: str) -> Expression:
    """Compile a condition, or a part of one; raise Fault for an error."""
    if len(text) > MOST:
        raise Fault(f"at most {MOST} characters are allowed, not {len(text)}", MOST)
    tokens = tokenize(text)
    uses = judge(tokens, tuple(VARIABLES))
    program = compile_source(text)
    if (rewritten := _rewritten(text, tokens)) != text:
        program = compile_source(rewritten)
    for token in uses.zones:
        with _fault_at(token):
            zone(_literal(token))
    searches: dict[str, Function] = {}
    size = 0
    patterns = [_literal(token) for token in uses.patterns]
    for count, token in enumerate(uses.patterns, 1):
        with _fault_at(token):
            searches, size = regexes(patterns[:count])
    shares = []
    for token in uses.shares:
        with _fault_at(token):
            shares.append(share(token.text))
    return Expression(
        text=text,
        names=uses.variables | uses.functions,
        words=tuple(token.text for token in tokens),
        fields=tuple(_literal(token) for token in uses.fields),
        shares=tuple(shares),
        content=any(VARIABLES[name].content for name in uses.variables),
        steps=_BASE + len(tokens) + _CALL * sum(token.text == "(" for token in tokens) + _INSTRUCTION * size,
        _program=program,
        _functions=functions(uses.functions, searches),
    )


@contextmanager
def _fault_at(token: Token) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise Fault(str(error), token.at) from None


def _literal(token: Token) -> str:
    """Return the value of a literal; a name, as in `params.Body`, is its own value."""
    return token.text if token.kind == "name" else str(run(compile_source(token.text), {}, {}))


def _rewritten(text: str, tokens: Sequence[Token]) -> str:
    """Rename calls of our functions: the library's functions of the same names would take precedence."""
    pieces = []
    at = 0
    for token, following in pairwise(tokens):
        if following.text == "(" and token.text in REWRITTEN:
            end = token.at + len(token.text)
            pieces += [text[at:end], OWN]
            at = end
    return "".join((*pieces, text[at:]))


def type_of(value: object) -> str:
    """Return the name of a value's type."""
    return _TYPES.get(type(value), "no value")
