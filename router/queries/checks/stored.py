"""Checks with data of the store: its guarantees, clock, waiting messages, flows, processes and load."""

import math
import os
import time
from collections.abc import Iterator
from itertools import islice
from typing import Final

from router.errors import StoreUnavailable
from router.flow.warned import of_settings
from router.flow.warning import Surroundings, of_flows
from router.iso_time import utc
from router.language.detector import language_of
from router.message.twiml import TRACEBACK
from router.printable import ago, number
from router.queries.checks import Check, State
from router.queries.delivery_json import attempt_of, not_twiml, target_excerpt
from router.queries.waiting import shut
from router.settings import Settings
from router.store import Store
from router.store.deliveries import Delivery
from router.store.keys import bucket

# Seconds between two clocks: above the first, ages and --since are wrong; above the second, TLS may fail as well.
_APART: Final = 2.0
_FAR_APART: Final = 60.0
# Seconds. A healthy router sends due messages immediately; no process sends a lane that is due for longer.
_OVERDUE: Final = 60.0
# The maximum number of messages from which the load is computed, and their maximum age in seconds.
_SAMPLE: Final = 1000
_SAMPLE_SECONDS: Final = 300
# The maximum number of flows that are compared: reading them takes about a second.
_FLOWS: Final = 10_000
_NAMED: Final = 5
# The maximum age of the targets' answers that are checked.
_ANSWERS_SECONDS: Final = 3600
# The part of its slots that a process should need at most, on average: traffic comes in bursts.
_ROOM: Final = 0.5


def outages(settings: Settings, store: Store) -> Iterator[Check]:
    """Report the messages that were fetched from Twilio after outages, and those that were not accepted."""
    if not settings.recover:
        yield Check("recovery", "skipped", "ROUTER_RECOVER is false: fetch missed messages with `router recover`")
    for account in settings.accounts:
        for report in store.outages.reports(account.sid)[:_NAMED]:
            when = utc(report.from_)
            if report.accepted:
                yield Check(
                    "recovery", "good", f"{report.accepted} messages missed since {when} were fetched and accepted"
                )
            for reason, count in report.left.items():
                advice = f"read them, and accept them: router recover --since {when} --account {account.sid}"
                yield Check("recovery", "look", f"{count} missed since {when} were not accepted: {reason}", advice)


def store(store: Store) -> Iterator[Check]:
    """Check what the store guarantees."""
    for finding in store.promise.findings():
        state: State = "good" if finding.good else "bad" if finding.fatal else "look"
        yield Check("store", state, f"{finding.name}: {finding.value}", "" if finding.good else finding.advice)


def clock(store: Store) -> Iterator[Check]:
    """Compare this machine's clock with the store's, by which messages are dated."""
    before = time.time()
    store_time = store.refusals.clock()
    apart = store_time - (before + time.time()) / 2
    if abs(apart) < _APART:
        yield Check("clock", "good", f"it differs from the store's by {abs(apart) * 1000:.0f} ms")
        return
    advice = "synchronize both clocks with NTP (timedatectl set-ntp true)"
    state: State = "bad" if abs(apart) > _FAR_APART else "look"
    yield Check("clock", state, f"it is {abs(apart):.1f} s {'behind' if apart > 0 else 'ahead of'} the store's", advice)


def serving(settings: Settings, store: Store) -> Iterator[Check]:
    """Look for accounts of the settings that no process with this store serves."""
    if not store.processes.present():
        return  # `router` has reported already that no router answers
    for account in settings.accounts:
        if not store.processes.serving(account.sid):
            advice = "start a router with this account, or run `router reload` if its settings already have the account"
            yield Check("router", "bad", f"no router that uses this store serves {account.sid}", advice)


def targets(settings: Settings, store: Store) -> Iterator[Check]:
    """Look for targets that do not answer the processes that send to them."""
    for account in settings.accounts:
        for target, seen_by in shut(account.sid, store).items():
            advice = "see `router deliveries list --status queued`; `router deliveries show SM…` prints the answer"
            yield Check("targets", "bad", f"{target} does not answer{seen_by}: its messages wait", advice)


