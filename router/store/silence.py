"""The time since a process last heard from the store, by its own monotonic clock.

The store's clock may be set while messages wait. With this time, `clock.lua` distinguishes such a step from an outage:
the due clock advances by this time at most, plus a second.
"""

import time

from router.store.keys import bucket


class Silence:
    """The time of each bucket's last answer."""

    def __init__(self) -> None:
        self._answered: dict[str, float] = {}

    def ms(self, account_sid: str) -> int:
        """Return the milliseconds since the last answered call was sent, -1 if there was none."""
        answered = self._answered.get(bucket(account_sid))
        return -1 if answered is None else int((time.monotonic() - answered) * 1000)

    def end(self, account_sid: str, sent: float) -> None:
        """Record that a call was answered which was sent at `sent`, in monotonic seconds."""
        tag = bucket(account_sid)
        self._answered[tag] = max(sent, self._answered.get(tag, sent))
