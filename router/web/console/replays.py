"""The replay of many dead letters: what it would do, its start, its progress, and its stop."""

from dataclasses import asdict, dataclass
from itertools import islice
from typing import Final
from urllib.parse import urlencode

from flask import Blueprint, Response, request

from router.message.masking import mask
from router.queries.bulk_replay import RATE, RATE_MOST
from router.queries.delivery_filter import DEAD
from router.queries.replay_preview import MOST, foretell
from router.sid import is_sid
from router.store.bulk_replays import BulkReplay
from router.store.deliveries import Delivery
from router.web.console.dead_letters import SELECTED, dead_filters, found_dead
from router.web.console.desk import Desk, now_ms, see, view
from router.web.console.guard import Refused
from router.web.console.message_filter import TIME_DIGITS
from router.web.console.page import page
from router.web.number import whole_number

# The digits of a rate; a rate above the maximum counts as the maximum.
_RATE_DIGITS: Final = 5


@dataclass(frozen=True, slots=True)
class _Asked:
    """A replay as its form describes it: of the messages `sids`, or else of those that match the filters."""

    filters: dict[str, str]
    until: int
    current: bool
    sids: list[str]
    rate: int


def register(console: Blueprint, desk: Desk) -> None:
    """Add the routes."""
    store = desk.store

    @console.post("/<account_sid>/dead-letters/replay")
    def dry_run() -> Response:
        asked = _Asked(
            dead_filters(request.form),
            _until(),
            request.form.get("route") == "current",
            _sids(),
            _rate(request.form.get("rate", "")),
        )
        chosen, more = _chosen(desk, asked)
        if request.form.get("do") == "start":
            return _start(desk, asked, chosen)
        return page(
            "replay.html",
            foretold=foretell(store, desk.likelihood, chosen, current=asked.current, more=more),
            rate_most=RATE_MOST,
            most=MOST,
            job=store.bulk_replays.get(view().sid),
            **asdict(asked),
        )

    @console.get("/<account_sid>/dead-letters/job")
    def job() -> Response:
        found = store.bulk_replays.get(view().sid)
        if found is None:
            return see("dead-letters")
        return page("replay_job.html", job=found, left=_left(found))

    @console.post("/<account_sid>/dead-letters/stop")
    def stop() -> Response:
        found = store.bulk_replays.get(view().sid)
        if found and found.runs:
            store.bulk_replays.end(view().sid, found, "stopping", now=now_ms())
            store.changes.note(view().sid, view().who, "stopped a replay of many")
        return see("dead-letters/job", notice="stopping")


def _start(desk: Desk, asked: _Asked, chosen: list[Delivery]) -> Response:
    if not chosen:
        raise Refused(409, "Nothing to send again", "None of these messages is undelivered or unrouted any more.")
    store, logged = desk.store, asked.filters | {"from": mask(asked.filters["from"])}  # the log names no customer
    wanted = urlencode({name: text for name, text in logged.items() if text}) or "all"
    id_ = store.bulk_replays.begin(
        view().sid,
        [(each.message_sid, each.round) for each in chosen],
        by=view().who,
        current=asked.current,
        rate=asked.rate,
        wanted=f"{len(asked.sids)} selected" if asked.sids else wanted,
        now=now_ms(),
    )
    if not id_:
        raise Refused(
            409, "Another replay is running", "Wait until it has finished, or stop it first. Nothing was started."
        )
    route = "current" if asked.current else "original"
    store.changes.note(view().sid, view().who, "replay of many", messages=len(chosen), route=route, filter=wanted)
    return see("dead-letters/job", notice="started")


def _chosen(desk: Desk, asked: _Asked) -> tuple[list[Delivery], bool]:
    """Return the messages to replay, the oldest first, and whether more match than one replay takes."""
    if asked.sids:
        selected = (desk.store.deliveries.get(view().sid, sid) for sid in asked.sids)
        found = sorted((each for each in selected if each and each.state in DEAD), key=lambda each: each.accepted_at)
        return found, False
    wrong: list[str] = []
    found = list(islice(found_dead(desk, asked.filters, asked.until, wrong), MOST + 1))
    if wrong:
        raise Refused(400, "The filter is wrong", " ".join(wrong) + " Nothing was changed.")
    return found[:MOST], len(found) > MOST


def _sids() -> list[str]:
    selected = [sid for sid in request.form.getlist("sid") if is_sid(sid, "SM", "MM", "IM")]
    if request.form.get("which") == "selected" and not selected:
        raise Refused(400, "Nothing selected", "Select messages first, or replay all that match. Nothing was changed.")
    return list(dict.fromkeys(selected))[:SELECTED] if request.form.get("which") == "selected" else []


def _until() -> int:
    until = whole_number(request.form.get("until", ""), TIME_DIGITS)
    if until is None:
        raise Refused(
            400, "The form is incomplete", "The time up to which messages are replayed is missing. Nothing was changed."
        )
    return min(until, now_ms())


def _rate(text: str) -> int:
    rate = whole_number(text, _RATE_DIGITS)
    return RATE if rate is None else min(max(rate, 1), RATE_MOST)


def _left(job: BulkReplay) -> int:
    """Return the seconds that the rest of a replay takes at its rate."""
    return (job.total - job.looked_at) // job.rate
