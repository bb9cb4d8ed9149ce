"""Which languages flows name, so that the models for their texts are loaded.

Languages are kept, also when no flow names them any more: that a model is loaded in vain costs memory, never a message.
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
        """Return those that flows name, or once named."""
        found = self._client.calls([("SMEMBERS", languages(tag)) for tag in self._buckets])
        return frozenset(code.decode() for codes in found for code in codes)
