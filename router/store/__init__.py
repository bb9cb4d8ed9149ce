"""The store: Flex Flows, lanes and deliveries in Redis. The only importer of the Redis client.

The scheme of the store's URL decides the topology: one server, a Cluster, or Sentinels. settings/value.py (`store_url`)
checks the URL, with the `*_url` modules beside this package; a new module of these also needs its layer in
pyproject.toml. `cluster` (`open_client`) makes the client: that of a Cluster, which uses cluster_slots.py, or that of
one server (`client`). `connections` (`connection_pool`) connects to a server by its address, or through `sentinel`. All
keys of an account have one hash tag, as a Cluster requires. `durability` checks how safe the server's data is.

To store something new, add a module here: a field of `Store`, created in `connect` (store.py), with its keys in `keys`.
The fields of a web chat are in `chat_record`; scripts do not read most of them.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from router.store.store import Store, connect

__all__ = ["Store", "connect"]


def __getattr__(name: str) -> Any:
    """Import `Store` and `connect` on first use, because `at_start` needs only half of what they import."""
    if name in __all__:
        return getattr(import_module("router.store.store"), name)
    raise AttributeError(name)
