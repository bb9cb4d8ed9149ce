"""Bulk replay: selects messages, previews the result, and sends them again, even if a process ends meanwhile."""

import secrets
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from router.errors import StoreUnavailable
from router.queries.control import CANCELLED
from router.queries.delivery_filter import DEAD, Wanted
from router.queries.route import route_of_today
from router.routing.resolve import Likelihood
from router.store import Store
from router.store.bulk_replays import BulkReplay, Entry
from router.store.deliveries import Delivery

# The maximum number of messages of a replay: in its list each takes about 50 bytes.
MOST: Final = 50_000
# The maximum number of messages that a dry run routes by the current flows: 0.2 ms each.
FORETOLD: Final = 500
RATE: Final = 50
RATE_MOST: Final = 1000
# Seconds between two checks for a replay to run.
LOOK_SECONDS: Final = 1.0
_BREAK: Final = 20
# The maximum number of messages put back in one step, about 2 ms of the store's time; and the steps in a second.
_TOGETHER: Final = 50
_STEPS: Final = 20
# Seconds between two renewals of the lock of a replay; it expires later.
_RENEW: Final = 3.0


@dataclass(frozen=True, slots=True)
class Group:
    """Dead messages with the same reason and flow."""

    flow_sid: str
    state: str
    error: str
    count: int
    conversations: int
    newest: int


@dataclass(frozen=True, slots=True)
class Foretold:
    """The result that a replay would have: the numbers of messages and of their conversations.

    Of the first `checked` messages, `elsewhere` would go to a flow other than before, and `nowhere` to none; `expired`
    is the number of messages without content. `more` is whether more messages match than a replay takes.
    """

    count: int
    conversations: int
    checked: int
    elsewhere: int
    nowhere: int
    expired: int
    more: bool


def matching(  # noqa: PLR0913 - an account, a filter and three times
    store: Store, account_sid: str, wanted: Wanted, *, after: int = 0, before: int = 0, until: int
) -> Iterator[Delivery]:
    """Iterate over the dead messages that match a filter, the oldest first, without those that an operator cancelled.

    Args:
        store: the store.
        account_sid: the account of the messages.
        wanted: the filter.
        after: the earliest time of acceptance, in ms since 1970.
        before: the end of the time of acceptance; 0 for none.
        until: the latest time at which they became undelivered or unrouted: later calls find the same messages.
    """
    for number, each in enumerate(store.deliveries.oldest(account_sid, until=until)):
        if number % _BREAK == 0:
            time.sleep(0)  # lets this process accept messages
        if each.state in DEAD and each.error != CANCELLED and each.accepted_at >= after:
            if before and each.accepted_at >= before:
                continue
            if wanted.takes(each):
                yield each


def grouped(deliveries: Iterable[Delivery]) -> list[Group]:
    """Group dead messages by flow and reason, the largest group first."""
    groups: dict[tuple[str, str, str], list[Delivery]] = {}
    for each in deliveries:
        groups.setdefault((each.flow_sid, each.state, each.error), []).append(each)
    found = [
        Group(*key, len(own), len({each.lane for each in own}), max(each.accepted_at for each in own))
        for key, own in groups.items()
    ]
    return sorted(found, key=lambda group: -group.count)


def foretell(
    store: Store, likelihood: Likelihood, deliveries: Sequence[Delivery], *, current: bool, more: bool = False
) -> Foretold:
    """Return what a replay of these messages would do; nothing is replayed."""
    elsewhere = nowhere = 0
    checked = deliveries[:FORETOLD]
    there: dict[str, bool] = {}
    for number, each in enumerate(checked):
        if number % _BREAK == 0:
            time.sleep(0)
        if not each.raw:
            continue
        if current or not each.flow_sid:
            flow = route_of_today(each, store, likelihood).flow
            nowhere += flow is None
            elsewhere += flow is not None and flow.sid != each.flow_sid
        else:
            if each.flow_sid not in there:
                own = store.flows.get(each.account_sid, each.flow_sid)
                there[each.flow_sid] = own is not None and own.enabled
            nowhere += not there[each.flow_sid]
    return Foretold(
        count=len(deliveries),
        conversations=len({each.lane for each in deliveries}),
        checked=len(checked),
        elsewhere=elsewhere,
        nowhere=nowhere,
        expired=sum(not each.raw for each in deliveries),
        more=more,
    )


