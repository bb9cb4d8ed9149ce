"""One page of flows. The cursor is a flow's own position, so concurrent additions and removals do not shift pages."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final, TypeAlias

from router.delivery.yielder import Yielder
from router.flow.flex_flow import FlexFlow
from router.settings import Account
from router.store.flows import WALK, FlowStore, Placed
from router.web.errors import ApiError, invalid
from router.web.paging import PAGE_BYTES, PageRequest, seal, unseal

# Flows read for one filtered page. If fewer match, the page is shorter and links to the next one.
LOOKS: Final = 5_000
_OLDER, _NEWER = "N", "P"  # the first character of a cursor: of a next page, of a previous page

_Wanted: TypeAlias = Callable[[FlexFlow], bool] | None


@dataclass(frozen=True, slots=True)
class FlowPage:
    """The flows of a page, newest first, and the PageTokens of its neighbours, "" if there is no such page."""

    flows: list[FlexFlow]
    next: str
    previous: str


def read_flow_page(  # noqa: PLR0913 - the page, its list, and the filter
    store: FlowStore,
    account: Account,
    asked: PageRequest,
    scope: str,
    *,
    name: str = "",
    channel: str = "",
    wanted: _Wanted = None,
) -> FlowPage:
    """Read the page of a PageToken or, without a token, the page of a number.

    Args:
        store: the flows.
        account: the owner of the flows.
        asked: number, size and token.
        scope: identifies the list and its filters: a token is valid only for its own list.
        name: the friendly name that `wanted` requires, for the index.
        channel: the only channel that `wanted` accepts, so that flows of other channels are not read.
        wanted: selects the flows of the list; None selects all.

    Raises:
        ApiError: 400, a forged PageToken or a Page past the last one.
    """
    cursor = unseal(account, scope, asked.token)
    newer = cursor[:1] == _NEWER
    beyond, skip = (int(cursor[1:]), 0) if cursor else _numbered(store, account, asked, filtered=wanted is not None)
    chunk = WALK if wanted else min(WALK, asked.size + 1)
    walk = store.placed(account.sid, name=name, channel=channel, beyond=beyond, newer=newer, chunk=chunk)
    found, more = _select(walk, asked.size, skip, wanted)
    if not found and asked.number and not cursor:
        raise _past(asked)
    first = found[0][0] if found else beyond
    older, younger = more, first if asked.number else None
    if newer:  # read in reverse; if no flow is left here, the older page begins with the flow that the cursor names
        older, younger = first if found else (beyond or 0) + 1, more
        found.reverse()
    return FlowPage(
        [flow for _, flow in found],
        next=seal(account, scope, "" if older is None else f"{_OLDER}{older}"),
        previous=seal(account, scope, "" if younger is None else f"{_NEWER}{younger}"),
    )


def _numbered(store: FlowStore, account: Account, asked: PageRequest, *, filtered: bool) -> tuple[int | None, int]:
    """Return where the page of a number begins: beyond which position, and after how many matching flows."""
    before = asked.number * asked.size
    if not before or filtered:
        return None, before
    beyond = store.place(account.sid, before - 1)
    if beyond is None:
        raise _past(asked)
    return beyond, 0


def _select(
    walk: Iterator[Placed], size: int, skip: int, wanted: _Wanted
) -> tuple[list[tuple[int, FlexFlow]], int | None]:
    """Take the flows of a page from an iteration; return them, and the position after which more follow, or None."""
    found: list[tuple[int, FlexFlow]] = []
    looked, last, weight, pause = 0, None, 0, Yielder()
    for each in islice(walk, LOOKS):
        pause()
        if each.flow is not None and (wanted is None or wanted(each.flow)):
            if skip:
                skip -= 1
            elif len(found) == size or weight > PAGE_BYTES:
                return found, found[-1][0]
            else:
                found.append((each.place, each.flow))
                weight += each.size
        looked, last = looked + 1, each.place
    return found, last if looked == LOOKS else None


def _past(asked: PageRequest) -> ApiError:
    return invalid("Page", f"{asked.number} is past the last page; follow next_page_url from the first one")
