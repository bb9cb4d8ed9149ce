"""Dead letters: undelivered and unrouted messages by reason and flow, and their replay."""

from collections.abc import Mapping
from itertools import islice
from typing import Any, Final
from urllib.parse import urlencode

from flask import Blueprint, Response, request

from router.message.masking import mask
from router.queries.bulk_replay import RATE, RATE_MOST
from router.queries.delivery_filter import DEAD
from router.queries.replay_preview import MOST, foretell, grouped, matching
from router.sid import is_sid
from router.store.bulk_replays import BulkReplay
from router.store.deliveries import Delivery
from router.web.console.desk import Desk, now_ms, see, view
from router.web.console.guard import Refused
from router.web.console.messages import names, read_filters, read_time, read_wanted, row
from router.web.console.page import page

# The maximum numbers of messages that are grouped, listed, and selected.
_LOOKS: Final = 5000
_ROWS: Final = 100
_SELECTED: Final = 1000


def register(console: Blueprint, desk: Desk) -> None:
    """Add the routes."""
    store = desk.store

    @console.get("/<account_sid>/dead-letters")
    def dead_letters() -> Response:
        filters, wrong = _filters(request.args), list[str]()
        until = now_ms()
        found = list(islice(_found(desk, filters, until, wrong), _LOOKS))
        groups = grouped(found)
        return page(
            "dead_letters.html",
            filters=filters,
            wrong=wrong,
            groups=groups[:_ROWS],
            count=len(found),
            more=len(found) == _LOOKS,
            rows=[row(each) for each in found[-_ROWS:][::-1]],
            names=names((group.flow_sid for group in groups), store),
            until=until,
            states=sorted(DEAD),
            job=store.bulk_replays.get(view().sid),
            selected=_SELECTED,
        )

    @console.post("/<account_sid>/dead-letters/replay")
    def dry_run() -> Response:
        filters, until = _filters(request.form), _until()
        current = request.form.get("route") == "current"
        sids = _sids()
        chosen, more = _chosen(desk, filters, until, sids)
        rate = _rate(request.form.get("rate", ""))
        if request.form.get("do") != "start":
            foretold = foretell(store, desk.likelihood, chosen, current=current, more=more)
            return page(
                "replay.html",
                foretold=foretold,
                filters=filters,
                until=until,
                sids=sids,
                current=current,
                rate=rate,
                rate_most=RATE_MOST,
                most=MOST,
                job=store.bulk_replays.get(view().sid),
            )
        if not chosen:
            raise Refused(409, "Nothing to send again", "None of these messages is undelivered or unrouted any more.")
        logged = filters | {"from": mask(filters["from"])}  # the change log names no customer
        wanted = urlencode({name: text for name, text in logged.items() if text}) or "all"
        id_ = store.bulk_replays.begin(
            view().sid,
            [(each.message_sid, each.round) for each in chosen],
            by=view().who,
            current=current,
            rate=rate,
            wanted=f"{len(sids)} selected" if sids else wanted,
            now=now_ms(),
        )
        if not id_:
            raise Refused(
                409, "Another replay is running", "Wait until it has finished, or stop it first. Nothing was started."
            )
        route = "current" if current else "original"
        store.changes.note(view().sid, view().who, "replay of many", messages=len(chosen), route=route, filter=wanted)
        return see("dead-letters/job", notice="started")

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


def _filters(values: Mapping[str, str]) -> dict[str, str]:
    filters = read_filters(values)
    return filters if filters["status"] in DEAD else filters | {"status": ""}


def _found(desk: Desk, filters: dict[str, str], until: int, wrong: list[str]) -> Any:
    wanted, mistakes = read_wanted(filters, desk.store)
    wrong += mistakes
    after, before = read_time(filters, "after", wrong), read_time(filters, "before", wrong)
    return matching(desk.store, view().sid, wanted, after=after, before=before, until=until)


def _chosen(desk: Desk, filters: dict[str, str], until: int, sids: list[str]) -> tuple[list[Delivery], bool]:
    """Return the messages to replay, the oldest first, and whether more match than one replay takes."""
    if sids:
        selected = (desk.store.deliveries.get(view().sid, sid) for sid in sids)
        found = sorted((each for each in selected if each and each.state in DEAD), key=lambda each: each.accepted_at)
        return found, False
    wrong: list[str] = []
    found = list(islice(_found(desk, filters, until, wrong), MOST + 1))
    if wrong:
        raise Refused(400, "The filter is wrong", " ".join(wrong) + " Nothing was changed.")
    return found[:MOST], len(found) > MOST


def _sids() -> list[str]:
    selected = [sid for sid in request.form.getlist("sid") if is_sid(sid, "SM", "MM", "IM")]
    if request.form.get("which") == "selected" and not selected:
        raise Refused(400, "Nothing selected", "Select messages first, or replay all that match. Nothing was changed.")
    return list(dict.fromkeys(selected))[:_SELECTED] if request.form.get("which") == "selected" else []


def _until() -> int:
    text = request.form.get("until", "")
    if not (text.isascii() and text.isdecimal() and len(text) < 16):  # noqa: PLR2004 - digits of any time in ms
        raise Refused(
            400, "The form is incomplete", "The time up to which messages are replayed is missing. Nothing was changed."
        )
    return min(int(text), now_ms())


def _rate(text: str) -> int:
    known = text.isascii() and text.isdecimal() and len(text) < 6  # noqa: PLR2004 - digits of any allowed rate
    return min(max(int(text), 1), RATE_MOST) if known else RATE


def _left(job: BulkReplay) -> int:
    """Return the seconds that the rest of a replay takes at its rate."""
    return (job.total - job.looked_at) // job.rate
