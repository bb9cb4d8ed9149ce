"""Counts the cost of work in steps, which are the same on every machine, instead of seconds."""

import hmac
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any


@dataclass
class Steps:
    """Lines of Python that ran, and HMACs that were computed."""

    lines: int = 0
    hmacs: int = 0


@contextmanager
def counted() -> Iterator[Steps]:
    """Count the steps of this thread while the context is open."""
    steps = Steps()

    def call(frame: FrameType, _: str, __: object) -> Any:
        steps.hmacs += frame.f_code is hmac.digest.__code__
        return line

    def line(_: FrameType, event: str, __: object) -> Any:
        steps.lines += event == "line"
        return line

    before = sys.gettrace()
    sys.settrace(call)
    try:
        yield steps
    finally:
        sys.settrace(before)
