"""Dead letters: undelivered and unrouted messages by reason and flow."""

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Final

from flask import Blueprint, Response, request

from router.queries.delivery_filter import DEAD
from router.queries.replay_preview import grouped
from router.queries.selection import matching
from router.store.deliveries import Delivery
from router.web.console.desk import Desk, now_ms, view
from router.web.console.message_filter import read_filters, read_time, read_wanted
from router.web.console.message_rows import names, row
from router.web.console.page import page

# The maximum numbers of messages that are grouped, listed, and selected.
_LOOKS: Final = 5000
_ROWS: Final = 100
SELECTED: Final = 1000


def register(console: Blueprint, desk: Desk) -> None:
    """Add the routes."""
    store = desk.store

    @console.get("/<account_sid>/dead-letters")
    def dead_letters() -> Response:
        filters, wrong = dead_filters(request.args), list[str]()
        until = now_ms()
        found = list(islice(found_dead(desk, filters, until, wrong), _LOOKS))
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
            selected=SELECTED,
        )


def dead_filters(values: Mapping[str, str]) -> dict[str, str]:
    """Return the filters of a query; a status other than those of dead letters counts as none."""
    filters = read_filters(values)
    return filters if filters["status"] in DEAD else filters | {"status": ""}


def found_dead(desk: Desk, filters: Mapping[str, str], until: int, wrong: list[str]) -> Iterator[Delivery]:
    """Iterate over the dead letters that match, the oldest first; append errors of the filters to `wrong`.

    `until` is the latest time at which they became dead letters, in ms since 1970.
    """
    wanted, mistakes = read_wanted(filters, desk.store)
    wrong += mistakes
    after, before = read_time(filters, "after", wrong), read_time(filters, "before", wrong)
    return matching(desk.store, view().sid, wanted, after=after, before=before, until=until)
