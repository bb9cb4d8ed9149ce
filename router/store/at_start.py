"""The data that a starting router reads from the store before it forks its workers.

A short-lived process reads it. It imports only these few modules, in a third of the time of the complete store.
"""

from router.errors import StoreUnavailable
from router.settings import Settings
from router.store.cluster import open_client
from router.store.keys import AccountKeys, bucket
from router.store.languages import Languages


class StoreAtStart:
    """The store of the settings, which must have a `redis_url`."""

    def __init__(self, settings: Settings) -> None:
        self._client = open_client(settings.redis_url or "")
        self._account_sids = [account.sid for account in settings.accounts]

    def languages(self) -> list[str]:
        """Return the languages that flows name, sorted."""
        return sorted(Languages(self._client, {bucket(sid) for sid in self._account_sids}).named())

    def has_flows(self) -> bool:
        """Return whether any account has flows; accounts of Cluster nodes that do not answer are not counted."""
        replies = self._client.answers([("EXISTS", AccountKeys(sid).flows) for sid in self._account_sids])
        return any(reply for reply in replies if not isinstance(reply, StoreUnavailable))
