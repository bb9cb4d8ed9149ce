"""Draws random CEL expressions that try to hang, bloat or crash the process, evaluates them, and measures.

It runs as a process of its own. It prints JSON: how many expressions could be saved, and the slowest
evaluation (seconds of processor time) with its text. `python -m tests.core.expression_bombs SEED COUNT`
"""

import json
import random
import re
import resource
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from router.errors import ExpressionError
from router.match import FUNCTIONS, MOST, VARIABLES, Expression, try_expression
from router.match.engine import compile_source

_MEMORY: Final = 2**30  # bytes of addresses, most of them never touched
# The smallest systems give a thread 128 KiB of stack, in which Rust's parser runs.
_STACK: Final = 256 * 1024

_LONG: Final = ("1" * 1600, "\U0001f600" * 1600, "ab" * 800, "\u0430\u0431" * 800, "x" * 131_072)
_ODD: Final = ("", "Hello", "\0", "nan", f"{-(2**63)}", "9" * 30, "9999-12-31T23:59:59Z", "9223372036854775807h")
_LITERALS: Final = (
    *('""', '"a"', "'\\x00'", 'r"\\d+"', '"\\U0010ffff"', "0", "1", "-1", "9223372036854775807", "0x7fffffffffffffff"),
    *("1.5", "1e308", "1u", "true", "false", "null", '"9999-12-31T23:59:59Z"', '"9223372036s"', '"1h"', "'Asia/Tokyo'"),
)
_PATTERNS: Final = (
    *("(.?){40}z", "[ab]*a[ab]{60}c", "(x+x+)+y", "(a|b|ab)*c", "(?i)(\u0430\u0431?|\u0431\u0430?){20}z"),
    *("a{1000}{1000}", "(a{99}){99}", "(((((.)?){20})*|(.)?)z)"),
)
_ATOMS: Final = (*VARIABLES, "now", "body", 'params["A"]', "params.B", 'now.getHours("Asia/Tokyo")', "percent(50)")
_WORDS: Final = (
    *"()[]?:,.!+-*/%<>{}`\"'\\é\0",
    *("&&", "||", "==", " in ", "//", '"""', 'r"', 'b"', ".map(x, ", ".all(x, ", "has("),
    *_LITERALS,
    *(f"{each.name}(" for each in FUNCTIONS),
    *_ATOMS,
)


class _Draw:
    """Draws expressions: random words, well-typed ones, and ones as long as a Match may be."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)  # noqa: S311 - repeatable is what it has to be

    def one(self) -> str:
        """Draw an expression of a random kind."""
        return self.chance.choice((self._soup, self._guarded, self._guarded, self._nested, self._chain))()

    def _soup(self) -> str:
        return "".join(self.chance.choices(_WORDS, k=self.chance.randrange(1, 60)))

    def _guarded(self) -> str:
        return f'body == "Hello" || body == "" || ({self._any(self.chance.randrange(1, 5))}) == {self._any(1)}'

    def _nested(self) -> str:
        text = f'body.matches("{self.chance.choice(_PATTERNS)}")'
        while True:
            more = self.chance.choice(
                (f"({text})", f"!({text})", f'body!=""&&{text}', f"{text}?true:({text})", f"[{text}]==[true]")
            )
            if len(more) > 512:
                return text
            text = more

    def _chain(self) -> str:
        unit, most = self.chance.choice(
            (
                ("body+", 16),
                ("[body]+", 16),
                (".lowerAscii()", 38),
                (".trim()", 70),
                (f'.matches("{self.chance.choice(_PATTERNS)}")', 1),
                ("==body", 80),
                (" in [body,body]", 30),
            )
        )
        middle = unit * self.chance.randrange(1, most + 1)
        text = middle + "body" if unit.endswith("+") else "body" + middle
        joined = [text] * self.chance.randrange(1, 2 + (MOST - len(text)) // (len(text) + 9) if len(text) < MOST else 2)
        others = self.chance.choices(('"x"', "body", "true", "[body]"), k=len(joined))
        return "||".join(f"{each}=={other}" for each, other in zip(joined, others, strict=True))

    def _any(self, depth: int) -> str:
        pick = self.chance.choice
        if depth <= 0:
            return pick((*_LITERALS, *_ATOMS))
        a, b, c = (self._any(depth - 1 - self.chance.randrange(2)) for _ in range(3))
        sign = pick(("==", "<", ">=", " in ", "&&", "||", "+", "-", "*", "/", "%"))
        called = pick(FUNCTIONS).name
        joined = pick((f"{a}{sign}{b}", f"{a}?{b}:{c}", f"[{a},{b}]", f"{a}[{b}]", f"({a})", f"!{a}", f"-{a}"))
        return pick((joined, joined, f"{a}.{called}({b})", f"{a}.{called}()", f"{called}({a})"))


def _messages() -> Iterator[dict[str, Any]]:
    others = {f"Other{n}": "y" * 260 for n in range(480)}  # with A, a form of 128 KB and more
    for text in (*_LONG, *_ODD):
        known: dict[str, Any] = {name: text for name, variable in VARIABLES.items() if variable.type == "string"}
        yield known | {"num_media": len(text), "params": {"A": text, "B": "1", **others}, "now": datetime.now(UTC)}


def _check_reading(expression: Expression) -> None:
    """Fail unless the CEL library reads the same names in the expression as the check before saving did."""
    read = compile_source(expression.text).references()
    named = {*read["variables"], *(name for name in read["functions"] if name[0].isalpha())}
    if named != expression.names:
        raise ValueError(f"{expression.text!r} uses {named}, but the check found {expression.names}")


def _slowest(expression: Expression, messages: list[dict[str, Any]]) -> float:
    slowest = 0.0
    for message in messages:
        times = []
        for _ in range(3):  # the best of three, so that other load is not measured
            began = time.thread_time()
            with suppress(ExpressionError):
                expression.matches(message, 50.0)
            times.append(time.thread_time() - began)
        slowest = max(slowest, min(times))
    return slowest


def main(seed: int, count: int) -> None:
    """Draw and measure `count` expressions, and print the result."""
    draw = _Draw(seed)
    messages = list(_messages())
    saved = 0
    slowest = (0.0, "")
    saving = 0.0
    for _ in range(count):
        text = draw.one()
        began = time.thread_time()
        try:
            expression = try_expression(text)
        except ValueError:
            continue
        finally:
            saving = max(saving, time.thread_time() - began)
        saved += 1
        _check_reading(expression)
        slowest = max(slowest, (_slowest(expression, messages), text))
    # Not ru_maxrss, which starts with the peak of the parent process.
    peak = int(re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[0]) // 1024
    seen = {"saved": saved, "slowest": slowest, "saving": saving, "megabytes": peak}
    sys.stdout.write(json.dumps(seen))


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (30, 30))
    threading.stack_size(_STACK)
    thread = threading.Thread(target=main, args=(int(sys.argv[1]), int(sys.argv[2])))
    thread.start()
    thread.join()
