"""What a starting router asks the store before it forks its workers.

A process of its own asks, and ends: it imports these few modules in place of the whole store, a third of its time.
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
        """Return whether an account has flows; of a Cluster, accounts whose node does not answer do not count."""
        found = self._client.answers([("EXISTS", AccountKeys(sid).flows) for sid in self._account_sids])
        return any(each for each in found if not isinstance(each, StoreUnavailable))
