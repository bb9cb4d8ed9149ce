"""The rules for the tokens of a Match: the allowed names and functions, and the arguments that must be literals.

Arguments that would otherwise be resolved or compiled for each message (a time zone, a regular expression, a field's
name, a share) must be literals. So they are checked when the expression is saved, in every branch.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final

from router.match.function import CLOCK, FUNCTIONS, REGEXES
from router.match.token import Fault, Token

# Each sum copies its texts: sixteen copies of the longest text are 25 KiB, which takes microseconds.
_SUMS: Final = 16

_KEYWORDS: Final = frozenset(("true", "false", "null", "in"))
_KNOWN: Final = tuple(each.name for each in FUNCTIONS)
_COMPREHENSIONS: Final = frozenset(("all", "exists", "exists_one", "existsOne", "map", "filter"))
_ADVICE: Final = {
    "and": "write &&",
    "or": "write ||",
    "not": "write !",
    "has": 'an absent field is "": write params["ButtonText"] != ""',
    "optional": "an absent field is empty",
    "from_": "write from",
}


@dataclass(frozen=True, slots=True)
class Uses:
    """The names that an expression uses, and the tokens of its literal arguments, by kind."""

    variables: frozenset[str]
    functions: frozenset[str]
    fields: tuple[Token, ...]
    zones: tuple[Token, ...]
    patterns: tuple[Token, ...]
    shares: tuple[Token, ...]


@dataclass(frozen=True, slots=True)
class _Use:
    """A name, the two words before it and the four words after it."""

    name: Token
    before: tuple[str, str]
    after: tuple[Token, ...]

    @property
    def is_function(self) -> bool:
        return self.after[0].text == "("

    @property
    def is_field(self) -> bool:
        return not self.is_function and self.before == ("params", ".")

    @property
    def is_variable(self) -> bool:
        return not self.is_function and not self.is_field

    def field(self) -> Token:
        """Return the field that is read from `params`."""
        first, second, third, _ = self.after
        if (first.text, second.kind, third.text) == ("[", "text", "]"):
            return second
        if (first.text, second.kind) == (".", "name") and third.text != "(":
            return second
        raise Fault('params needs the name of a field in quotes, as params["ButtonText"]', self.name.at)

    def argument(self, kind: str, example: str, *, method: bool, optional: bool = False) -> Token | None:
        """Return the only argument of a function, a literal; None without an argument."""
        _, second, third, _ = self.after
        if (self.before[1] == ".") == method:
            if (second.kind, third.text) == (kind, ")"):
                return second
            if second.text == ")" and optional:
                return None
        raise Fault(f"{self.name.text}() takes a literal, as {example}", self.name.at)


def judge(tokens: Sequence[Token], variables: Collection[str]) -> Uses:
    """Return the names and arguments that an expression uses; raise Fault for any that a Match must not use."""
    uses = [_use(tokens, place) for place, token in enumerate(tokens) if _is_name(token)]
    for use in uses:
        _check(use, variables)
    sums = [token for token in tokens if token.text == "+"]
    if len(sums) > _SUMS:
        raise Fault(f"more than {_SUMS} sums", sums[_SUMS].at)
    called = [use for use in uses if use.is_function]
    clocks = [use for use in called if use.name.text in CLOCK]
    zones = [use.argument("text", 'now.getHours("Europe/Berlin")', method=True, optional=True) for use in clocks]
    patterns = _arguments(called, "matches", "text", 'body.matches("(?i)menu")', method=True)
    if len(patterns) > REGEXES:
        raise Fault(f"more than {REGEXES} regular expressions; join them with |", patterns[REGEXES].at)
    return Uses(
        variables=frozenset(use.name.text for use in uses if use.is_variable),
        functions=frozenset(use.name.text for use in called),
        fields=tuple(use.field() for use in uses if use.is_variable and use.name.text == "params"),
        zones=tuple(zone for zone in zones if zone),
        patterns=patterns,
        shares=_arguments(called, "percent", "number", "percent(10)", method=False),
    )


def _is_name(token: Token) -> bool:
    return token.kind == "name" and token.text not in _KEYWORDS


def _use(tokens: Sequence[Token], place: int) -> _Use:
    before = ("", "", *(token.text for token in tokens[max(0, place - 2) : place]))[-2:]
    end = Token("end", "", tokens[-1].at + len(tokens[-1].text))
    after = (*tokens[place + 1 : place + 5], end, end, end, end)[:4]
    return _Use(tokens[place], (before[0], before[1]), after)


def _arguments(called: Sequence[_Use], name: str, kind: str, example: str, *, method: bool) -> tuple[Token, ...]:
    found = (use.argument(kind, example, method=method) for use in called if use.name.text == name)
    return tuple(token for token in found if token)


def _check(use: _Use, variables: Collection[str]) -> None:
    name = use.name.text
    if use.is_function and name in _COMPREHENSIONS:
        raise Fault(f"{name}() is not available: a Match has no comprehensions", use.name.at)
    if use.is_function and name not in _KNOWN:
        raise Fault(_unknown("function", name, _KNOWN), use.name.at)
    if use.is_variable and use.before[1] == ".":
        raise Fault(f"only params has fields, so .{name} is not one", use.name.at)
    if use.is_variable and name not in variables:
        raise Fault(_unknown("variable", name, variables), use.name.at)


def _unknown(kind: str, name: str, known: Collection[str]) -> str:
    near = get_close_matches(name, known, n=1)
    advice = _ADVICE.get(name.lower()) or (f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}")
    return f"no {kind} is called {name}; {advice}"
