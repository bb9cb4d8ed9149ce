"""Waiting for a condition, with a time limit."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

# Seconds between two checks. Many checks are requests to the router, which take processor time from what is waited
# for, so the longer the wait, the rarer the checks.
_LOOK, _LONGEST = 0.01, 0.05
_SHARE = 8  # of the time waited so far


def wait_until(condition: Callable[[], T], *, what: str, within: float = 30.0) -> T:
    """Return the value of `condition` as soon as it is true.

    Args:
        condition: called again and again.
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
