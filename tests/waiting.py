"""Waiting for a condition: bounded, and never longer than it takes."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

# Seconds between two looks. Many a look is a request to the router, and costs both cores what they need for what is
# waited for: who has waited long looks less often.
_LOOK, _LONGEST = 0.01, 0.05
_SHARE = 8  # of the time waited so far


def wait_until(condition: Callable[[], T], *, what: str, within: float = 30.0) -> T:
    """Return what `condition` returns as soon as that is true.

    Args:
        condition: looked at again and again.
        what: a clause for the failure, as "the store answers".
        within: seconds after which the test fails.
    """
    begun = time.monotonic()
    while not (met := condition()):
        waited = time.monotonic() - begun
        if waited > within:
            raise AssertionError(f"not within {within} s: {what}")
        time.sleep(min(_LONGEST, max(_LOOK, waited / _SHARE)))
    return met
