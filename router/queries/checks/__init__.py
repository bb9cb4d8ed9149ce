"""The checks of `router doctor` and of the console: one function for each part of a set-up, which yields findings."""

from dataclasses import dataclass
from typing import Literal

State = Literal["good", "look", "bad", "skipped"]
"""Good; worth a look; to be repaired, for which the command exits with 1; or not checked, for the reason given."""


@dataclass(frozen=True, slots=True)
class Check:
    """One finding: what was checked, its state, what was found, and what to do if it is not good."""

    name: str
    state: State
    found: str
    advice: str = ""
