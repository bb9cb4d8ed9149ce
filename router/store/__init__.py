"""The store: Flex Flows, lanes and deliveries in Redis. The only importer of the Redis client.

The URL sets the kind of store, its topology. settings.py (`_redis_url`) checks it, with the `*_url` modules beside this
package; a new one also needs its layer in pyproject.toml. `cluster` (`open_client`) chooses between a Cluster, which it
serves with cluster_slots.py, and the one server of `client`; `connections` (`connection_pool`) chooses how that server
is reached: by its address, or through `sentinel`. All keys of an account have one hash tag, as a Cluster requires.
`durability` asks the server how safe its data is.

To store something new, add a module here: a field of `Store`, created in `connect` (store.py), with its keys in `keys`.
What a web chat holds is in `chat_record`; scripts pass it through.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from router.store.store import Store, connect

__all__ = ["Store", "connect"]


def __getattr__(name: str) -> Any:
    """Import the parts of the store when they are first used: `at_start` needs two of them, and half of the imports."""
    if name in __all__:
        return getattr(import_module("router.store.store"), name)
    raise AttributeError(name)
