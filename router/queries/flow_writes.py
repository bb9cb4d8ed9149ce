"""Divides the changes of many flows into exchanges with the store that it carries out without a noticeable pause."""

from collections.abc import Iterator, Sequence
from typing import Final

from router.flow.diff import Change, in_groups
from router.store.flow_write import FlowWrite

# Flows in one exchange with the store: about 100 KB and a few ms of its time, far below its one-second limit.
_CHUNK: Final = 200
# The maximum number of flows that are written together: that blocks the store for about 35 ms.
_TOGETHER: Final = 2_000


def exchanges(changes: Sequence[Change]) -> Iterator[list[list[FlowWrite]]]:
    """Divide the changes into exchanges with the store, each with groups that are written together."""
    groups: list[list[FlowWrite]] = []
    size = 0
    for group in in_groups(changes):
        writes = [FlowWrite(change.after, change.before) for change in group]
        # If flows move between very many addresses, they are written one by one: together they would block the store.
        for together in [writes] if len(writes) <= _TOGETHER else [[write] for write in writes]:
            if size + len(together) > _CHUNK and groups:
                yield groups
                groups, size = [], 0
            groups.append(together)
            size += len(together)
    if groups:
        yield groups
