"""The checks of `router doctor` and of the console: one function for each part of a set-up, which yields findings."""

from dataclasses import dataclass
from typing import Literal

State = Literal["good", "look", "bad", "skipped"]
"""Good; may need attention (look); must be repaired, so the command exits with 1 (bad); or not checked (skipped)."""


@dataclass(frozen=True, slots=True)
class Check:
    """One finding: what was checked, its state, what was found, and what to do if it is not good."""

    name: str
    state: State
    found: str
    advice: str = ""
