"""Sending many messages again: which ones, what that would do, and the work itself, which outlives its process."""

import secrets
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from router.errors import StoreUnavailable
from router.queries.control import CANCELLED
from router.queries.deliveries import DEAD, Wanted, route_of_today
from router.routing.resolve import Likelihood
from router.store import Store
from router.store.bulk_replays import BulkReplay, Entry
from router.store.deliveries import Delivery

# Messages of one replay at most: the list of them takes some 50 bytes each.
MOST: Final = 50_000
# Messages whose route of today a dry run computes: 0.2 ms each.
FORETOLD: Final = 500
RATE: Final = 50
RATE_MOST: Final = 1000
# How often a process looks whether there is a replay to do.
LOOK_SECONDS: Final = 1.0
_BREAK: Final = 20
# Messages that are put back in one step, at most: some 2 ms of the store's time. A step is a twentieth of a second.
_TOGETHER: Final = 50
_STEPS: Final = 20
# Between two renewals of the turn, in seconds; it is taken for longer.
_RENEW: Final = 3.0


@dataclass(frozen=True, slots=True)
class Group:
    """Dead messages of one reason and one flow."""

    flow_sid: str
    state: str
    error: str
    count: int
    conversations: int
    newest: int


@dataclass(frozen=True, slots=True)
class Foretold:
    """What a replay would do: to how many messages, in how many conversations.

    Of the first `checked`, `elsewhere` would go to another flow than they went to, and `nowhere` to none; `expired`
    have no content any more. `more` says that there are more than one replay takes.
    """

    count: int
    conversations: int
    checked: int
    elsewhere: int
    nowhere: int
    expired: int
    more: bool


def matching(  # noqa: PLR0913 - of whom, what, and from when to when
    store: Store, account_sid: str, wanted: Wanted, *, after: int = 0, before: int = 0, until: int
) -> Iterator[Delivery]:
    """Walk the dead messages that a filter takes, the oldest first; what an operator cancelled is left out.

    Args:
        store: the store.
        account_sid: the account of the messages.
        wanted: the filter.
        after: when they were accepted at the earliest, in ms since 1970.
        before: the end of that time; 0 for none.
        until: when they became undelivered or unrouted at the latest: with it, the same messages are found later.
    """
    for number, each in enumerate(store.deliveries.oldest(account_sid, until=until)):
        if number % _BREAK == 0:
            time.sleep(0)  # messages are taken in between
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
    """Does the replays that run, of the accounts of this process; one process at a time does one.

    Args:
        store: the store.
        likelihood: says how well a text fits languages.
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
                pass  # it goes on where it was when the store is back
            except Exception as error:  # noqa: BLE001 - a fault must not end the replays for good
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
                replays.put_back(account_sid, job, routed)  # where it was stopped meanwhile, the next round ends it
                due = max(due, time.monotonic() - 1.0) + len(entries) / job.rate
        finally:
            replays.end_turn(account_sid, self._token)

    def _routed(self, account_sid: str, job: BulkReplay, entries: Sequence[Entry]) -> list[Entry]:
        """Route by the current flows those messages that never had a flow or, where it is wanted, all."""
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
