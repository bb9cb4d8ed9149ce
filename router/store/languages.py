"""The languages that flows name, to decide which language models are loaded.

A language is kept even when no flow names it any more: an unused model costs memory, but has no effect on messages.
"""

from collections.abc import Iterable

from router.errors import StoreUnavailable
from router.store.client import Client
from router.store.keys import languages


class Languages:
    """The languages of the flows of some buckets, as codes (`es`, `gsw`)."""

    def __init__(self, client: Client, buckets: Iterable[str]) -> None:
        self._client = client
        self._buckets = tuple(buckets)

    def named(self) -> frozenset[str]:
        """Return the languages that flows name or have named, without those on Cluster nodes that do not answer."""
        replies = self._client.answers([("SMEMBERS", languages(tag)) for tag in self._buckets])
        answered = [codes for codes in replies if not isinstance(codes, StoreUnavailable)]
        return frozenset(code.decode() for codes in answered for code in codes)
