"""What the store says of a set-up: its promises, clock, messages that wait, flows, processes and load."""

import math
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from typing import Final

from router.errors import StoreUnavailable
from router.flow.warning import Surroundings, of_flows, of_settings
from router.language.detector import language_of
from router.message.twiml import TRACEBACK
from router.printable import ago
from router.queries.checks import Check, State
from router.queries.deliveries import attempt_of, not_twiml, shut, target_excerpt
from router.settings import Settings
from router.store import Store
from router.store.deliveries import Delivery
from router.store.keys import bucket

# Clocks further apart than this confuse people (ages, --since); far more, and TLS and Twilio's dates suffer too.
_APART: Final = 2.0
_FAR_APART: Final = 60.0
# A healthy router sends what is due at once; a lane that is due for longer has no process to send it.
_OVERDUE: Final = 60.0
# Messages of the last minutes that the load is told from, at most.
_SAMPLE: Final = 1000
_SAMPLE_SECONDS: Final = 300
# Flows that are compared, at most: reading them takes a second or so.
_FLOWS: Final = 10_000
_NAMED: Final = 5
# How far back answers of targets are looked at.
_ANSWERS_SECONDS: Final = 3600
# Of its slots a process should need no more than this part on average: traffic comes in bursts.
_ROOM: Final = 0.5


