"""Lanes: one list per conversation, one lease per head. The scripts implement the protocol (docs/lanes.md).

A lease is a random token. Its time counts from before the call that granted it, on this process's monotonic clock.
"""

import json
import secrets
import time
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, Literal

from router.errors import StoreUnavailable
from router.routing.contact import Choice, Migration, contact_id
from router.store.chat_write import Appended
from router.store.client import Client
from router.store.contacts import read_known
from router.store.keys import AccountKeys
from router.store.lease import Acceptance, Claim, Lease, Outcome, Room, Settlement, Written, leased, readable
from router.store.script import Word, script
from router.store.silence import Silence

__all__ = ["Acceptance", "Claim", "Lanes", "Lease", "Outcome", "Room", "Settlement", "Written", "new_token"]

# A head whose lease ended without a result this often is buried, because it may be the head that kills the process.
LOST_LIMIT: Final = 5
# The same for a head whose target is a handler; the loss of the handlers' own process counts, too.
HANDLER_LOST_LIMIT: Final = 2
# The maximum number of due sets, and of ended leases, that one claim reads: about 2 ms of the store's time.
CLAIM_LOOKS: Final = 1000
# The maximum number of lanes that one call of `hurry_target` moves: about 3 ms of the store's time.
HURRY_MOST: Final = 500
# A random place in the index of due sets, which the script chooses.
ANYWHERE: Final = -1


# The value of `kept` in accept.lua's reply for a contact that moved to another flow.
MOVED: Final = 2

_keys = lru_cache(maxsize=1024)(AccountKeys)  # it builds forty strings, so it is cached for each account and bucket


def _migration(move: Migration) -> dict[str, str | bool]:
    return {
        "from": move.from_,
        "to": move.to,
        "share": move.share,
        "drain": move.drain,
        "proxy": move.proxy,
        "service": move.service,
    }


def new_token() -> str:
    """Make a random 128-bit token."""
    return secrets.token_urlsafe(16)


