"""Polls the store for newly accepted messages, of all processes."""

from collections.abc import Iterator, Sequence

from router.errors import StoreUnavailable
from router.settings import Account
from router.store import Store
from router.store.deliveries import Delivery


class Arrivals:
    """The messages of some accounts, and then the new ones."""

    def __init__(self, store: Store, accounts: Sequence[Account]) -> None:
        self._store = store
        self._since = {account.sid: 0 for account in accounts}  # ms since 1970
        self._seen: dict[str, set[str]] = {account.sid: set() for account in accounts}  # SIDs of the latest millisecond

    def look(self, account_sid: str) -> Iterator[Delivery]:
        """Walk an account's messages since the last call, from the newest; its first step marks all as seen."""
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
