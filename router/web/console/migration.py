"""Migrations: from one flow of an address to another one, such as from Proxy to Conversations, step by step."""

import time
from collections.abc import Mapping
from itertools import islice
from typing import Final, Protocol

from flask import Blueprint, Response, request

from router.errors import RouterError, StoreUnavailable
from router.flow.flex_flow import FlexFlow
from router.queries import migration_steps
from router.queries.migration import BACK, NEXT, Way, overview, way
from router.queries.shadow import shadow
from router.store import Store
from router.web.console.address_form import version_of
from router.web.console.addresses import find_flow
from router.web.console.desk import Desk, now_ms, see, view
from router.web.console.guard import Refused
from router.web.console.page import page
from router.web.number import whole_number

# The maximum number of flows that the list reads, and of the last day's messages in which a page counts contacts.
_LOOKS: Final = 5000
_MESSAGES: Final = 2000
_DAY: Final = 86_400_000
_MOST_PERCENT: Final = 99


class Step(Protocol):
    """One of `_STEPS`."""

    def __call__(self, old: FlexFlow, store: Store, *, by: str, now: int) -> Way:
        """Take it."""
        ...


def register(console: Blueprint, desk: Desk) -> None:
    """Add the routes."""
    store = desk.store

    @console.get("/<account_sid>/migration")
    def migrations() -> Response:
        found = overview(view().sid, store, most=_LOOKS)
        return page("migrations.html", ways=found.ways, ready=found.ready, more=found.more, looks=_LOOKS)

    @console.get("/<account_sid>/migration/<sid>")
    def migrating(sid: str) -> Response:
        old = find_flow(desk, sid)
        current = way(old, store)
        return page(
            "migration.html",
            way=current,
            next=NEXT[current.phase],
            back=BACK[current.phase],
            shadow=shadow(old, store, since=now_ms() - _DAY, most=_MESSAGES) if current.new else None,
            version=_version(current),
            offered=request.args.get("to", "")[:34],
            changes=list(islice(store.changes.newest(view().sid, flex_flow_sid=sid), 10)),
        )

    @console.post("/<account_sid>/migration/<sid>")
    def take_step(sid: str) -> Response:
        old, what = find_flow(desk, sid), request.form.get("do", "")
        if what not in _STEPS:
            raise Refused(400, "No such step", f"{what[:60]!r} is not a step of a migration. Nothing was changed.")
        if request.form.get("version", "") != _version(way(old, store)):
            raise Refused(
                409,
                "Changed in the meantime",
                "Another person changed the migration or one of its flows since you opened the page. Nothing was "
                "changed: open the page again and check the changes.",
            )
        try:
            _STEPS[what](old, store, by=view().who, now=int(time.time()))
        except (Refused, StoreUnavailable):
            raise
        except RouterError as error:  # a step that cannot be taken now, or another person's change just now
            raise Refused(409, "The step was not taken", f"{error}. Nothing was changed.") from None
        return see(f"migration/{sid}", notice="step")


def _start(old: FlexFlow, store: Store, *, by: str, now: int) -> Way:
    return migration_steps.start(old, request.form.get("to", ""), store, by=by, now=now)


def _share(old: FlexFlow, store: Store, *, by: str, now: int) -> Way:
    text = request.form.get("percent", "").strip()
    percent = whole_number(text, len(str(_MOST_PERCENT)))
    if percent is None:
        reason = f"{text[:20]!r} is not a share from 0 to {_MOST_PERCENT} %. Nothing was changed."
        raise Refused(400, "No such share", reason)
    return migration_steps.share(old, percent, store, by=by, now=now)


_STEPS: Final[Mapping[str, Step]] = {
    "start": _start,
    "share": _share,
    "drain": migration_steps.drain,
    "all": migration_steps.everything,
    "back": migration_steps.back,
}


def _version(current: Way) -> str:
    """Return a hash of the two flows, which any change of them changes."""
    return "-".join(version_of(each) for each in (current.old, current.new) if each)
