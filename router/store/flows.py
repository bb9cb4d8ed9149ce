"""Flex Flows in Redis, by SID and by the address they belong to."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Final

from router.flow.flex_flow import FlexFlow
from router.routing.resolve import Entry
from router.store.client import Client
from router.store.flow_write import FlowChanged, FlowWrite, check, command, parse_record
from router.store.keys import AccountKeys

__all__ = ["WALK", "FlowChanged", "FlowStore", "FlowWrite", "Placed", "parse_record"]

# Flows read in one call when all flows are read.
WALK: Final = 500
# Approximate bytes read in one call: 500 flows, or four with the longest FallbackTwiml. Between two calls the process
# and the store serve other work.
WALK_BYTES: Final = 256 * 1024
# The maximum number of retries of a concurrent change. In each round, one of the writers succeeds.
_ROUNDS: Final = 100
_keys = lru_cache(maxsize=1024)(AccountKeys)  # cached, because every message may need it
# The default user in the change log.
_ROUTER: Final = "router"


@dataclass(frozen=True, slots=True)
class Placed:
    """A flow, its position in the order of creation, and the size of its record in bytes."""

    place: int
    flow: FlexFlow | None
    size: int


class FlowStore:
    """Reads and writes flows. Every write changes the version of the address entries it touches, in the same script."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def entries(self, account_sid: str, identities: Sequence[str]) -> tuple[Entry, ...]:
        """Read the address entries of contact identities, with their flows as they are now."""
        keys = _keys(account_sid)
        reply = self._client.script("entries", [keys.addresses + name for name in identities], [keys.own_flows])
        entries = []
        for identity, (version, *records) in zip(identities, reply, strict=True):
            pairs = zip(records[::2], records[1::2], strict=True)
            flows = tuple(flow for sid, record in pairs if (flow := parse_record(record, account_sid, sid.decode())))
            entries.append(Entry(identity, version.decode(), flows))
        return tuple(entries)

    def get(self, account_sid: str, sid: str) -> FlexFlow | None:
        """Read one flow."""
        return parse_record(self._client.call("GET", AccountKeys(account_sid).own_flows + sid) or b"", account_sid, sid)

    def put(
        self, flow: FlexFlow, *, replaces: FlexFlow | None = None, by: str = _ROUTER, only_default: bool = False
    ) -> None:
        """Create a flow, or replace the version `replaces` that the caller read.

        Args:
            flow: the new version.
            replaces: the version that was read; None for a new flow.
            by: the user, for the change log.
            only_default: whether a disabled flow without language and match on the same address is a conflict, too.

        Raises:
            FlowConflict: another enabled flow without language and match has the address.
            FlowChanged: the stored flow differs from `replaces`.
            InvalidFlow: the address has too many flows.
        """
        self.write([[FlowWrite(flow, replaces, only_default)]], by=by)

    def put_all(self, changes: Sequence[tuple[FlexFlow, FlexFlow | None]], *, by: str = _ROUTER) -> None:
        """Write several flows in one exchange with the store, each as `put` does; raise for the first that failed."""
        self.write([[FlowWrite(flow, replaces)] for flow, replaces in changes], by=by)

    def write(self, groups: Sequence[Sequence[FlowWrite]], *, by: str = _ROUTER) -> None:
        """Send all writes in one exchange with the store; each group is atomic; raise for the first that failed.

        Readers never see a partly written group, so its flows may exchange their addresses. Raises as `put` does.
        """
        replies = self._client.calls([command(group, by, {}) for group in groups])
        for group, reply in zip(groups, replies, strict=True):
            check(group, self._again(group, by, reply))

    def delete(self, flow: FlexFlow, *, by: str = _ROUTER) -> None:
        """Remove a flow that was read as `flow`; raise `FlowChanged` if it has changed since."""
        self.write([[FlowWrite(None, flow)]], by=by)

    def update(
        self, account_sid: str, sid: str, change: Callable[[FlexFlow], FlexFlow], *, by: str = _ROUTER
    ) -> FlexFlow | None:
        """Read, change and write a flow; after a concurrent change, read it again and retry.

        Nothing is written if only the date would change. Returns the resulting flow, None if the SID does not exist;
        raises as `put` does, and what `change` raises.
        """
        for _ in range(_ROUNDS):
            current = self.get(account_sid, sid)
            if current is None:
                return None
            wanted = change(current)
            if replace(wanted, date_updated=current.date_updated) == current:
                return current
            try:
                self.put(wanted, replaces=current, by=by)
            except FlowChanged:
                continue
            return wanted
        raise FlowChanged(f"{sid} is being changed by so many others that this change found no moment; try again")

    def remove(self, account_sid: str, sid: str, *, by: str = _ROUTER) -> FlexFlow | None:
        """Remove the current version of a flow; return it, None if the SID does not exist."""
        for _ in range(_ROUNDS):
            current = self.get(account_sid, sid)
            if current is None:
                return None
            try:
                self.delete(current, by=by)
            except FlowChanged:
                continue
            return current
        raise FlowChanged(f"{sid} is being changed by so many others that it could not be removed; try again")

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def beginning(self, account_sid: str, start: str) -> list[str]:
        """Return the SIDs of the account's flows with this prefix, unordered; half a second for a million flows."""
        key, sids, cursor = AccountKeys(account_sid).flows, set[bytes](), b"0"
        while True:
            cursor, pairs = self._client.call("ZSCAN", key, cursor, "MATCH", f"{start}*", "COUNT", 10_000)
            sids.update(pairs[::2])
            if cursor == b"0":
                return [sid.decode() for sid in sids]

    def count(self, account_sid: str) -> int:
        """Return how many flows the account has."""
        return int(self._client.call("ZCARD", AccountKeys(account_sid).flows))

    def page(self, account_sid: str, offset: int, limit: int) -> list[FlexFlow]:
        """Read flows in the order of their creation, newest first."""
        keys = AccountKeys(account_sid)
        sids = self._client.call("ZREVRANGE", keys.flows, offset, offset + limit - 1)
        records = zip(sids, self._records(keys, sids), strict=True)
        return [flow for sid, record in records if (flow := parse_record(record, account_sid, sid.decode()))]

    def place(self, account_sid: str, rank: int) -> int | None:
        """Return the position of the flow at `rank`, counted from the newest, from 0; None if it does not exist."""
        entry = self._client.call("ZRANGE", AccountKeys(account_sid).flows, rank, rank, "REV", "WITHSCORES")
        return int(float(entry[1])) if entry else None

    def placed(  # noqa: PLR0913 - filters, start, direction and chunk size
        self,
        account_sid: str,
        *,
        name: str = "",
        channel: str = "",
        beyond: int | None = None,
        newer: bool = False,
        chunk: int = WALK,
    ) -> Iterator[Placed]:
        """Walk flows with their positions, in the order of creation; a flow that is not removed is returned once.

        Args:
            account_sid: the account of the flows.
            name: return only flows that may have this friendly name; the index may include some others.
            channel: flows of other channels may be returned as None, as skipping a flow is twenty times faster than
                reading it.
            beyond: the position after which to begin; None for the start.
            newer: whether to go from old to new.
            chunk: how many are read in one call.
        """
        keys = AccountKeys(account_sid)
        word = f'"{channel}"'.encode() if channel else b""
        index = keys.named(name) if name else keys.flows
        end, order = ("+inf", ()) if newer else ("-inf", ("REV",))
        start = f"({beyond}" if beyond is not None else "-inf" if newer else "+inf"
        while entries := self._client.call(
            "ZRANGE", index, start, end, "BYSCORE", *order, "LIMIT", 0, chunk, "WITHSCORES"
        ):
            for sid, place, record in zip(entries[::2], entries[1::2], self._records(keys, entries[::2]), strict=True):
                if record:
                    flow = parse_record(record, account_sid, sid.decode()) if word in record else None
                    yield Placed(int(float(place)), flow, len(record))
            start = f"({int(float(entries[-1]))}"

    def walk(self, account_sid: str) -> Iterator[FlexFlow]:
        """Read all flows of an account, oldest first, in pages; concurrent writes may or may not be included."""
        return (each.flow for each in self.placed(account_sid, newer=True) if each.flow)

    def _records(self, keys: AccountKeys, sids: Sequence[bytes]) -> Iterator[bytes]:
        """Read records lazily, "" for a flow that has been removed since."""
        names, at, many = [keys.own_flows + sid.decode() for sid in sids], 0, WALK
        while at < len(names):
            records = self._client.script("flow_records", names[at : at + many], [WALK_BYTES])
            yield from records
            at, many = at + len(records), 2 * len(records)

    def _again(self, group: Sequence[FlowWrite], by: str, reply: list[Any]) -> list[Any]:
        """Retry writes whose stored flow is equal but has other bytes, as written by an older version."""
        stored: dict[int, bytes] = {}
        while reply[0] == b"changed" and (place := reply[1] - 1) not in stored:
            before = group[place].before
            if before is None or parse_record(reply[2], before.account_sid, before.sid) != before:
                break
            stored[place] = reply[2]
            reply = self._client.call(*command(group, by, stored))
        return reply
