"""The tokenizer for the subset of CEL that a Match may use; https://github.com/google/cel-spec.

The CEL library does not give access to the tokens of an expression, but the rules are checked on them. So each accepted
token must be one that the library reads in the same way: other syntax (maps, bytes, triple quotes, names in backticks)
is refused.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

# The parser is recursive: 96 levels, its own limit, need nearly a megabyte of stack, 16 levels a tenth of it.
DEPTH: Final = 16

_TOKEN = re.compile(
    r"""
    (?P<space> (?: [ \t\r\n\f] | //[^\n]* )+ )
    | (?P<text> "(?!"") (?: \\. | [^"\\\r\n] )* " | '(?!'') (?: \\. | [^'\\\r\n] )* '
        | [rR] (?: "(?!"") [^"\r\n]* " | '(?!'') [^'\r\n]* ' ) )
    | (?P<name> [A-Za-z_] [A-Za-z0-9_]* (?!["'\w]) )
    | (?P<number> (?: 0x[0-9a-fA-F]+ | (?: [0-9]+ (?: \.[0-9]+ )? | \.[0-9]+ ) (?: [eE][+-]?[0-9]+ )? ) [uU]? )
    | (?P<sign> && | \|\| | [=!<>]= | [-+*/%<>!?:.,()\[\]] )
    """,
    re.VERBOSE | re.ASCII,
)
_CLOSING: Final = {"(": ")", "[": "]"}
_CUTTING: Final = frozenset((*_CLOSING, *_CLOSING.values(), ",", "&&", "||", "?", ":"))
# Frequent mistakes of users who know another language, or paste from a text processor.
_ADVICE: Final = {
    "=": "write == to compare",
    "&": "write &&",
    "|": "write ||",
    "{": "maps are not available",
    "}": "maps are not available",
    "`": "names in backticks are not available",
    **dict.fromkeys("“”„‘’", "write straight quotes"),  # noqa: RUF001 - typographic quotes
}


class Fault(ValueError):  # noqa: N818 - as a fault in a text, not of the program
    """An error in an expression, and its position, from 0."""

    def __init__(self, reason: str, at: int) -> None:
        super().__init__(reason)
        self.at = at


@dataclass(frozen=True, slots=True)
class Token:
    """A token: its kind (`text`, `name`, `number` or `sign`), its text, and its position, from 0."""

    kind: str
    text: str
    at: int


@dataclass(frozen=True, slots=True)
class Part:
    """A part of an expression that is itself an expression: from token `first` up to, but without, token `last`.

    `truth`: it must be true or false, because it is an operand of `&&` or `||`, before `?`, or the whole expression.
    """

    first: int
    last: int
    truth: bool


def tokenize(text: str) -> tuple[Token, ...]:
    """Split an expression into tokens; raise Fault for invalid tokens and unbalanced brackets."""
    tokens = []
    open_: list[str] = []
    at = 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if not found or not found.lastgroup:
            raise Fault(_unexpected(text, at), at)
        word = found[0]
        if found.lastgroup != "space":
            tokens.append(Token(found.lastgroup, word, at))
        if word in _CLOSING:
            open_.append(word)
            if len(open_) > DEPTH:
                raise Fault(f"brackets may be nested {DEPTH} deep", at)
        elif word in (")", "]") and (not open_ or _CLOSING[open_.pop()] != word):
            raise Fault(f"{word} closes no open bracket", at)
        at = found.end()
    if open_:
        raise Fault(f"a {open_[-1]} is not closed", len(text))
    return tuple(tokens)


def _unexpected(text: str, at: int) -> str:
    quoted = re.match(r"""\w*(["'])""", text[at:], re.ASCII)
    if not quoted:
        return f"{text[at]!r} is not expected: {_ADVICE.get(text[at], 'text is written in quotes')}"
    if quoted[1] != quoted[0] and quoted[0][0] not in "rR":
        return f"{quoted[0]}…{quoted[1]} is not available: text is written in single or double quotes"
    if text[at:].lstrip("rR").startswith(quoted[1] * 3):
        return "triple quotes are not available"
    return f"the text that begins with {quoted[1]} does not end"


def parts(tokens: Sequence[Token]) -> Iterator[Part]:
    """Split an expression at brackets, commas, `&&`, `||` and `? :`, the innermost parts first.

    No other operator binds more loosely, so each part can be evaluated alone, even if `&&` would skip it. Function
    calls are parts, too.
    """
    opened = [-1]
    starts = [0]
    logical = [False]
    for place, token in enumerate(tokens):
        if token.kind != "sign" or token.text not in _CUTTING:
            continue
        if token.text in _CLOSING:
            opened.append(place)
            starts.append(place + 1)
            logical.append(False)
            continue
        before, logical[-1] = logical[-1], token.text in ("&&", "||")
        if starts[-1] < place:
            truth = before or logical[-1] or token.text == "?" or len(starts) == 1
            yield Part(starts[-1], place, truth=truth)
        starts[-1] = place + 1
        if token.text in _CLOSING.values():
            name = opened.pop() - 1
            starts.pop()
            logical.pop()
            if name >= 0 and _is_called(tokens, name):
                yield Part(name, place + 1, truth=False)
    if starts[0]:
        yield Part(starts[0], len(tokens), truth=True)


def _is_called(tokens: Sequence[Token], name: int) -> bool:
    """Return whether the name before a bracket is a function, or a variable with a field; a method is not a part."""
    return tokens[name].kind == "name" and tokens[name].text != "in" and (not name or tokens[name - 1].text != ".")


def where(text: str, at: int) -> str:
    """Return a position in an expression as text; lines and columns are counted from 1."""
    line = text.count("\n", 0, at) + 1
    column = at - (text.rfind("\n", 0, at) + 1) + 1
    return f"line {line}, column {column}" if "\n" in text else f"column {column}"
