"""The languages that flows name, to decide which language models are loaded.

A language is kept even when no flow names it any more: an unused model costs memory, but has no effect on messages.
"""

from collections.abc import Iterable

from router.store.client import Client
from router.store.keys import languages


class Languages:
    """The languages of the flows of some buckets, as codes (`es`, `gsw`)."""

    def __init__(self, client: Client, buckets: Iterable[str]) -> None:
        self._client = client
        self._buckets = tuple(buckets)

    def named(self) -> frozenset[str]:
        """Return the languages that flows name or have named."""
        found = self._client.calls([("SMEMBERS", languages(tag)) for tag in self._buckets])
        return frozenset(code.decode() for codes in found for code in codes)
