"""The store as one object: its parts, and the connections that they share."""

from collections.abc import Iterable
from dataclasses import dataclass

from router.settings import Settings
from router.store.bindings import Bindings
from router.store.bulk_replays import BulkReplays
from router.store.changes import ChangeLog
from router.store.chat_events import ChatEvents
from router.store.chats import Chats
from router.store.cluster import open_client
from router.store.console_sessions import Sessions
from router.store.contacts import Contacts
from router.store.deliveries import DeliveryLog
from router.store.durability import Promise
from router.store.failures import Failures
from router.store.flows import FlowStore
from router.store.keys import bucket
from router.store.lanes import Lanes
from router.store.languages import Languages
from router.store.outages import Outages
from router.store.processes import Processes
from router.store.proxied import Proxied
from router.store.refusals import Refusals
from router.store.upkeep import Upkeep

_HOUR = 3600.0
_DAY = 24 * _HOUR


@dataclass(frozen=True, slots=True)
class Store:
    """The interface of the store for the other packages.

    There are two connections: one for the calls that a webhook or an attempt waits for, and one for administration and
    clean-up, so that long lists do not delay messages.
    """

    flows: FlowStore
    lanes: Lanes
    deliveries: DeliveryLog
    promise: Promise
    routing: FlowStore
    changes: ChangeLog
    chats: Chats
    chat_events: ChatEvents
    contacts: Contacts
    failures: Failures
    refusals: Refusals
    languages: Languages
    outages: Outages
    processes: Processes
    bindings: Bindings
    sessions: Sessions
    proxied: Proxied
    bulk_replays: BulkReplays
    upkeep: Upkeep
    buckets: tuple[str, ...]

    def close(self) -> None:
        """Drop the connections."""
        self.lanes.close()
        self.flows.close()


def connect(settings: Settings) -> Store:
    """Make the store of `settings.redis_url`; connections are made when they are first needed."""
    if settings.redis_url is None:
        msg = "connect needs a redis_url"
        raise ValueError(msg)
    fast = open_client(settings.redis_url, replicas=settings.redis_replicas)
    slow = open_client(settings.redis_url)
    buckets = _buckets(account.sid for account in settings.accounts)
    return Store(
        flows=FlowStore(slow),
        lanes=Lanes(
            fast,
            lease_seconds=settings.lease_seconds,
            delivered_seconds=settings.delivered_hours * _HOUR,
            retention_seconds=settings.retention_days * _DAY,
            sticky_seconds=settings.sticky_hours * _HOUR,
        ),
        deliveries=DeliveryLog(slow),
        promise=Promise(fast, replicas=settings.redis_replicas, allow_volatile=settings.allow_volatile_store),
        routing=FlowStore(fast),
        changes=ChangeLog(slow),
        chats=Chats(fast, retention_seconds=settings.retention_days * _DAY),
        chat_events=ChatEvents(slow, buckets),
        contacts=Contacts(
            slow,
            sticky_hours=settings.sticky_hours,
            keep_seconds=max(settings.sticky_hours * _HOUR, settings.retention_days * _DAY),
        ),
        failures=Failures(slow),
        refusals=Refusals(slow, [account.sid for account in settings.accounts]),
        languages=Languages(slow, buckets),
        outages=Outages(slow, keep_seconds=settings.retention_days * _DAY),
        upkeep=Upkeep(
            slow,
            [account.sid for account in settings.accounts],
            delivered_seconds=settings.delivered_hours * _HOUR,
            retention_seconds=settings.retention_days * _DAY,
        ),
        processes=Processes(slow),
        bindings=Bindings(fast),
        sessions=Sessions(slow),
        proxied=Proxied(fast),
        bulk_replays=BulkReplays(slow, keep_seconds=settings.retention_days * _DAY),
        buckets=buckets,
    )


def _buckets(account_sids: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted({bucket(sid) for sid in account_sids}))
