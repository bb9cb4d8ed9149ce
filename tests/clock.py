"""A hand on the store's clock."""

from collections.abc import Callable
from typing import Any


def pass_time(call: Callable[..., Any], tag: str, seconds: float) -> None:
    """Let it be later in a bucket: all that is due there, and every lease, comes due earlier by as much.

    Nothing may be on its way, for the clock of who holds a lease stands still.
    """
    for key in (f"leases:{{{tag}}}", f"due:{{{tag}}}", *call("KEYS", f"due:{{{tag}}}:*")):
        for member in call("ZRANGE", key, 0, -1):
            call("ZINCRBY", key, -1000 * seconds, member)
