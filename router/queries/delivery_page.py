"""A filtered page of an account's deliveries; it reads a limited number of records, however rare a match is."""

from dataclasses import dataclass
from itertools import islice
from typing import Final

from router.queries.delivery_filter import Wanted
from router.store import Store
from router.store.deliveries import Delivery

# Records read for one filtered page. If fewer match, the page is shorter and continues where this one ended.
LOOKS: Final = 5_000
# Approximate size of a page's records in bytes: a larger result is split, to limit blocking time.
BYTES: Final = 1024 * 1024

Place = tuple[int, str]
"""The end of a page: when the last record read was accepted, in ms since 1970, and its SID."""


@dataclass(frozen=True, slots=True)
class DeliveryPage:
    """Some deliveries, the newest first.

    `last` is where the next page begins, None after the last page. `looked` is how many records were read, back to
    `until`, in ms since 1970.
    """

    deliveries: tuple[Delivery, ...]
    last: Place | None
    looked: int
    until: int


def read_page_of(  # noqa: PLR0913 - where, what, and how much
    store: Store,
    account_sid: str,
    wanted: Wanted,
    *,
    size: int,
    after: int = 0,
    before: int = 0,
    last: Place | None = None,
) -> DeliveryPage:
    """Read the page after `last`.

    Args:
        store: the store.
        account_sid: the account of the deliveries.
        wanted: the filter.
        size: the maximum number of deliveries on a page.
        after: the earliest time of acceptance, in ms since 1970.
        before: the end of the time of acceptance; 0 for none.
        last: the end of the previous page; None for the first page.
    """
    upper = min((bound for bound in (last[0] + 1 if last else 0, before) if bound), default=None)
    found: list[Delivery] = []
    looked, weight, full = 0, 0, False
    reached: Delivery | None = None
    skipping = last is not None
    for delivery in islice(store.deliveries.newest(account_sid, after=after, before=upper), LOOKS):
        if skipping and last is not None and delivery.accepted_at == last[0]:
            skipping = delivery.message_sid != last[1]
            continue  # on the previous page, which ended in this millisecond
        skipping = False
        looked, reached = looked + 1, delivery
        if wanted.takes(delivery):
            found.append(delivery)
            weight += len(delivery.raw) + len(delivery.answer)
            full = len(found) == size or weight > BYTES
            if full:
                break
    more = reached is not None and (full or looked == LOOKS)
    return DeliveryPage(
        tuple(found),
        (reached.accepted_at, reached.message_sid) if more and reached else None,
        looked,
        reached.accepted_at if reached else 0,
    )