def outages(given: Settings, opened: Store) -> Iterator[Check]:
    """Report what was fetched from Twilio after outages, and what was only reported."""
    if not given.recover:
        yield Check("recovery", "skipped", "ROUTER_RECOVER is false: missed messages are fetched by `router recover`")
    for account in given.accounts:
        for report in opened.outages.reports(account.sid)[:_NAMED]:
            when = datetime.fromtimestamp(report.from_ / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            if report.accepted:
                yield Check(
                    "recovery", "good", f"{report.accepted} messages missed since {when} were fetched and accepted"
                )
            for reason, number in report.left.items():
                advice = f"see what they say, and accept them: router recover --since {when} --account {account.sid}"
                yield Check("recovery", "look", f"{number} missed since {when} were not accepted: {reason}", advice)


def store(opened: Store) -> Iterator[Check]:
    """Look at what the store promises."""
    for finding in opened.promise.findings():
        state: State = "good" if finding.good else "bad" if finding.fatal else "look"
        yield Check("store", state, f"{finding.name}: {finding.value}", "" if finding.good else finding.advice)


def clock(opened: Store) -> Iterator[Check]:
    """Compare this machine's clock with the store's, by which messages are dated."""
    before = time.time()
    there = opened.refusals.clock()
    apart = there - (before + time.time()) / 2
    if abs(apart) < _APART:
        yield Check("clock", "good", f"{abs(apart) * 1000:.0f} ms from the store's")
        return
    advice = "let both machines take their time from the network (timedatectl set-ntp true)"
    state: State = "bad" if abs(apart) > _FAR_APART else "look"
    yield Check("clock", state, f"{abs(apart):.1f} s {'behind' if apart > 0 else 'before'} the store's", advice)


def serving(given: Settings, opened: Store) -> Iterator[Check]:
    """Look for accounts of the settings that none of the processes over the store serves."""
    if not opened.processes.present():
        return  # `router` has reported already that no router answers
    for account in given.accounts:
        if not opened.processes.serving(account.sid):
            advice = "start one with this account, or `router reload` the one whose settings have it by now"
            yield Check("router", "bad", f"no router over this store serves {account.sid}", advice)


def targets(given: Settings, opened: Store) -> Iterator[Check]:
    """Look for targets that do not answer, as the processes say that send to them."""
    for account in given.accounts:
        for target, said in shut(account.sid, opened).items():
            advice = "see what it answered: `router deliveries list --status queued`, and one of them: `show SM…`"
            yield Check("targets", "bad", f"{target} does not answer{said}: its messages wait", advice)


def messages(given: Settings, opened: Store) -> Iterator[Check]:
    """Look for messages that need attention."""
    for account in given.accounts:
        counts, sid = opened.deliveries.counts(account.sid), account.sid
        of_account = f" of {sid}" if len(given.accounts) > 1 else ""
        good = f"{counts.kept:,} on record{of_account}, {counts.queued:,} not done yet"
        yield Check("messages", "good", good)
        if counts.held:
            advice = "see `router deliveries list --held`, and then `router deliveries release` or `cancel` them"
            since = f", the first of them {ago(counts.held_since, time.time())}" if counts.held_since else ""
            found = f"{counts.held:,} held{of_account}{since}: they wait until they are released"
            yield Check("held", "look", found, advice)
        for status, number, why in (
            ("undelivered", counts.undelivered, "repair their target"),
            ("unrouted", counts.unrouted, "make a flow for their address"),
        ):
            if number:
                advice = f"see `router deliveries list --status {status}`, {why}, and then "
                advice += f"`router deliveries replay --status {status} --since 7d`"
                yield Check("messages", "look", f"{number:,} {status}{of_account}", advice)
    # Accounts share the buckets: of one that is not among the settings' accounts nothing is said here.
    sids = {account.sid for account in given.accounts}
    tags = opened.lanes.waiting(sorted({bucket(sid) for sid in sids}))
    backlogs = [opened.deliveries.backlog(tag) for tag in tags]
    overdue = [found for each in backlogs for sid, found in each.overdue.items() if sid in sids]
    seconds, flow_sid = max(overdue, default=(0.0, ""))
    if seconds > _OVERDUE:
        advice = "its target is down, or slower than what comes for it; or no router is running over this store"
        yield Check("waiting", "bad", f"a conversation of {flow_sid} is due for {seconds:,.0f} s", advice)


def absent(opened: Store) -> Iterator[Check]:
    """Look for accounts that were taken out of the settings, and are about to be forgotten."""
    for sid, seconds in opened.upkeep.absent().items():
        days = math.ceil((opened.upkeep.absent_seconds - seconds) / 86_400)
        found = f"{sid} is not in these settings, and is erased from the store when routers have run without it for "
        found += f"{days} more day{'s' * (days != 1)} (flows: {opened.flows.count(sid):,}, "
        found += f"messages: {opened.deliveries.counts(sid).kept:,})"
        yield Check("accounts", "look", found, "put it back into the settings if it shall be kept")


def flows(given: Settings, opened: Store) -> Iterator[Check]:
    """Look for settings and flows that will not do what is meant, the gravest first."""
    for each in of_settings(given):
        yield Check("settings", "bad", each.text, each.advice)
    around = Surroundings.of(given)
    walks = {account.sid: list(islice(opened.flows.walk(account.sid), _FLOWS)) for account in given.accounts}
    walked = [flow for flows in walks.values() for flow in flows]
    whole = walked if all(len(flows) < _FLOWS for flows in walks.values()) else None
    found = sorted(of_flows(walked, around, others=whole), key=lambda each: not each.fault)
    for each in found[:_NAMED]:
        state: State = "bad" if each.fault else "look"
        label = f"{each.flow.friendly_name!r} ({each.flow.sid}) " if each.flow else ""
        yield Check("flows", state, f"{label}{each.text}", each.advice)
    rest = found[_NAMED:]
    if rest:
        state = "bad" if rest[0].fault else "look"
        advice = "mend the ones above first; `router flows apply FILE --dry-run` names more of them"
        yield Check("flows", state, f"{len(rest):,} more may not do what is meant", advice)


def answers(given: Settings, opened: Store) -> Iterator[Check]:
    """Look for targets whose answers were nothing for Twilio, or no success, by flow."""
    since = int((time.time() - _ANSWERS_SECONDS) * 1000)
    for account in given.accounts:
        bad: dict[str, list[Delivery]] = {}
        for delivery in islice(opened.deliveries.newest(account.sid, after=since), _SAMPLE):
            if delivery.excerpt or not_twiml(delivery):
                bad.setdefault(delivery.flow_sid, []).append(delivery)
        for flow_sid, found in list(bad.items())[:_NAMED]:
            flow, last = opened.flows.get(account.sid, flow_sid), found[0]
            label = f"{flow.friendly_name!r} ({flow_sid})" if flow else flow_sid
            advice = f"`router deliveries show {last.message_sid}` says what came back"
            yield Check("answers", "look", f"{len(found):,} bad of {label}, the last one: {_wrong(last)}", advice)


def _wrong(delivery: Delivery) -> str:
    """Say what was wrong with an answer, without what a handler may have quoted."""
    excerpt = target_excerpt(delivery)
    if excerpt and excerpt.type == TRACEBACK:
        return f"the handler raised an exception, in {excerpt.text.splitlines()[-1]}"
    return not_twiml(delivery) or delivery.error or "it is tried again"


def languages(given: Settings, opened: Store) -> Iterator[Check]:
    """Look at whether all processes can read texts in the languages that flows name."""
    named = [code for code in sorted(opened.languages.named()) if language_of(code)]
    serving = {each.pid: each for account in given.accounts for each in opened.processes.serving(account.sid)}
    behind = [each for each in serving.values() if not each.reads(named)]
    if behind:
        found = f"texts in {', '.join(named)} are not all read yet by {', '.join(map(str, behind[:_NAMED]))}"
        advice = "they load the languages by themselves, in seconds; if this stays so, the router's log says why"
        yield Check("languages", "look", f"{found}{' and others' * (len(behind) > _NAMED)}", advice)
    elif named and serving:
        yield Check("languages", "good", f"texts in {', '.join(named)} are read by {all_of(len(serving))}")


def load(given: Settings, opened: Store) -> Iterator[Check]:
    """Compare what came lately, and how long it took to deliver, with what the workers can do at a time."""
    cores, workers = os.cpu_count() or 1, given.workers
    if workers > 2 * cores:
        advice = f"set ROUTER_WORKERS to {cores}: more only take turns"
        yield Check("load", "look", f"{workers} workers on {cores} cores", advice)
    number, seconds, tried = 0, 0.0, 0
    since = int((time.time() - _SAMPLE_SECONDS) * 1000)
    first = last = 0
    for account in given.accounts:
        for delivery in islice(opened.deliveries.newest(account.sid, after=since), _SAMPLE):
            number += 1
            first = min(first or delivery.accepted_at, delivery.accepted_at)
            last = max(last, delivery.accepted_at)
            for line in delivery.history:
                seconds, tried = seconds + (attempt_of(line)["seconds"] or 0.0), tried + 1
    span = max(1.0, (last - first) / 1000) if number > 1 else float(_SAMPLE_SECONDS)
    rate, each = number / span, seconds / tried if tried else 0.0
    slots = workers * given.deliveries
    needed = rate * each
    found = f"{rate:,.1f} messages a second, {each:,.2f} s for an attempt: {needed:,.1f} of {slots:,} slots are in use"
    if needed > slots * _ROOM:
        advice = "raise ROUTER_DELIVERIES or ROUTER_WORKERS, or make the targets faster"
        yield Check("load", "bad" if needed > slots else "look", found, advice)
    else:
        yield Check("load", "good", found if number else f"no messages lately; {slots:,} deliveries at a time")


def all_of(processes: int) -> str:
    """Write that it is all of them."""
    return f"all {processes:,} processes" if processes > 1 else "the one process that runs"


def unreachable(error: StoreUnavailable) -> Check:
    """Write that the store does not answer."""
    return Check("store", "bad", str(error), "is it running, and does ROUTER_REDIS_URL say where it is?")
