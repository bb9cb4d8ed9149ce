"""Imports the operator's functions; reports in one sentence why an import failed."""

import importlib
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from twilio.twiml import TwiML

from router.message.inbound import Message

Handle = Callable[[Message], str | TwiML | None]

# The number of innermost frames of a traceback that are kept.
FRAMES: Final = 5


class UnusableError(Exception):
    """A handler that cannot be imported, or is not a handler function."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(reason)
        self.name = name
        self.reason = reason


def load(paths: Mapping[str, str]) -> dict[str, Handle]:
    """Import the functions that the settings name.

    Args:
        paths: name to `package.module:function`.

    Raises:
        UnusableError: the first handler that cannot be used.

    """
    return {name: _load(name, path) for name, path in paths.items()}


def _load(name: str, path: str) -> Handle:
    module, _, attribute = path.partition(":")
    try:
        function = getattr(importlib.import_module(module), attribute)
    except BaseException as error:  # also SystemExit of a module
        raise UnusableError(name, f"{path!r} cannot be imported: {_why(module, attribute, error)}") from error
    if not callable(function):
        raise UnusableError(name, f"{path!r} is not a function but {type(function).__name__}")
    return function  # type: ignore[no-any-return]


def _why(module: str, attribute: str, error: BaseException) -> str:
    frames = frames_of(error)
    where = f" ({frames[-1]})" if frames else ""
    if isinstance(error, ModuleNotFoundError) and error.name and f"{module}.".startswith(f"{error.name}."):
        file = Path(*module.split(".")).with_suffix(".py")
        return f"{file} is neither in {Path.cwd()}, where the router was started, nor installed"
    if isinstance(error, ModuleNotFoundError):
        return f"it needs {error.name!r}, which is not installed in {sys.prefix}{where}"
    if isinstance(error, AttributeError) and not frames:
        return f"{module} has no {attribute!r}"
    if isinstance(error, SyntaxError):
        return f"{_short(error.filename or '')}:{error.lineno}: {error.msg}"
    return f"{type(error).__name__}: {error}{where}"


def frames_of(error: BaseException) -> list[str]:
    """Return the frames of an exception, such as `bank/bot.py:17 in reply`, the innermost last, without our own."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not _is_ours(frame.filename)]
    return [f"{_short(frame.filename)}:{frame.lineno} in {frame.name}" for frame in frames[-FRAMES:]]


def _is_ours(file: str) -> bool:
    return Path(file).parent == Path(__file__).parent or file.startswith("<frozen importlib") or file == _IMPORTLIB


_IMPORTLIB: Final = importlib.__file__


def _short(file: str) -> str:
    """Return the path of a file below the folder in which its package was found."""
    folders = (each.rstrip(os.sep) + os.sep for each in sys.path if each)
    return file.removeprefix(max((each for each in folders if file.startswith(each)), key=len, default=""))