def messages(settings: Settings, store: Store) -> Iterator[Check]:
    """Look for messages that need attention."""
    for account in settings.accounts:
        counts, sid = store.deliveries.counts(account.sid), account.sid
        of_account = f" of {sid}" if len(settings.accounts) > 1 else ""
        good = f"{counts.kept:,} on record{of_account}, {counts.queued:,} waiting or being sent"
        yield Check("messages", "good", good)
        if counts.held:
            advice = "see `router deliveries list --held`, and then `router deliveries release` or `cancel` them"
            since = f", the first of them {ago(counts.held_since, time.time())}" if counts.held_since else ""
            found = f"{counts.held:,} held{of_account}{since}: they wait until they are released"
            yield Check("held", "look", found, advice)
        # Without `--route current`, a message whose flow was disabled or removed would go back to that flow.
        for status, count, why, route in (
            ("undelivered", counts.undelivered, "repair the target", ""),
            ("unrouted", counts.unrouted, "add a flow for the address", " --route current"),
        ):
            if count:
                advice = f"see `router deliveries list --status {status}`, {why}, and then run "
                advice += f"`router deliveries replay --status {status} --since 7d{route}`"
                yield Check("messages", "look", f"{count:,} {status}{of_account}", advice)
    # Accounts share the buckets: accounts that are not in the settings are left out here.
    sids = {account.sid for account in settings.accounts}
    tags = store.lanes.waiting(sorted({bucket(sid) for sid in sids}))
    backlogs = [store.deliveries.backlog(tag) for tag in tags]
    overdue = [found for each in backlogs for sid, found in each.overdue.items() if sid in sids]
    seconds, flow_sid = max(overdue, default=(0.0, ""))
    if seconds > _OVERDUE:
        advice = "its target is down, or too slow for its messages; or no router runs with this store"
        yield Check("waiting", "bad", f"a conversation of {flow_sid} has been due for {seconds:,.0f} s", advice)


def absent(store: Store) -> Iterator[Check]:
    """Look for accounts that were removed from the settings, and that the router will erase."""
    for sid, seconds in store.upkeep.absent().items():
        days = math.ceil((store.upkeep.absent_seconds - seconds) / 86_400)
        found = f"{sid} is not in these settings: its data is erased when routers have run without it for "
        found += f"{days} more day{'s' * (days != 1)} (flows: {store.flows.count(sid):,}, "
        found += f"messages: {store.deliveries.counts(sid).kept:,})"
        yield Check("accounts", "look", found, "to keep its data, put the account back into the settings")


def flows(settings: Settings, store: Store) -> Iterator[Check]:
    """Look for settings and flows that probably do not work as intended, the worst first."""
    for each in of_settings(settings):
        yield Check("settings", "bad", each.text, each.advice)
    around = Surroundings.of(settings)
    walks = {account.sid: list(islice(store.flows.walk(account.sid), _FLOWS)) for account in settings.accounts}
    walked = [flow for flows in walks.values() for flow in flows]
    others = walked if all(len(flows) < _FLOWS for flows in walks.values()) else None
    found = sorted(of_flows(walked, around, others=others), key=lambda each: not each.fault)
    for each in found[:_NAMED]:
        state: State = "bad" if each.fault else "look"
        label = f"{each.flow.friendly_name!r} ({each.flow.sid}) " if each.flow else ""
        yield Check("flows", state, f"{label}{each.text}", each.advice)
    rest = found[_NAMED:]
    if rest:
        state = "bad" if rest[0].fault else "look"
        advice = "repair the ones above first; `router flows apply FILE --dry-run` names more of them"
        yield Check("flows", state, f"{len(rest):,} more flows may not work as intended", advice)


