"""Upkeep: removes obsolete data from the store, in small steps that do not delay messages."""

from collections.abc import Callable
from typing import Final

import gevent

from router.errors import StoreUnavailable, unexpected
from router.store import Store

# How often a process tries to get its turn; there is one turn every `store.upkeep.TURN_SECONDS`.
LOOK_SECONDS: Final = 60.0
# The pause between two steps, of about a millisecond each: upkeep takes a tenth of the store's time at most, and still
# removes about 20,000 entries a second.
PAUSE_SECONDS: Final = 0.01


def keep_up(
    store: Store,
    *,
    stopping: Callable[[], bool],
    forgotten: Callable[[str], None],
    untold: Callable[[str, str], None],
    fault: Callable[[str], None],
) -> None:
    """Do a round of upkeep whenever it is this process's turn.

    Args:
        store: the store.
        stopping: returns whether the process is stopping; then the upkeep ends.
        forgotten: called with the SID of an account that was removed from the store.
        untold: as in `store.upkeep.round`.
        fault: called with a description of each error.
    """
    while not stopping():
        try:
            for account_sid in store.upkeep.round(untold):
                if account_sid:
                    forgotten(account_sid)
                if stopping():
                    return
                gevent.sleep(PAUSE_SECONDS)
        except StoreUnavailable:
            pass  # the next round does the rest
        except Exception as error:  # noqa: BLE001 - an error must not end the upkeep
            fault(f"upkeep: {unexpected(error)}")
        gevent.sleep(LOOK_SECONDS)