class Lanes:
    """The lanes' operations: accept, claim, settle, replay, and actions on waiting messages."""

    def __init__(
        self,
        client: Client,
        *,
        lease_seconds: float,
        delivered_seconds: float,
        retention_seconds: float,
        sticky_seconds: float,
    ) -> None:
        self._client = client
        self.lease_seconds = lease_seconds
        self._lease_ms = int(lease_seconds * 1000)
        self._delivered_ms = int(delivered_seconds * 1000)
        self._retention_ms = int(retention_seconds * 1000)
        self._sticky_ms = int(sticky_seconds * 1000)
        self._silence = Silence()
        self.confirms = client.replicas > 0  # whether replicas have to confirm a message

    def accept(  # noqa: PLR0913 - a message, its route and its lease: each is named at the call
        self,
        *,
        token: str,
        account_sid: str,
        message_sid: str,
        lane: str,
        disposition: Literal["queue", "unrouted", "redirected"],
        lease: bool,
        versions: Sequence[tuple[str, str]],
        facts: Mapping[str, Word],
        choice: Choice | None = None,
        lease_kept: bool = False,
        final: bool = False,
        appended: Appended | None = None,
    ) -> Acceptance:
        """Put a message into its lane, once; if the reply is lost, repeat it with the same token.

        `versions` are (contact identity, version) of the entries that the route came from, none to skip the check.
        `choice` is the part of the route that depends on the conversation's flow, `lease_kept` whether to grant a lease
        if the conversation stays with another flow, `final` whether the choice holds although the contact has changed.
        `appended` is the message that a web chat gets in the same step.
        """
        keys = _keys(account_sid)
        id_ = f"{account_sid}:{message_sid}"
        fields: list[Word] = []
        for name, value in facts.items():
            fields += (name, value)
        started = time.monotonic()
        reply = self._client.script(
            "accept",
            [
                keys.messages + id_,
                keys.lanes + lane,
                keys.log,
                keys.dead,
                *(appended.keys(account_sid) if appended else ()),
                *[keys.addresses + identity for identity, _ in versions],
                *[keys.contacts + contact_id(identity) for identity in (choice.identities if choice else ())],
            ],
            [
                token,
                disposition,
                lane,
                id_,
                self._lease_ms if lease else 0,
                self._retention_ms,
                self._delivered_ms,
                self._silence.ms(account_sid),
                self._lease_ms if self.confirms else 0,
                self._choice(choice, facts.get("flow", ""), lease_kept=lease_kept, final=final) if choice else "",
                appended.write() if appended else "",
                len(versions),
                *[version for _, version in versions],
                *fields,
            ],
            writes=True,
        )
        self._silence.end(account_sid, started)
        kind = reply[0].decode()
        if kind == "duplicate":
            _, _, state, answer, answered, flow_sid, head = reply
            return Acceptance(kind, head.decode(), state.decode(), answer, answered.decode(), flow_sid.decode())
        if kind == "chat":
            return Acceptance(kind, refusal=reply[2].decode(), index=reply[3])
        if kind == "stale":
            return Acceptance(kind, known=read_known(reply[2:]) if len(reply) > 2 else None)  # noqa: PLR2004 - see there
        _, _, head, flow_sid, language, kept = reply
        if choice is None:
            return Acceptance(kind, head.decode())
        return Acceptance(
            kind,
            head.decode(),
            flow_sid=flow_sid.decode(),
            language=language.decode(),
            kept=bool(kept),
            moved=kept == MOVED,
        )

    def _choice(self, choice: Choice, chosen: Word, *, lease_kept: bool, final: bool) -> str:
        """Return the choice as JSON for choice.lua."""
        migrate = {"migrate": _migration(choice.migration)} if choice.migration else {}
        return json.dumps(
            {
                "ours": choice.ours,
                "identities": choice.identities,
                "strength": int(choice.strength),
                "language": choice.language,
                "confident": int(choice.confident),
                "candidates": {
                    each.flow_sid: (each.disposition, -1 if each.lasting else self._sticky_ms)
                    for each in choice.candidates
                },
                "chosen": chosen,
                "lease": self._lease_ms if lease_kept else 0,
                "known": choice.known,
                "final": final,
                "settled": choice.settled,
                **migrate,
                "learned": json.dumps(choice.learned, separators=(",", ":")) if choice.learned else "",
                "preference": choice.preference,
                "transient": choice.transient,
                "keep": max(self._sticky_ms, self._retention_ms),
            }
        )

    def is_confirmed(self, account_sid: str, seconds: float) -> bool:
        """Return whether enough replicas confirm, within `seconds`, all that was written for an account."""
        return self._client.is_confirmed(AccountKeys(account_sid).leases, seconds)

    def place(self, account_sid: str) -> str:
        """Return the name of the server that has an account: "" if it is no Cluster."""
        return self._client.place(AccountKeys(account_sid).leases)

    def confirm(self, written: Written) -> None:
        """Record that the replicas have a message that was accepted without a lease, so that it may be sent now."""
        self._client.script("confirm", *self._of(written))

    def doubt(self, written: Written, error: str) -> str:
        """Take a message back that the replicas did not confirm; it is sent only if received again, or replayed.

        Returns `doubt`; `known` if a second webhook for it was answered in between, so that it stays in its lane;
        `stale` if it is not in its lane any more, or was sent.
        """
        keys, args = self._of(written)
        return str(self._client.script("doubt", keys, [*args, self._retention_ms, error]).decode())

    def _of(self, written: Written) -> tuple[list[Word], list[Word]]:
        id_ = f"{written.account_sid}:{written.message_sid}"
        silence = self._silence.ms(written.account_sid)
        return [AccountKeys(written.account_sid).messages + id_], [written.token, written.lane, id_, silence]

    def waiting(self, tags: Iterable[str]) -> list[str]:
        """Return the buckets where a lane waits or is leased.

        It sends one EXISTS for each bucket, all together; most of the 256 buckets need no other command. Buckets whose
        node does not answer are left out. Raises `StoreUnavailable` if none answers.
        """
        by_tag = {tag: _keys(tag) for tag in tags}
        counts = self._client.answers([("EXISTS", keys.due, keys.leases) for keys in by_tag.values()])
        return [
            tag for tag, count in zip(by_tag, counts, strict=True) if not isinstance(count, StoreUnavailable) and count
        ]

    def due(self, tags: Iterable[str]) -> list[str]:
        """Return the buckets where `claim` has work; raise as `waiting` does."""
        waiting, started, due = self.waiting(tags), time.monotonic(), []
        looks = [script("look", [_keys(tag).due, _keys(tag).leases], []) for tag in waiting]
        for tag, found in zip(waiting, self._client.answers(looks), strict=True):
            if found == 1:
                due.append(tag)
            elif found == 0:
                self._silence.end(tag, started)  # the clocks were written a second ago at most
        return due

    def claim(self, tag: str, room: Room, *, place: int = 0) -> Claim:
        """Take back a bucket's leases that have ended, and lease heads that are due, as many as `room` allows.

        `place` is the place in the index of due sets to begin at, or `ANYWHERE`. Never repeat it: if the reply is lost,
        the heads that it leased are due again when their leases end.
        """
        token, started = new_token(), time.monotonic()
        limits = {
            "share": room.share,
            "factor": room.factor,
            "accounts": {**room.accounts},
            "targets": {**room.targets},
            "names": {**room.names},
            "shut": dict.fromkeys(room.shut, True),
        }
        reply = self._client.script(
            "claim",
            [_keys(tag).due],
            [
                token,
                room.free,
                self._lease_ms,
                self._retention_ms,
                LOST_LIMIT,
                HANDLER_LOST_LIMIT,
                place,
                CLAIM_LOOKS,
                json.dumps(limits, separators=(",", ":")),
                self._silence.ms(tag),
            ],
        )
        self._silence.end(tag, started)
        now, place, left, *groups = reply
        leases = []
        for account_sid, flow_sid, record, *entries in groups:
            sid = flow_sid.decode()
            flow = readable(record, account_sid.decode(), sid)
            leases += [leased(token, started + self.lease_seconds, now, sid, flow, entry) for entry in entries]
        return Claim(leases, place, bool(left))

    def settle(self, lease: Lease, settlement: Settlement, *, next_token: str) -> tuple[str, Lease | None]:
        """End an attempt; return the script's result (`next`, `done`, `late`, `stale`) and the next head's lease.

        With an empty `next_token` nothing is handed over. If the reply is lost, repeat it with the same tokens.
        """
        keys = _keys(lease.account_sid)
        started = time.monotonic()
        retention = self._delivered_ms if settlement.outcome == "delivered" else self._retention_ms
        fields: list[Word] = []
        for name, value in (settlement.fields or {}).items():
            fields += (name, value)
        reply = self._client.script(
            "settle",
            [keys.messages + lease.id, keys.lanes + lease.lane, keys.dead],
            [
                lease.token,
                lease.round,
                settlement.outcome,
                int(settlement.delay * 1000),
                self._lease_ms if next_token else 0,
                next_token,
                retention,
                lease.lane,
                lease.id,
                self._silence.ms(lease.account_sid),
                settlement.history,
                *fields,
            ],  # without confirmation by replicas: at worst, the message is sent twice
        )
        self._silence.end(lease.account_sid, started)
        kind = reply[0].decode()
        if kind != "next":
            return kind, None
        _, now, flow_sid, record, entry = reply
        sid = flow_sid.decode()
        flow = readable(record, lease.account_sid, sid)
        return kind, leased(next_token, started + self.lease_seconds, now, sid, flow, entry)

    def replay(  # noqa: PLR0913 - a message, its new flow, and its expected round
        self,
        account_sid: str,
        message_sid: str,
        lane: str,
        flow_sid: str = "",
        language: str = "",
        *,
        round_: int | None = None,
        by: str = "",
    ) -> str:
        """Put a message that is done back into its lane; return `queued`, `busy`, `gone` or `missing`.

        With a `flow_sid` it goes to that flow, in that language, else to its own. `round_` is the round that the caller
        read: a message that was replayed since is `busy`. `by` is the user, for the message's record.
        """
        keys = AccountKeys(account_sid)
        id_ = f"{account_sid}:{message_sid}"
        reply = self._client.script(
            "replay",
            [keys.messages + id_],
            [
                lane,
                id_,
                self._silence.ms(account_sid),
                by,
                "" if round_ is None else round_,
                *(("flow", flow_sid, "language", language) if flow_sid else ()),
            ],
            writes=True,
        )
        return str(reply.decode())

    def hold(
        self, account_sid: str, message_sid: str, lane: str, *, by: str = ""
    ) -> Literal["held", "busy", "done", "missing"]:
        """Take a queued message out of its lane, until it is released; `busy` if it is being sent.

        `by` is the user, for the message's record; the same below.
        """
        held: Literal["held", "busy", "done", "missing"] = self._on("hold", account_sid, message_sid, lane, by).decode()
        return held

    def release(
        self, account_sid: str, message_sid: str, lane: str, *, by: str = ""
    ) -> tuple[Literal["released", "other", "missing"], int]:
        """Put a held message at the tail of its lane; return also how many messages are before it there."""
        kind, before = self._on("release", account_sid, message_sid, lane, by)
        return kind.decode(), before

    def cancel(
        self, account_sid: str, message_sid: str, lane: str, reason: str, *, by: str = ""
    ) -> Literal["cancelled", "busy", "done", "missing"]:
        """Make a queued or held message undelivered; `busy` if it is being sent."""
        reply = self._on("cancel", account_sid, message_sid, lane, by, self._retention_ms, reason)
        cancelled: Literal["cancelled", "busy", "done", "missing"] = reply.decode()
        return cancelled

    def hurry(
        self, account_sid: str, message_sid: str, lane: str, *, by: str = ""
    ) -> tuple[Literal["due", "sending", "empty"], str]:
        """Make a message's lane due now, not at its head's next retry; return also the head's MessageSid."""
        keys = AccountKeys(account_sid)
        args: list[Word] = [lane, self._silence.ms(account_sid), f"{account_sid}:{message_sid}", by]
        kind, head = self._client.script("hurry", [keys.lanes + lane], args)
        return kind.decode(), head.decode().partition(":")[2]

    def hurry_target(self, tag: str, account_sid: str, target: str) -> int:
        """Make all lanes of a bucket due now whose heads wait for a retry at a target; return how many there were.

        Only flows of `account_sid` are included; "" for all accounts.
        """
        total = moved = place = 0
        while True:
            count, place = self._client.script(
                "hurry_target",
                [_keys(tag).due],
                [account_sid, target, place, CLAIM_LOOKS, HURRY_MOST, self._silence.ms(tag)],
            )
            total += int(count)
            moved += int(count)
            if place < 0 and not moved:
                return total
            if place < 0:
                place = moved = 0

    def _on(self, name: str, account_sid: str, message_sid: str, lane: str, *args: Word) -> Any:
        """Call a script about one message."""
        id_ = f"{account_sid}:{message_sid}"
        message = AccountKeys(account_sid).messages + id_
        return self._client.script(name, [message], [lane, id_, self._silence.ms(account_sid), *args])

    def take_answer(
        self, account_sid: str, message_sid: str, lane: str, who: Literal["webhook", "rest"]
    ) -> tuple[str, bytes, str]:
        """Take the right to answer the sender, if the message is done.

        Returns the message's state, the answer if there is one and `who` has the right, and the state of its lane's
        head.
        """
        keys = AccountKeys(account_sid)
        message = f"{keys.messages}{account_sid}:{message_sid}"
        state, answer, head = self._client.script("answer", [message, keys.lanes + lane], [who, keys.messages])
        return state.decode(), answer, head.decode()

    def close(self) -> None:
        """Drop the connection."""
        self._client.close()
