"""Waiting for a condition: bounded, and never longer than it takes."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

# Between two looks. Short enough to cost nothing, long enough to leave the core to what is waited for.
_LOOK = 0.01


def wait_until(condition: Callable[[], T], *, what: str, within: float = 30.0) -> T:
    """Return what `condition` returns as soon as that is true.

    Args:
        condition: looked at again and again.
        what: a clause for the failure, as "the store answers".
        within: seconds after which the test fails.
    """
    end = time.monotonic() + within
    while not (met := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"not within {within} s: {what}")
        time.sleep(_LOOK)
    return met
