"""Watches the newest messages of some accounts: which are new, and which have changed since the last call."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Final

from router.errors import StoreUnavailable
from router.queries.delivery_filter import Wanted
from router.settings import Account
from router.store import Store
from router.store.deliveries import Delivery

# The number of newest messages whose changes are watched, and the maximum number of new messages in one result.
WATCHED: Final = 500
NEW_MOST: Final = 2000


class Watch:
    """Watches the newest messages of some accounts.

    `skipped` is the number of new messages that the last `look` found but did not return.
    """

    def __init__(self, store: Store, accounts: Sequence[Account]) -> None:
        self._store = store
        self._since = {account.sid: 0 for account in accounts}  # ms since 1970
        self._seen = {account.sid: set[str]() for account in accounts}  # SIDs of the latest millisecond
        self._known: dict[tuple[str, str], tuple[object, ...]] = {}
        self.skipped = 0

    def begin(self, wanted: Wanted, lines: int) -> list[Delivery]:
        """Return the newest wanted messages in their order; `look` returns the following ones."""
        shown: list[Delivery] = []
        for sid in self._since:
            newest = list(islice(self._arrived(sid), WATCHED))
            self._remember(sid, reversed(newest))
            shown += [each for each in newest if wanted.takes(each)]
        shown.sort(key=_accepted)
        return shown[-lines:] if lines else []

    def look(self) -> list[Delivery]:
        """Return the messages that are new or have changed since the last call; the new ones last and in order."""
        changed = list(self._changed())
        new: list[Delivery] = []
        self.skipped = 0
        for sid in self._since:
            found = list(islice(self._arrived(sid), NEW_MOST + 1))
            self.skipped += max(0, len(found) - NEW_MOST)
            self._remember(sid, reversed(found[:NEW_MOST]))
            new += reversed(found[:NEW_MOST])
        return changed + sorted(new, key=_accepted)

    def _changed(self) -> Iterator[Delivery]:
        """Iterate over the watched messages that have changed since the last call; drop those without a record."""
        for account_sid in self._since:
            watched = {sid: marks for (account, sid), marks in self._known.items() if account == account_sid}
            now = self._store.deliveries.get_all(account_sid, list(watched))
            for sid, marks in watched.items():
                if sid not in now:
                    del self._known[account_sid, sid]
                elif _marks(now[sid]) != marks:
                    self._known[account_sid, sid] = _marks(now[sid])
                    yield now[sid]

    def _arrived(self, account_sid: str) -> Iterator[Delivery]:
        """Iterate over an account's messages since the last call, from the newest; the first step marks all as seen."""
        since, seen = self._since[account_sid], self._seen[account_sid]
        try:
            for each in self._store.deliveries.newest(account_sid, after=since):
                if each.accepted_at > self._since[account_sid]:
                    self._since[account_sid], self._seen[account_sid] = each.accepted_at, set()
                if each.accepted_at == self._since[account_sid]:
                    self._seen[account_sid].add(each.message_sid)
                if each.accepted_at > since or each.message_sid not in seen:
                    yield each
        except StoreUnavailable:
            self._since[account_sid], self._seen[account_sid] = since, seen  # the next call returns them again
            raise

    def _remember(self, account_sid: str, deliveries: Iterable[Delivery]) -> None:
        """Watch these messages too, and stop watching the oldest ones if there are too many."""
        for delivery in deliveries:
            self._known[delivery.account_sid, delivery.message_sid] = _marks(delivery)
        own = [key for key in self._known if key[0] == account_sid]
        for key in own[: max(0, len(own) - WATCHED)]:
            del self._known[key]


def _accepted(delivery: Delivery) -> int:
    return delivery.accepted_at


def _marks(delivery: Delivery) -> tuple[object, ...]:
    """Return the values whose change is reported; the state `sending` is too short to be shown."""
    state = "queued" if delivery.state == "sending" else delivery.state
    tries = len(delivery.history)
    return delivery.accepted_at, state, tries, delivery.round, delivery.error, delivery.duplicates
