"""Flex Flows in Redis, by SID and by the address they belong to."""

import secrets
from collections.abc import Iterator, Sequence
from typing import Final

from router.errors import FlowConflict, RouterError
from router.flow import FlexFlow, from_record, to_record
from router.routing import Entry
from router.store.client import Client, Word, script
from router.store.keys import AccountKeys

# Flows fetched in one call when all are walked: some 300 KB.
WALK: Final = 500


class FlowChanged(RouterError):  # noqa: N818 - named for what it says
    """Somebody else changed the flow between our read and our write: read again and decide again."""


def parse_record(record: bytes) -> FlexFlow | None:
    """Read a stored flow; None for the empty record, which is a flow that was deleted."""
    return from_record(record.split(b" ", 3)[3].decode()) if record else None


def format_record(flow: FlexFlow) -> str:
    """Write a flow as the scripts read it: target, paused, validity in seconds, JSON."""
    return f"{flow.target} {int(flow.paused)} {flow.validity_period} {to_record(flow)}"


def _put(flow: FlexFlow, replaces: FlexFlow | None) -> tuple[Word, ...]:
    keys = AccountKeys(flow.account_sid)
    return script(
        "put_flow",
        [
            keys.own_flows + flow.sid,
            keys.addresses + flow.contact_identity,
            keys.addresses + (replaces or flow).contact_identity,
            keys.flows,
        ],
        [
            flow.sid,
            format_record(flow),
            format_record(replaces) if replaces else "",
            secrets.token_urlsafe(8),
            flow.date_created,
            keys.own_flows,
            "1" if flow.enabled and flow.is_default else "0",
            flow.channel_type,
        ],
    )


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

    def put(self, flow: FlexFlow, *, replaces: FlexFlow | None = None) -> None:
        """Create a flow, or write it in place of `replaces`, which is how the caller read it.

        Raises `FlowConflict` when another enabled flow without language and match has the address, `FlowChanged` when
        the stored flow is not `replaces` any more.
        """
        self.put_all([(flow, replaces)])

    def put_all(self, changes: Sequence[tuple[FlexFlow, FlexFlow | None]]) -> None:
        """Write several flows in one exchange with the store, each as `put` does; raise for the first that failed."""
        replies = self._client.calls([_put(flow, replaces) for flow, replaces in changes])
        for (flow, _), reply in zip(changes, replies, strict=True):
            if reply[0] == b"conflict":
                raise FlowConflict(
                    "ContactIdentity",
                    f"{flow.contact_identity or '*'} has an enabled {flow.channel_type} flow without Language and "
                    f"Match already: {reply[1].decode()}. Disable that one, or give one of them a Language or a Match",
                )
            if reply[0] == b"changed":
                raise FlowChanged(f"{flow.sid} was changed by somebody else meanwhile")

    def delete(self, flow: FlexFlow) -> None:
        """Remove a flow that was read as `flow`; raise `FlowChanged` when it is not so any more."""
        keys = AccountKeys(flow.account_sid)
        reply = self._client.script(
            "delete_flow",
            [keys.own_flows + flow.sid, keys.addresses + flow.contact_identity, keys.flows],
            [flow.sid, format_record(flow), secrets.token_urlsafe(8)],
        )
        if reply[0] != b"ok":
            raise FlowChanged(f"{flow.sid} was changed or removed by somebody else meanwhile")

    def close(self) -> None:
        """Drop the connection."""
        self._client.close()

    def count(self, account_sid: str) -> int:
        """Return how many flows the account has."""
        return int(self._client.call("ZCARD", AccountKeys(account_sid).flows))

    def page(self, account_sid: str, offset: int, limit: int) -> list[FlexFlow]:
        """Read flows by date created, newest first."""
        keys = AccountKeys(account_sid)
        sids = self._client.call("ZREVRANGE", keys.flows, offset, offset + limit - 1)
        if not sids:
            return []
        records = self._client.call("MGET", *[keys.own_flows + sid.decode() for sid in sids])
        return [flow for record in records if (flow := parse_record(record or b""))]

    def walk(self, account_sid: str) -> Iterator[FlexFlow]:
        """Read all flows of an account, oldest first, in pages; flows written meanwhile may or may not be seen."""
        keys = AccountKeys(account_sid)
        offset = 0
        while sids := self._client.call("ZRANGE", keys.flows, offset, offset + WALK - 1):
            offset += len(sids)
            for record in self._client.call("MGET", *[keys.own_flows + sid.decode() for sid in sids]):
                if flow := parse_record(record or b""):
                    yield flow
