"""The condition of a flow (Match): CEL over a message's properties, compiled once, bounded in time and memory.

The library has no limits, so they are checked when an expression is saved: 512 characters, no comprehensions, few sums,
regular expressions that take linear time. A saved expression is evaluated within milliseconds for any message.

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
