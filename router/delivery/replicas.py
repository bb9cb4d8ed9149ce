"""Messages that replicas must confirm (ROUTER_REDIS_REPLICAS).

A message that is stored but not confirmed is not safe: Twilio gets a 503, and may give the message to another program.
So the process takes it back, and the message is in doubt: listed, but not sent. `Intake.take` confirms it when it is
received again, by a second webhook or by recovery; an operator confirms it with a replay.
"""

import time
from contextlib import suppress
from typing import Final

import gevent

from router.errors import StoreUnavailable
from router.store.lanes import Lanes, Written

# The 503 waits at most until this many seconds after the arrival for the store to mark the message as in doubt. The
# process repeats the call for longer than that.
ANSWER_SECONDS: Final = 2.3
TRY_AGAIN_SECONDS: Final = 0.1
# While replicas are missing, a process asks for them once in this many seconds, and waits this long for the answer.
ASK_AGAIN_SECONDS: Final = 0.5
ASK_SECONDS: Final = 0.1
REASON: Final = (
    "in doubt: no replica confirmed it, so Twilio was answered 503 and may have given it to another program; "
    "it is sent if it comes again, or is replayed"
)


class Replicas:
    """The replicas as one process sees them."""

    def __init__(self, lanes: Lanes) -> None:
        self._lanes = lanes
        # Servers whose replicas are missing, by name, with the time of the last check in monotonic seconds.
        self._asked: dict[str, float] = {}

    def check(self, account_sid: str) -> None:
        """Raise StoreUnavailable while replicas are missing: a message that is stored now would be in doubt."""
        if not self._asked:
            return
        place = self._lanes.place(account_sid)
        if time.monotonic() - self._asked.get(place, float("inf")) > ASK_AGAIN_SECONDS:
            self._asked[place] = time.monotonic()
            if self._lanes.is_confirmed(account_sid, ASK_SECONDS):
                self._asked.pop(place, None)
        if place in self._asked:
            raise StoreUnavailable("the store's replicas are missing; the message is not accepted")

    def confirm(self, written: Written) -> None:
        """Allow the router to send a confirmed message that has no lease; until then it is not due."""
        if self._lanes.confirms:
            gevent.spawn(self._confirm, written)

    def take_back(self, written: Written, arrived: float) -> None:
        """Mark an unconfirmed message as in doubt, if possible before its 503 is sent."""
        now = time.monotonic()
        with suppress(StoreUnavailable):  # while its server is unknown, the account's messages are refused in any case
            self._asked[self._lanes.place(written.account_sid)] = now
        greenlet = gevent.spawn(self._doubt, written, now + self._lanes.lease_seconds)
        greenlet.join(max(0.0, arrived + ANSWER_SECONDS - time.monotonic()))

    def _confirm(self, written: Written) -> None:
        with suppress(StoreUnavailable):  # then the message is due when the time of a lease is over
            self._lanes.confirm(written)

    def _doubt(self, written: Written, until: float) -> None:
        while time.monotonic() < until:
            with suppress(StoreUnavailable):
                self._lanes.doubt(written, REASON)
                return
            gevent.sleep(TRY_AGAIN_SECONDS)
