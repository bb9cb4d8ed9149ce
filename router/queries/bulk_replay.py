"""Bulk replay: sends many messages again, even if a process ends meanwhile."""

import secrets
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Final

from router.errors import StoreUnavailable, unexpected
from router.queries.route import route_of_today
from router.routing.resolve import Likelihood
from router.store import Store
from router.store.bulk_replays import BulkReplay, Entry
from router.store.deliveries import Delivery

RATE: Final = 50
RATE_MOST: Final = 1000
# Seconds between two checks for a replay to run.
LOOK_SECONDS: Final = 1.0
# The maximum number of messages put back in one step, about 2 ms of the store's time; and the steps in a second.
_TOGETHER: Final = 50
_STEPS: Final = 20
# Seconds between two renewals of the lock of a replay; it expires later.
_RENEW: Final = 3.0


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
                self._fault(f"bulk replay: {unexpected(error)}")
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
