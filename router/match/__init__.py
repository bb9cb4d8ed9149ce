"""The condition of a flow (Match): CEL over what is known of a message, compiled once, bounded in time and memory.

The library has no limits, so what may be saved has: 512 characters, no comprehensions, few sums, regular expressions
that take linear time. What was saved then answers within milliseconds, whatever a message holds.

https://github.com/google/cel-spec
"""

from router.match.compiled import MOST, Expression, compile_expression
from router.match.function import FUNCTIONS, Signature
from router.match.validation import try_expression
from router.match.variable import VARIABLES, Variable

__all__ = [
    "FUNCTIONS",
    "MOST",
    "VARIABLES",
    "Expression",
    "Signature",
    "Variable",
    "compile_expression",
    "try_expression",
]
