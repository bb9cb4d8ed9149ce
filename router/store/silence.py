"""For how long a process has not heard of the store, by its own monotonic clock: what tells an outage from a step.

The store's clock may be set while messages wait. What the process lived through has passed; what the store's clock says
beyond that has not. `clock.lua` goes by it.
"""

import time

from router.store.keys import bucket


class Silence:
    """When each bucket answered last."""

    def __init__(self) -> None:
        self._answered: dict[str, float] = {}

    def ms(self, account_sid: str) -> int:
        """Return the milliseconds since the call was sent that was answered last, -1 where none was."""
        answered = self._answered.get(bucket(account_sid))
        return -1 if answered is None else int((time.monotonic() - answered) * 1000)

    def end(self, account_sid: str, sent: float) -> None:
        """Note that a call was answered that was sent at `sent`, in monotonic seconds."""
        tag = bucket(account_sid)
        self._answered[tag] = max(sent, self._answered.get(tag, sent))