class BulkReplayer:
    """Runs the replays of this process's accounts; a lock ensures that only one process runs the replay of an account.

    Args:
        store: the store.
        likelihood: computes how well a text fits languages.
        account_sids: the accounts.
        pause: sleeps, for seconds.
        fault: called with a description of each error.
    """

    def __init__(
        self,
        store: Store,
        likelihood: Likelihood,
        account_sids: Collection[str],
        pause: Callable[[float], None],
        fault: Callable[[str], None],
    ) -> None:
        self._store = store
        self._likelihood = likelihood
        self._account_sids = frozenset(account_sids)
        self._pause = pause
        self._fault = fault
        self._token = secrets.token_hex(8)

    def run(self, stopping: Callable[[], bool]) -> None:
        """Look for replays until the process stops."""
        while not stopping():
            try:
                for sid in self._store.bulk_replays.running() & self._account_sids:
                    self._do(sid, stopping)
            except StoreUnavailable:
                pass  # the replay continues when the store answers again
            except Exception as error:  # noqa: BLE001 - one error must not end all replays
                self._fault(f"bulk replay: {type(error).__name__}: {error}")
            self._pause(LOOK_SECONDS)

    def _do(self, account_sid: str, stopping: Callable[[], bool]) -> None:
        replays = self._store.bulk_replays
        if not replays.take_turn(account_sid, self._token):
            return
        renewed = due = time.monotonic()
        try:
            while not stopping():
                if time.monotonic() > renewed + _RENEW:
                    if not replays.take_turn(account_sid, self._token):
                        return
                    renewed = time.monotonic()
                job = replays.get(account_sid)
                many = max(1, min(_TOGETHER, job.rate // _STEPS)) if job else 0
                entries = replays.next(account_sid, job, many) if job and job.state == "running" else []
                if job is None or not entries:
                    self._end(account_sid, job)
                    return
                routed = self._routed(account_sid, job, entries)
                self._pause(max(0.0, due - time.monotonic()))
                replays.put_back(account_sid, job, routed)  # if it was stopped meanwhile, the next iteration ends it
                due = max(due, time.monotonic() - 1.0) + len(entries) / job.rate
        finally:
            replays.end_turn(account_sid, self._token)

    def _routed(self, account_sid: str, job: BulkReplay, entries: Sequence[Entry]) -> list[Entry]:
        """Route the messages that never had a flow, or all if `job.current`, by the current flows."""
        found = self._store.deliveries.get_all(account_sid, [each.message_sid for each in entries])
        return [self._route(found.get(each.message_sid), job, each) for each in entries]

    def _route(self, delivery: Delivery | None, job: BulkReplay, entry: Entry) -> Entry:
        if delivery is None or not (job.current or not delivery.flow_sid):
            return entry
        if not delivery.raw:
            return replace(entry, known="gone")
        route = route_of_today(delivery, self._store, self._likelihood)
        if route.flow is None:
            return replace(entry, known="unrouted")
        return replace(entry, flow_sid=route.flow.sid, language=route.language)

    def _end(self, account_sid: str, job: BulkReplay | None) -> None:
        if job is None or not job.runs:
            self._store.bulk_replays.forget(account_sid)
            return
        state = "stopped" if job.state == "stopping" else "done"
        self._store.bulk_replays.end(account_sid, job, state, now=int(time.time() * 1000))
        self._store.changes.note(account_sid, job.by, f"replay of many {state}", **job.results)
