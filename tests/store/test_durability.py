"""The store's settings while it runs: a store that was made unsafe is refused until it is repaired."""

from router.store.client import Client
from router.store.durability import Promise
from tests.valkey import ValkeyServer


def test_a_store_that_was_made_unsafe_is_refused_until_it_is_repaired(valkey: ValkeyServer) -> None:
    """Once a check of its settings has found that the store evicts, it is refused until that is repaired."""
    client = Client(valkey.url)
    promise = Promise(client, replicas=0, allow_volatile=True)
    client.call("PING")
    try:
        assert promise.refusal() == ""
        valkey.command("CONFIG SET maxmemory-policy allkeys-lru")
        promise.findings()
        assert "maxmemory-policy is allkeys-lru" in promise.refusal()
        valkey.command("CONFIG SET maxmemory-policy noeviction")
        assert promise.refusal() == ""
    finally:
        valkey.command("CONFIG SET maxmemory-policy noeviction")
        client.close()
