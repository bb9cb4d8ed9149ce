"""The metrics that are read from the store at each scrape: waiting, held, undelivered and unrouted messages."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias, TypeVar

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from router.errors import StoreUnavailable
from router.settings import Settings
from router.store import Store
from router.store.deliveries import DEAD_MOST
from router.store.keys import bucket

# The maximum number of targets with their own figure, by the age of their messages: each is a series in Prometheus.
TARGETS_MOST: Final = 100

_T = TypeVar("_T")
_Samples: TypeAlias = Mapping[tuple[str, ...], float]


@dataclass(frozen=True, slots=True)
class Figure:
    """A gauge: its name, its description, and its labels."""

    name: str
    help: str
    labels: tuple[str, ...] = ()

    def family(self, samples: _Samples) -> GaugeMetricFamily:
        """Return it with its values, for Prometheus."""
        family = GaugeMetricFamily(self.name, self.help, labels=self.labels)
        for values, value in samples.items():
            family.add_metric(values, value)
        return family


UP: Final = Figure(
    "router_store_up", "Whether the store answered this scrape. If not, all other metrics from the store are missing."
)
NODE_UP: Final = Figure(
    "router_store_node_up",
    "Whether a node of the Cluster answered. The figures of accounts on one that did not are left out.",
    ("node",),
)
AHEAD: Final = Figure(
    "router_store_clock_ahead_seconds",
    "How far the store's clock is ahead of the router's clock for waiting messages: near 0, unless it was set.",
)
LANES: Final = Figure("router_lanes", "Conversations with messages not done yet.")
DUE: Final = Figure("router_lanes_due", "Conversations whose next message is due and whose flow is not paused.")
OLDEST_DUE: Final = Figure(
    "router_oldest_due_seconds", "How long the next message has been due in the conversation that is due longest."
)
OLDEST: Final = Figure(
    "router_oldest_seconds",
    "Age of the oldest message that waits or is being sent. Held ones, and those of paused flows, do not count.",
)
OLDEST_OF_ACCOUNT: Final = Figure(
    "router_account_oldest_seconds", "`router_oldest_seconds` of each account.", ("account_sid",)
)
OLDEST_OF_TARGET: Final = Figure(
    "router_target_oldest_seconds",
    f"`router_oldest_seconds` of each target of an account, for the {TARGETS_MOST} with the oldest messages.",
    ("account_sid", "target"),
)
KEPT: Final = Figure("router_messages_kept", "Messages on record.", ("account_sid",))
QUEUED: Final = Figure("router_queued", "Messages not done yet.", ("account_sid",))
HELD: Final = Figure("router_held", "Messages that are held until they are released.", ("account_sid",))
UNDELIVERED: Final = Figure(
    "router_undelivered",
    f"Undelivered messages on record, without cancelled ones; of the newest {DEAD_MOST:,} that are not delivered.",
    ("account_sid",),
)
UNROUTED: Final = Figure(
    "router_unrouted",
    f"Unrouted messages on record; of the newest {DEAD_MOST:,} that are not delivered.",
    ("account_sid",),
)
FIGURES: Final = (
    UP, NODE_UP, AHEAD, LANES, DUE, OLDEST_DUE, OLDEST, OLDEST_OF_ACCOUNT, OLDEST_OF_TARGET,
    KEPT, QUEUED, HELD, UNDELIVERED, UNROUTED,
)  # fmt: skip


class StoreFigures(Collector):
    """Reads the figures from the store, at each scrape."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self._settings = settings
        self._store = store

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield all figures; only `router_store_up 0` if the store does not answer."""
        try:
            found = self._read()
        except StoreUnavailable:
            yield UP.family({(): 0})
            return
        for figure in FIGURES:
            yield figure.family(found[figure])

    def _each(
        self, names: Iterable[str], read: Callable[[str], _T], gone: dict[str, StoreUnavailable]
    ) -> dict[str, _T]:
        """Read a value for each account or bucket, except on `gone` nodes; add nodes that do not answer to them."""
        found = {}
        for name in names:
            place = self._store.promise.place(name)
            if place not in gone:
                try:
                    found[name] = read(name)
                except StoreUnavailable as error:
                    gone[place] = error
        return found

    def _read(self) -> Mapping[Figure, _Samples]:
        log, nodes = self._store.deliveries, self._store.promise.nodes()
        sids = [each.sid for each in self._settings.accounts if nodes.get(self._store.promise.place(each.sid))]
        waiting = self._store.lanes.waiting({bucket(sid) for sid in sids})
        gone: dict[str, StoreUnavailable] = {}
        counts = self._each(sids, log.counts, gone)
        backlogs = list(self._each(waiting, log.backlog, gone).values())
        ages = list(self._each(waiting, log.ages, gone).values())
        if gone and (not counts or "" in nodes):
            raise next(iter(gone.values()))
        oldest = {key: age for each in ages for key, age in each.oldest.items()}
        of_account: dict[str, float] = {}
        for (sid, _), age in oldest.items():
            of_account[sid] = max(age, of_account.get(sid, 0))
        longest = sorted(oldest.items(), key=lambda pair: -pair[1])[:TARGETS_MOST]
        return {
            UP: {(): 1},
            NODE_UP: {(name,): up for name, up in nodes.items() if name},
            AHEAD: {(): max((each.ahead for each in ages), key=abs, default=0)},
            LANES: {(): sum(each.lanes for each in backlogs)},
            DUE: {(): sum(each.due for each in backlogs)},
            OLDEST_DUE: {(): max((each.oldest for each in backlogs), default=0)},
            OLDEST: {(): max(oldest.values(), default=0)},
            OLDEST_OF_ACCOUNT: {(sid,): of_account.get(sid, 0) for sid in counts},
            OLDEST_OF_TARGET: dict(longest),
            KEPT: {(sid,): count.kept for sid, count in counts.items()},
            QUEUED: {(sid,): count.queued for sid, count in counts.items()},
            HELD: {(sid,): count.held for sid, count in counts.items()},
            UNDELIVERED: {(sid,): count.undelivered for sid, count in counts.items()},
            UNROUTED: {(sid,): count.unrouted for sid, count in counts.items()},
        }