def answers(settings: Settings, store: Store) -> Iterator[Check]:
    """Look for targets whose answers were errors or not usable by Twilio, by flow."""
    since = int((time.time() - _ANSWERS_SECONDS) * 1000)
    for account in settings.accounts:
        bad: dict[str, list[Delivery]] = {}
        for delivery in islice(store.deliveries.newest(account.sid, after=since), _SAMPLE):
            if delivery.excerpt or not_twiml(delivery):
                bad.setdefault(delivery.flow_sid, []).append(delivery)
        for flow_sid, found in list(bad.items())[:_NAMED]:
            flow, last = store.flows.get(account.sid, flow_sid), found[0]
            label = f"{flow.friendly_name!r} ({flow_sid})" if flow else flow_sid
            advice = f"`router deliveries show {last.message_sid}` prints the answer"
            yield Check(
                "answers", "look", f"{number(len(found), 'bad answer')} of {label}, the last: {_wrong(last)}", advice
            )


def _wrong(delivery: Delivery) -> str:
    """Return what was wrong with an answer; of a traceback only the line, because exceptions may quote a message."""
    excerpt = target_excerpt(delivery)
    if excerpt and excerpt.type == TRACEBACK:
        return f"the handler raised an exception, in {excerpt.text.splitlines()[-1]}"
    return not_twiml(delivery) or delivery.error or "it is tried again"


def languages(settings: Settings, store: Store) -> Iterator[Check]:
    """Check whether all processes can read texts in the languages that flows name."""
    named = [code for code in sorted(store.languages.named()) if language_of(code)]
    serving = {each.pid: each for account in settings.accounts for each in store.processes.serving(account.sid)}
    behind = [each for each in serving.values() if not each.reads(named)]
    if behind:
        found = f"texts in {', '.join(named)} are not all read yet by {', '.join(map(str, behind[:_NAMED]))}"
        advice = "they load the languages by themselves within seconds; if they do not, the router's log has the reason"
        yield Check("languages", "look", f"{found}{' and others' * (len(behind) > _NAMED)}", advice)
    elif named and serving:
        yield Check("languages", "good", f"texts in {', '.join(named)} are read by {all_of(len(serving))}")


def load(settings: Settings, store: Store) -> Iterator[Check]:
    """Compare the recent messages, and the time of their attempts, with the slots of the workers."""
    cores, workers = os.cpu_count() or 1, settings.workers
    if workers > 2 * cores:
        advice = f"set ROUTER_WORKERS to {cores}: more workers than cores do not help"
        yield Check("load", "look", f"{workers} workers on {cores} cores", advice)
    taken, seconds, tried = 0, 0.0, 0
    since = int((time.time() - _SAMPLE_SECONDS) * 1000)
    first = last = 0
    for account in settings.accounts:
        for delivery in islice(store.deliveries.newest(account.sid, after=since), _SAMPLE):
            taken += 1
            first = min(first or delivery.accepted_at, delivery.accepted_at)
            last = max(last, delivery.accepted_at)
            for line in delivery.history:
                seconds, tried = seconds + (attempt_of(line)["seconds"] or 0.0), tried + 1
    span = max(1.0, (last - first) / 1000) if taken > 1 else float(_SAMPLE_SECONDS)
    rate, each = taken / span, seconds / tried if tried else 0.0
    slots = workers * settings.deliveries
    needed = rate * each
    found = f"{rate:,.1f} messages a second, {each:,.2f} s for an attempt: {needed:,.1f} of {slots:,} slots are in use"
    if needed > slots * _ROOM:
        advice = "raise ROUTER_DELIVERIES or ROUTER_WORKERS, or make the targets faster"
        yield Check("load", "bad" if needed > slots else "look", found, advice)
    else:
        yield Check("load", "good", found if taken else f"no recent messages; {slots:,} slots for deliveries")


def all_of(processes: int) -> str:
    """Return a phrase for all of so many processes."""
    return f"all {processes:,} processes" if processes > 1 else "the one process that runs"


def unreachable(error: StoreUnavailable) -> Check:
    """Return the finding that the store does not answer."""
    return Check("store", "bad", str(error), "check that the store runs, and that ROUTER_REDIS_URL is right")
