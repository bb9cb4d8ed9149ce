"""A cache of address entries for one process. `accept` detects stale entries by comparing their versions."""

from collections.abc import Sequence

from router.routing.resolve import Entry
from router.store.flows import FlowStore


class EntryCache:
    """The most recently used entries, at most `size`; entries without flows are cached, too."""

    def __init__(self, flows: FlowStore, *, size: int = 20_000) -> None:
        self._flows = flows
        self._size = size
        self._entries: dict[tuple[str, str], Entry] = {}

    def get(self, account_sid: str, identities: Sequence[str]) -> tuple[Entry, ...]:
        """Return the entries of some identities; all are read from the store when one of them is not cached."""
        found = []
        for identity in identities:
            key = (account_sid, identity)
            entry = self._entries.pop(key, None)
            if entry is None:
                return self.read(account_sid, identities)
            self._entries[key] = entry  # moves it to the end: dropped last
            found.append(entry)
        return tuple(found)

    def read(self, account_sid: str, identities: Sequence[str]) -> tuple[Entry, ...]:
        """Read the entries from the store, and cache them."""
        entries = self._flows.entries(account_sid, identities)
        for entry in entries:
            self._entries.pop((account_sid, entry.identity), None)
            self._entries[account_sid, entry.identity] = entry
        while len(self._entries) > self._size:
            del self._entries[next(iter(self._entries))]
        return entries
