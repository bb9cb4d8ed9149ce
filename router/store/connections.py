"""Makes connections to a server of the store: to its address, or to the master that Sentinels name.

store/cluster.py (`open_client`) chooses the client that uses them, that of one server or of a Cluster.
"""

from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.maint_notifications import MaintNotificationsConfig
from redis.retry import Retry

from router import sentinel_url
from router.store.sentinel import SentinelPool


def connection_options(call_seconds: float, *, unix: bool = False) -> dict[str, Any]:
    """Return the options of every connection, as for redis-py's pool."""
    return {
        "socket_timeout": call_seconds,
        "socket_connect_timeout": call_seconds,
        "retry": Retry(NoBackoff(), 0),
        "retry_on_timeout": False,
        "health_check_interval": 0,
        "protocol": 2,
        "client_name": "twilio-router",
        "driver_info": None,  # sends no CLIENT SETINFO, which Redis 7.0 lacks
    } | ({} if unix else {"maint_notifications_config": MaintNotificationsConfig(enabled=False)})


def connection_pool(url: str, call_seconds: float) -> Any:
    """Make redis-py's pool for a `redis`, `rediss` or `unix` URL, or a `SentinelPool` for a URL with Sentinels."""
    options = connection_options(call_seconds, unix=url.startswith("unix://"))
    if url.partition("://")[0] in sentinel_url.SCHEMES:
        return SentinelPool(sentinel_url.SentinelUrl.parse(url), call_seconds, options)
    return redis.ConnectionPool.from_url(url, **options)
