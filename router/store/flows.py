"""Flex Flows in Redis, by SID and by the address they belong to."""

import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

from router.errors import FlowConflict, InvalidFlow, RouterError
from router.flow import FlexFlow, from_record, to_record
from router.routing import Entry
from router.store.changes import KEPT, describe
from router.store.client import Client, Word, script
from router.store.keys import AccountKeys

# Flows fetched in one call when all are walked: some 300 KB.
WALK: Final = 500
# Flows that an address may have. A message's routing reads them all, and so does a write that looks for a default.
ADDRESS_MOST: Final = 500
# How often a change is decided anew because somebody else was faster. In each round one of them is through.
_ROUNDS: Final = 100
# Who did it, where nobody says.
_ROUTER: Final = "router"


class FlowChanged(RouterError):  # noqa: N818 - named for what it says
    """Somebody else changed the flow between our read and our write: read again and decide again."""


def parse_record(record: bytes) -> FlexFlow | None:
    """Read a stored flow; None for the empty record, which is a flow that was deleted."""
    return from_record(record.split(b" ", 3)[3].decode()) if record else None


def format_record(flow: FlexFlow) -> str:
    """Write a flow as the scripts read it: target, paused, validity in seconds, JSON."""
    return f"{flow.target} {int(flow.paused)} {flow.validity_period} {to_record(flow)}"


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
        self._check(flow, self._write(_put(flow, replaces, by=by, only_default=only_default), replaces))

    def put_all(self, changes: Sequence[tuple[FlexFlow, FlexFlow | None]], *, by: str = _ROUTER) -> None:
        """Write several flows in one exchange with the store, each as `put` does; raise for the first that failed."""
        writes = [_put(flow, replaces, by=by) for flow, replaces in changes]
        replies = self._client.calls([write("") for write in writes])
        for (flow, replaces), write, reply in zip(changes, writes, replies, strict=True):
            self._check(flow, self._again(write, replaces, reply))

    def delete(self, flow: FlexFlow, *, by: str = _ROUTER) -> None:
        """Remove a flow that was read as `flow`; raise `FlowChanged` when it is not so any more."""
        self._check(flow, self._write(_delete(flow, by), flow))

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

    def count(self, account_sid: str) -> int:
        """Return how many flows the account has."""
        return int(self._client.call("ZCARD", AccountKeys(account_sid).flows))

    def page(self, account_sid: str, offset: int, limit: int) -> list[FlexFlow]:
        """Read flows in the order of their creation, newest first."""
        keys = AccountKeys(account_sid)
        sids = self._client.call("ZREVRANGE", keys.flows, offset, offset + limit - 1)
        return [flow for flow in self._read(keys, sids) if flow]

    def place(self, account_sid: str, rank: int) -> int | None:
        """Return the place of the flow that `rank` flows are newer than; None when there are not so many."""
        found = self._client.call("ZRANGE", AccountKeys(account_sid).flows, rank, rank, "REV", "WITHSCORES")
        return int(float(found[1])) if found else None

    def placed(
        self, account_sid: str, *, name: str = "", beyond: int | None = None, newer: bool = False, chunk: int = WALK
    ) -> Iterator[tuple[int, FlexFlow]]:
        """Walk flows with their places, in the order of their creation; each that stays is seen once.

        Args:
            account_sid: whose flows.
            name: only flows that may have this friendly name: some others are among them.
            beyond: the place to begin after; None for the first.
            newer: towards the newest flow, not the oldest.
            chunk: how many are read at a time.
        """
        keys = AccountKeys(account_sid)
        index = keys.named(name) if name else keys.flows
        end, order = ("+inf", ()) if newer else ("-inf", ("REV",))
        start = f"({beyond}" if beyond is not None else "-inf" if newer else "+inf"
        while found := self._client.call(
            "ZRANGE", index, start, end, "BYSCORE", *order, "LIMIT", 0, chunk, "WITHSCORES"
        ):
            for place, flow in zip(found[1::2], self._read(keys, found[::2]), strict=True):
                if flow:
                    yield int(float(place)), flow
            start = f"({int(float(found[-1]))}"

    def walk(self, account_sid: str) -> Iterator[FlexFlow]:
        """Read all flows of an account, oldest first, in pages; flows written meanwhile may or may not be seen."""
        return (flow for _, flow in self.placed(account_sid, newer=True))

    def _read(self, keys: AccountKeys, sids: Sequence[bytes]) -> list[FlexFlow | None]:
        records = self._client.call("MGET", *[keys.own_flows + sid.decode() for sid in sids]) if sids else []
        return [parse_record(record or b"") for record in records]

    def _write(self, write: "_Write", read: FlexFlow | None) -> list[Any]:
        return self._again(write, read, self._client.call(*write("")))

    def _again(self, write: "_Write", read: FlexFlow | None, reply: list[Any]) -> list[Any]:
        """Write once more over the stored bytes where only they differ: an older version wrote the same flow so."""
        if reply[0] == b"changed" and read is not None and parse_record(reply[1]) == read:
            reply = self._client.call(*write(reply[1]))
        return reply

    def _check(self, flow: FlexFlow, reply: list[Any]) -> None:
        if reply[0] == b"changed":
            raise FlowChanged(f"{flow.sid} was changed or removed by somebody else meanwhile")
        if reply[0] == b"conflict":
            raise FlowConflict(
                "ContactIdentity",
                f"{flow.contact_identity} has an enabled {flow.channel_type} flow without Language and "
                f"Match already: {reply[1].decode()}. Disable that one, or give one of them a Language or a Match",
            )
        if reply[0] == b"full":
            raise InvalidFlow("ContactIdentity", f"{flow.contact_identity} has {ADDRESS_MOST} flows, which is the most")


_Write = Callable[[Word], tuple[Word, ...]]
"""Makes the command of a write over the stored bytes; "" for those that this version would have written."""


def _put(flow: FlexFlow, replaces: FlexFlow | None, *, by: str, only_default: bool = False) -> _Write:
    keys, before = AccountKeys(flow.account_sid), replaces or flow
    rule = "any" if only_default else "enabled" if flow.enabled else ""
    return lambda stored: script(
        "put_flow",
        [
            keys.own_flows + flow.sid,
            keys.addresses + flow.contact_identity,
            keys.addresses + before.contact_identity,
            keys.flows,
            keys.named(flow.friendly_name),
            keys.named(before.friendly_name),
            keys.changes,
        ],
        [
            flow.sid,
            format_record(flow),
            stored or (format_record(replaces) if replaces else ""),
            secrets.token_urlsafe(8),
            keys.own_flows,
            rule if flow.is_default else "",
            flow.channel_type,
            ADDRESS_MOST,
            by,
            describe(replaces, flow),
            KEPT,
        ],
    )


def _delete(flow: FlexFlow, by: str) -> _Write:
    keys = AccountKeys(flow.account_sid)
    return lambda stored: script(
        "delete_flow",
        [
            keys.own_flows + flow.sid,
            keys.addresses + flow.contact_identity,
            keys.flows,
            keys.named(flow.friendly_name),
            keys.changes,
        ],
        [
            flow.sid,
            stored or format_record(flow),
            secrets.token_urlsafe(8),
            by,
            describe(flow, None),
            KEPT,
        ],
    )
