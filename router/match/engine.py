"""The CEL library, common-expression-language: imports it without its command line, and rewrites its errors.

https://python-common-expression-language.readthedocs.io/
"""

import logging
import re
from collections.abc import Callable, Mapping
from importlib.machinery import PathFinder
from importlib.util import find_spec, module_from_spec
from typing import TYPE_CHECKING, Any, Final

from router.errors import ExpressionError
from router.match.token import Fault

if TYPE_CHECKING:
    import cel

_PLACE = re.compile(r"ERROR: <input>:(?P<line>\d+):(?P<column>\d+): (?:Syntax error: )?(?P<reason>[^\n]*)")
_INPUT = re.compile(r"(?:mismatched|extraneous|missing|no viable) ")
_WORD = re.compile(r"\w+|[^\w\s]{1,2}")
_FUNCTION = re.compile(r"Function '(?P<name>\w+)' error: ")
_UNDEFINED = re.compile(r"Undefined variable or function: '(?P<name>\w+)'")
_UNSUPPORTED = re.compile(r"Unsupported operation: (?P<types>.*?)\. CEL")
# Conversions fail because of the value of a text, not because of its type.
_CONVERSIONS: Final = {
    "int": "an integer",
    "double": "a number",
    "timestamp": "a timestamp, as 2027-01-01T00:00:00Z",
    "duration": "a duration, as 36h or 1h30m",
}
_BY_VALUE: Final = {
    ZeroDivisionError: "division by zero",
    OverflowError: "a number out of range",
    IndexError: "a list has no such place",
}


def _load() -> Any:
    """Load the extension alone: its package also imports its command line, 28 MB and a third of a second."""
    package = find_spec("cel")
    spec = PathFinder.find_spec("cel", package.submodule_search_locations) if package else None
    if spec is None or spec.loader is None:
        raise ImportError("common-expression-language is not installed")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_cel: Final = _load()
# It logs the exceptions of functions, which may contain the customer's text.
logging.getLogger("cel").setLevel(logging.CRITICAL + 1)


def compile_source(source: str) -> "cel.Program":
    """Compile an expression; raise Fault at the first error if it does not parse."""
    try:
        program: cel.Program = _cel.compile(source)
    except ValueError as error:
        raise _fault(source, str(error)) from None
    except BaseException as error:  # noqa: BLE001 - judged in _only_panic
        _only_panic(error)
        raise Fault("cannot be parsed", 0) from None
    return program


def run(program: "cel.Program", variables: Mapping[str, Any], functions: Mapping[str, Callable[..., Any]]) -> Any:
    """Return the value of an expression; raise ExpressionError if the evaluation fails.

    The library converts all exceptions of functions to its own errors. Those that are not an Exception, such as a
    timeout, are raised again. A panic of the library, which is not an Exception either, becomes an ExpressionError.
    """
    raised: list[BaseException] = []
    failure: ExpressionError | None = None
    watched = {name: _watched(function, raised) for name, function in functions.items()}
    try:
        value = program.execute(_cel.Context(dict(variables), watched))
    except Exception as error:  # noqa: BLE001 - the library has a dozen, and no base class for them
        failure = _failure(error, raised)
    except BaseException as error:  # noqa: BLE001 - judged in _only_panic
        _only_panic(error)
        failure = ExpressionError("the expression cannot be evaluated")
    for each in raised:
        if not isinstance(each, Exception):
            raise each
    if failure is not None:
        raise failure
    return value


def _watched(function: Callable[..., Any], raised: list[BaseException]) -> Callable[..., Any]:
    def watched(*values: Any) -> Any:
        try:
            return function(*values)
        except BaseException as error:
            raised.append(error)
            raise

    return watched


def _only_panic(error: BaseException) -> None:
    """Raise the error again, unless it is a panic of the library; each PyO3 extension has its own class for panics."""
    if (type(error).__module__, type(error).__name__) != ("pyo3_runtime", "PanicException"):
        raise error


def _fault(source: str, message: str) -> Fault:
    found = _PLACE.search(message)
    if not found:
        return Fault("does not parse", 0)
    lines = source.split("\n")
    line = min(int(found["line"]), len(lines)) - 1
    at = sum(len(each) + 1 for each in lines[:line]) + int(found["column"]) - 1
    at = min(max(at, 0), len(source))
    return Fault(_reason(found["reason"], source[at:]), at)


def _reason(text: str, rest: str) -> str:
    """Translate a message of the parser, which lists the expected tokens by internal names."""
    if _INPUT.match(text):
        word = _WORD.match(rest)
        return f"{word[0]!r} is not expected here" if word else "it ends too soon"
    if text.startswith("Incomplete"):
        return "a ? needs a : after it" if "_?_:_" in text else "something is missing"
    return text.partition(":")[0]


def _failure(error: Exception, raised: list[BaseException]) -> ExpressionError:
    """Translate an error of the library, without values, which may be the customer's text."""
    cause = raised[-1] if raised else error
    for kind, text in _BY_VALUE.items():
        if isinstance(cause, kind):
            return ExpressionError(text, by_value=True)
    if raised:
        return ExpressionError(str(cause) if isinstance(cause, TypeError) else "a function failed")
    message = str(error)
    if (function := _FUNCTION.match(message)) and function["name"] in _CONVERSIONS:
        name = function["name"]
        return ExpressionError(f"{name}() was given a text that is not {_CONVERSIONS[name]}", by_value=True)
    if undefined := _UNDEFINED.match(message):
        return ExpressionError(f"{undefined['name'].rstrip('_')}() does not take values of these types")
    unsupported = _UNSUPPORTED.match(message)
    return ExpressionError(
        f"{unsupported['types'] if unsupported else 'this'} is not defined for values of these types"
    )
