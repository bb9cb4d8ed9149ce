"""Flex Flows in Redis, by SID and by the address they belong to."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from router.flow.flex_flow import FlexFlow
from router.routing.resolve import Entry
from router.store.client import Client
from router.store.flow_write import FlowChanged, FlowWrite, check, command, parse_record
from router.store.keys import AccountKeys

__all__ = ["WALK", "FlowChanged", "FlowStore", "FlowWrite", "Placed", "parse_record"]

# Flows looked for at a time when all are walked.
WALK: Final = 500
# What one call reads of them, about: 500 flows, or four with the longest FallbackTwiml. Between two calls the process
# does what else there is to do, and so does the store.
WALK_BYTES: Final = 256 * 1024
# How often a change is decided anew because somebody else was faster. In each round one of them is through.
_ROUNDS: Final = 100
# Who did it, where nobody says.
_ROUTER: Final = "router"


@dataclass(frozen=True, slots=True)
class Placed:
    """A flow in a walk, its place in the order of creation, and how many bytes its record has."""

    place: int
    flow: FlexFlow | None
    size: int


class FlowStore:
    """Reads and writes flows. Every write changes the version of the address entries it touches, in the same script."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def entries(self, account_sid: str, identities: Sequence[str]) -> tuple[Entry, ...]:
        """Read the address entries of contact identities, with their flows as they are now."""
        keys = AccountKeys(account_sid)
        reply = self._client.script("entries", [keys.addresses + name for name in identities], [keys.own_flows])
        entries = []
        for identity, (version, *records) in zip(identities, reply, strict=True):
            flows = tuple(flow for record in records if (flow := parse_record(record)))
            entries.append(Entry(identity, version.decode(), flows))
        return tuple(entries)

    def get(self, account_sid: str, sid: str) -> FlexFlow | None:
        """Read one flow."""
        return parse_record(self._client.call("GET", AccountKeys(account_sid).own_flows + sid) or b"")

    def put(
        self, flow: FlexFlow, *, replaces: FlexFlow | None = None, by: str = _ROUTER, only_default: bool = False
    ) -> None:
        """Create a flow, or write it in place of `replaces`, which is how the caller read it.

        Args:
            flow: the flow as it shall be.
            replaces: as it was read; None for a new one.
            by: who does it, for the list of changes.
            only_default: whether a disabled flow without language and match on the same address is a conflict too.

        Raises:
            FlowConflict: another enabled flow without language and match has the address.
            FlowChanged: the stored flow is not `replaces` any more.
            InvalidFlow: the address has too many flows.
        """
        self.write([[FlowWrite(flow, replaces, only_default)]], by=by)

    def put_all(self, changes: Sequence[tuple[FlexFlow, FlexFlow | None]], *, by: str = _ROUTER) -> None:
        """Write several flows in one exchange with the store, each as `put` does; raise for the first that failed."""
        self.write([[FlowWrite(flow, replaces)] for flow, replaces in changes], by=by)

    def write(self, groups: Sequence[Sequence[FlowWrite]], *, by: str = _ROUTER) -> None:
        """Make writes in one exchange with the store, those of a group all or none; raise for the first that failed.

        Nobody sees a group half written, so flows may exchange their addresses in it. Raises as `put` does.
        """
        replies = self._client.calls([command(group, by, {}) for group in groups])
        for group, reply in zip(groups, replies, strict=True):
            check(group, self._again(group, by, reply))

    def delete(self, flow: FlexFlow, *, by: str = _ROUTER) -> None:
        """Remove a flow that was read as `flow`; raise `FlowChanged` when it is not so any more."""
        self.write([[FlowWrite(None, flow)]], by=by)

    def update(
        self, account_sid: str, sid: str, change: Callable[[FlexFlow], FlexFlow], *, by: str = _ROUTER
    ) -> FlexFlow | None:
        """Change a flow as it is now, and decide again whenever somebody else changed it meanwhile.

        Nothing is written where nothing but the date would change. Returns the flow as it is then, None when there is
        none of this SID; raises as `put` does, and what `change` raises.
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
        """Remove a flow however it is now; return it as it was, None when there is none of this SID."""
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
        """Drop the connection."""
        self._client.close()

    def beginning(self, account_sid: str, start: str) -> list[str]:
        """Return the SIDs of the account's flows that begin so, in no order; a million take half a second."""
        key, found, cursor = AccountKeys(account_sid).flows, set[bytes](), b"0"
        while True:
            cursor, pairs = self._client.call("ZSCAN", key, cursor, "MATCH", f"{start}*", "COUNT", 10_000)
            found.update(pairs[::2])
            if cursor == b"0":
                return [sid.decode() for sid in found]

    def count(self, account_sid: str) -> int:
        """Return how many flows the account has."""
        return int(self._client.call("ZCARD", AccountKeys(account_sid).flows))

    def page(self, account_sid: str, offset: int, limit: int) -> list[FlexFlow]:
        """Read flows in the order of their creation, newest first."""
        keys = AccountKeys(account_sid)
        sids = self._client.call("ZREVRANGE", keys.flows, offset, offset + limit - 1)
        return [flow for record in self._records(keys, sids) if record and (flow := parse_record(record))]

    def place(self, account_sid: str, rank: int) -> int | None:
        """Return the place of the flow that `rank` flows are newer than; None when there are not so many."""
        found = self._client.call("ZRANGE", AccountKeys(account_sid).flows, rank, rank, "REV", "WITHSCORES")
        return int(float(found[1])) if found else None

    def placed(  # noqa: PLR0913 - which of them, from where, in which direction, and how
        self,
        account_sid: str,
        *,
        name: str = "",
        channel: str = "",
        beyond: int | None = None,
        newer: bool = False,
        chunk: int = WALK,
    ) -> Iterator[Placed]:
        """Walk flows with their places, in the order of their creation; each that stays is seen once.

        Args:
            account_sid: whose flows.
            name: only flows that may have this friendly name: some others are among them.
            channel: the other flows than those of this channel may be given as None: reading one takes twenty times
                as long as passing over it.
            beyond: the place to begin after; None for the first.
            newer: towards the newest flow, not the oldest.
            chunk: how many are read at a time.
        """
        keys = AccountKeys(account_sid)
        word = f'"{channel}"'.encode() if channel else b""
        index = keys.named(name) if name else keys.flows
        end, order = ("+inf", ()) if newer else ("-inf", ("REV",))
        start = f"({beyond}" if beyond is not None else "-inf" if newer else "+inf"
        while found := self._client.call(
            "ZRANGE", index, start, end, "BYSCORE", *order, "LIMIT", 0, chunk, "WITHSCORES"
        ):
            for place, record in zip(found[1::2], self._records(keys, found[::2]), strict=True):
                if record:
                    yield Placed(int(float(place)), parse_record(record) if word in record else None, len(record))
            start = f"({int(float(found[-1]))}"

    def walk(self, account_sid: str) -> Iterator[FlexFlow]:
        """Read all flows of an account, oldest first, in pages; flows written meanwhile may or may not be seen."""
        return (each.flow for each in self.placed(account_sid, newer=True) if each.flow)

    def _records(self, keys: AccountKeys, sids: Sequence[bytes]) -> Iterator[bytes]:
        """Read records, "" for one that is gone meanwhile, as they are asked for."""
        names, at, many = [keys.own_flows + sid.decode() for sid in sids], 0, WALK
        while at < len(names):
            found = self._client.script("flow_records", names[at : at + many], [WALK_BYTES])
            yield from found
            at, many = at + len(found), 2 * len(found)

    def _again(self, group: Sequence[FlowWrite], by: str, reply: list[Any]) -> list[Any]:
        """Write once more over the stored bytes where only they differ: an older version wrote the same flow so."""
        stored: dict[int, bytes] = {}
        while reply[0] == b"changed" and (place := reply[1] - 1) not in stored:
            before = group[place].before
            if before is None or parse_record(reply[2]) != before:
                break
            stored[place] = reply[2]
            reply = self._client.call(*command(group, by, stored))
        return reply
