"""Which languages flows name, so that the models for their texts are loaded when the router starts or is reloaded.

Languages are kept, also when no flow names them any more: that a model is loaded in vain costs memory, never a message.
"""

from collections.abc import Iterable

from router.store.client import Client
from router.store.keys import bucket, languages, loaded


class Languages:
    """The languages of the flows of some buckets, as codes (`es`, `gsw`)."""

    def __init__(self, client: Client, buckets: Iterable[str]) -> None:
        self._client = client
        self._buckets = tuple(buckets)

    def load(self) -> frozenset[str]:
        """Return those that flows name, and note that the router loads what models there are for them."""
        named = self.named()
        for tag in self._buckets:
            self._client.call("SUNIONSTORE", loaded(tag), languages(tag), writes=True)
        return named

    def named(self) -> frozenset[str]:
        """Return those that flows name, or once named."""
        return self._read(languages(tag) for tag in self._buckets)

    def behind(self) -> frozenset[str]:
        """Return those that flows have named since the router last loaded its models."""
        found = (self._client.call("SDIFF", languages(tag), loaded(tag)) for tag in self._buckets)
        return frozenset(code.decode() for codes in found for code in codes)

    def loaded(self, account_sid: str) -> frozenset[str]:
        """Return the languages that flows of this account's bucket named when the router last loaded its models."""
        return self._read([loaded(bucket(account_sid))])

    def waiting(self, account_sid: str, tags: Iterable[str]) -> tuple[str, ...]:
        """Return those of some tags that the running router has loaded no model for, though there may be one."""
        loaded = self.loaded(account_sid)
        return tuple(tag for tag in dict.fromkeys(tags) if tag.partition("-")[0] not in loaded)

    def _read(self, keys: Iterable[str]) -> frozenset[str]:
        return frozenset(code.decode() for key in keys for code in self._client.call("SMEMBERS", key))
