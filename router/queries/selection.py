"""The messages that an action takes: those that match a filter, without cancelled ones, the oldest first."""

import time
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from router.queries.delivery_filter import DEAD, Wanted
from router.store import Store
from router.store.deliveries import CANCELLED, Delivery

# After so many messages this process may accept others.
_BREAK: Final = 20


@dataclass(frozen=True, slots=True)
class Found:
    """A message that a filter selected, without its content: there may be very many."""

    accepted_at: int
    account_sid: str
    message_sid: str
    state: str


def find(  # noqa: PLR0913 - the criteria, the store, and how progress is shown
    account_sids: Iterable[str],
    wanted: Wanted,
    states: Collection[str],
    store: Store,
    *,
    since: int,
    watch: Callable[[Iterable[Delivery]], Iterable[Delivery]] = iter,
) -> list[Found]:
    """Return the messages of some accounts that match a filter, the oldest first: the order to replay them in.

    Cancelled messages are left out, so that a replay of undelivered messages does not send them.

    Args:
        account_sids: the accounts.
        wanted: the filter.
        states: the states to include, unless the filter names one.
        store: the store.
        since: the earliest time of acceptance, in ms since 1970.
        watch: wraps the iteration over the messages, to show the progress.
    """
    states = {wanted.status} if wanted.status else set(states)
    found = []
    for account_sid in account_sids:
        dead = states <= DEAD  # they are few, and have an index of their own
        walk = store.deliveries.oldest if dead else store.deliveries.newest
        theirs = [
            Found(each.accepted_at, each.account_sid, each.message_sid, each.state)
            for each in watch(walk(account_sid, after=since))
            if each.accepted_at >= since and each.state in states and each.error != CANCELLED and wanted.takes(each)
        ]
        found += theirs if dead else theirs[::-1]
    return sorted(found, key=lambda each: each.accepted_at)


def matching(  # noqa: PLR0913 - an account, a filter and three times
    store: Store, account_sid: str, wanted: Wanted, *, after: int = 0, before: int = 0, until: int
) -> Iterator[Delivery]:
    """Iterate over the dead messages that match a filter, the oldest first, without those that an operator cancelled.

    Args:
        store: the store.
        account_sid: the account of the messages.
        wanted: the filter.
        after: the earliest time of acceptance, in ms since 1970.
        before: the end of the time of acceptance; 0 for none.
        until: the latest time at which they became undelivered or unrouted: later calls find the same messages.
    """
    for number, each in enumerate(store.deliveries.oldest(account_sid, until=until)):
        if number % _BREAK == 0:
            time.sleep(0)  # lets this process accept messages
        if each.state in DEAD and each.error != CANCELLED and each.accepted_at >= after:
            if before and each.accepted_at >= before:
                continue
            if wanted.takes(each):
                yield each
