"""A cache of address entries for one process. `accept` detects stale entries by comparing their versions."""

from collections import OrderedDict
from collections.abc import Sequence

from router.routing.resolve import Entry
from router.store.flows import FlowStore


class EntryCache:
    """The most recently used entries, at most `size`; entries without flows are cached, too."""

    def __init__(self, flows: FlowStore, *, size: int = 20_000) -> None:
        self._flows = flows
        self._size = size
        # The entry used last is at the end. Not a dict: after many removals, finding its first key is slow.
        self._entries: OrderedDict[tuple[str, str], Entry] = OrderedDict()

    def get(self, account_sid: str, identities: Sequence[str]) -> tuple[Entry, ...]:
        """Return the entries of some identities; those that are not cached are read from the store."""
        found = {}
        for identity in identities:
            entry = self._entries.get((account_sid, identity))
            if entry is not None:
                self._entries.move_to_end((account_sid, identity))
                found[identity] = entry
        if missing := [identity for identity in identities if identity not in found]:
            found |= {entry.identity: entry for entry in self.read(account_sid, missing)}
        return tuple(found[identity] for identity in identities)

    def read(self, account_sid: str, identities: Sequence[str]) -> tuple[Entry, ...]:
        """Read the entries from the store, and cache them."""
        entries = self._flows.entries(account_sid, identities)
        for entry in entries:
            self._entries[account_sid, entry.identity] = entry
            self._entries.move_to_end((account_sid, entry.identity))
        while len(self._entries) > self._size:
            self._entries.popitem(last=False)
        return entries
