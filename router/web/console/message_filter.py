"""The filter of lists of messages: it is the query of the page, so that a filtered list has a link."""

from collections.abc import Mapping
from itertools import islice
from typing import Final

from router.iso_time import ms_of
from router.message.channel import CHANNELS
from router.queries.delivery_filter import STATES, Wanted
from router.store import Store
from router.web.console.desk import view
from router.web.console.message_rows import HELD

# The maximum number of flows searched for a target.
_FLOWS: Final = 5000
# The digits of any time in ms.
TIME_DIGITS: Final = 15
SHOWN_STATES: Final = (*STATES, HELD)
_FILTERS: Final = ("status", "from", "to", "flow", "channel", "language", "target", "error", "after", "before")


def read_filters(values: Mapping[str, str]) -> dict[str, str]:
    """Return the filters of a query, truncated to a length that no valid value exceeds."""
    return {name: values.get(name, "").strip()[:256] for name in _FILTERS}


def read_wanted(filters: Mapping[str, str], store: Store) -> tuple[Wanted, list[str]]:
    """Return the filter of a query, and its errors."""
    wrong = []
    status = filters["status"]
    if status and status not in SHOWN_STATES:
        wrong.append(f"Status is one of {', '.join(SHOWN_STATES)}, not {status[:40]!r}.")
    if filters["channel"] and filters["channel"] not in CHANNELS:
        wrong.append(f"Channel is one of {', '.join(CHANNELS)}, not {filters['channel'][:40]!r}.")
    flows = None
    if target := filters["target"].lower():
        walked = islice(store.flows.walk(view().sid), _FLOWS)
        flows = frozenset(flow.sid for flow in walked if target in f"{flow.target} {flow.integration.url}".lower())
    wanted = Wanted(
        status="queued" if status == HELD else status,
        held=True if status == HELD else None,
        from_=filters["from"],
        to=filters["to"],
        flex_flow_sid=filters["flow"],
        channel=filters["channel"],
        language=filters["language"],
        error=filters["error"],
        flows=flows,
        any_channel=True,
    )
    return wanted, wrong


def read_time(filters: Mapping[str, str], name: str, wrong: list[str]) -> int:
    """Return a time of a query in ms since 1970, 0 for none; append an error to `wrong`."""
    text = filters[name]
    if not text:
        return 0
    try:
        return ms_of(text)
    except ValueError:
        wrong.append(f"{name.capitalize()} must be a time in UTC such as 2026-05-31T22:00, not {text[:40]!r}.")
        return 0
