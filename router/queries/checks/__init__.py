"""The checks of `router doctor` and of the console: one function for each part of a set-up, which yields findings."""

from dataclasses import dataclass
from typing import Literal

State = Literal["good", "look", "bad", "skipped"]
"""Good; worth a look; to be mended, which is what the exit status tells; or not looked at, with the reason."""


@dataclass(frozen=True, slots=True)
class Check:
    """One finding: what was looked at, how it is, and what to do when it is not good."""

    name: str
    state: State
    found: str
    advice: str = ""
