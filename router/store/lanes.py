"""Lanes: one list per conversation, one lease per head, and scripts that are safe to repeat and hold the protocol.

The lease is a random token; it is counted from before the call that granted it, on this process's monotonic clock.
"""

import json
import secrets
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from router.flow.flex_flow import FlexFlow
from router.message.inbound import Message, Raw
from router.routing.contact import Choice, Known, contact_id
from router.store.client import Client, Word
from router.store.contacts import read_known
from router.store.flows import parse_record
from router.store.keys import AccountKeys, dead_prefix

# A head whose holder vanished this often is buried: it may be what kills the process.
LOST_LIMIT: Final = 5
# Lanes that one claim looks at, at most: some 5 ms of the store's time.
CLAIM_LOOKS: Final = 1000


def new_token() -> str:
    """Make a random 128-bit token."""
    return secrets.token_urlsafe(16)


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to send the head of a lane, with all that sending needs.

    `expires` is in monotonic seconds of this process; `age` is how old the message was when the lease was granted,
    in seconds, by the store's clock and without the time its flow was paused. `content` is the parsed request where
    the process that accepted the message sends it; else `raw` is the packed one.
    """

    token: str
    expires: float
    account_sid: str
    message_sid: str
    lane: str
    raw: bytes
    flow_sid: str
    flow: FlexFlow | None
    age: float
    attempts: int
    failures: int
    refusals: int
    round: int
    answered: bool
    language: str = ""
    content: tuple[Raw, Message] | None = None

    @property
    def id(self) -> str:
        """The message's id in lanes and indexes."""
        return f"{self.account_sid}:{self.message_sid}"

    def read(self) -> tuple[Raw, Message]:
        """Return the request and its message; raise ValueError or NotAMessage when what the store has is damaged."""
        if self.content is not None:
            return self.content
        raw = Raw.unpack(self.raw)
        return raw, Message.parse(raw.fields())


@dataclass(frozen=True, slots=True)
class Acceptance:
    """What became of an `accept`.

    `head` is the state of the head of the message's lane: `sending` means that somebody is at work on it.
    A `duplicate` tells the state, stored answer and flow of the message that came before. Where the route came with a
    choice, `flow_sid` and `language` are those that the message goes by, `kept` says whether because the conversation
    stays with them. A `stale` one tells what is `known` of the contact where that may change the choice.
    """

    kind: Literal["leased", "accepted", "duplicate", "stale"]
    head: str = ""
    state: str = ""
    answer: bytes = b""
    answered: str = ""
    flow_sid: str = ""
    language: str = ""
    kept: bool = False
    known: Known | None = None


Outcome: TypeAlias = Literal["delivered", "undelivered", "unrouted", "retry", "release"]


@dataclass(frozen=True, slots=True)
class Settlement:
    """How an attempt ended, as delivery decided.

    `delay` is in seconds (retry and release); `fields` are written to the message with the outcome.
    """

    outcome: Outcome
    delay: float = 0.0
    fields: Mapping[str, Word] | None = None
    history: str = ""


class Lanes:
    """Accept, claim, settle, replay."""

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
    ) -> Acceptance:
        """Put a message into its lane, once; repeat with the same token when the reply was lost.

        `versions` are (contact identity, version) of the entries that the route came from, none to skip the check.
        `choice` is what the route leaves open, `lease_kept` whether to grant a lease where the conversation stays with
        another flow, `final` whether it counts although the contact is not as the choice took it.
        """
        keys = AccountKeys(account_sid)
        id_ = f"{account_sid}:{message_sid}"
        fields: list[Word] = []
        for name, value in facts.items():
            fields += (name, value)
        reply = self._client.script(
            "accept",
            [
                keys.messages + id_,
                keys.lanes + lane,
                keys.due,
                keys.log,
                keys.dead,
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
                len(versions),
                *[version for _, version in versions],
                self._choice(choice, facts.get("flow", ""), lease_kept=lease_kept, final=final) if choice else "",
                *fields,
            ],
            writes=True,
        )
        kind = reply[0].decode()
        if kind == "duplicate":
            _, _, state, answer, answered, flow_sid, head = reply
            return Acceptance(kind, head.decode(), state.decode(), answer, answered.decode(), flow_sid.decode())
        if kind == "stale":
            return Acceptance(kind, known=read_known(reply[2:]) if len(reply) > 2 else None)  # noqa: PLR2004 - see there
        _, _, head, flow_sid, language, kept = reply
        if choice is None:
            return Acceptance(kind, head.decode())
        return Acceptance(kind, head.decode(), flow_sid=flow_sid.decode(), language=language.decode(), kept=bool(kept))

    def _choice(self, choice: Choice, chosen: Word, *, lease_kept: bool, final: bool) -> str:
        """Write a choice as accept.lua reads it."""
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
                "learned": json.dumps(choice.learned, separators=(",", ":")) if choice.learned else "",
                "preference": choice.preference,
                "transient": choice.transient,
                "keep": max(self._sticky_ms, self._retention_ms),
            }
        )

    def claim(self, tag: str, limit: int, full: Collection[str]) -> tuple[list[Lease], int]:
        """Lease due heads of a bucket; return them and how many lanes were due.

        `full` names what has no room now: "<AccountSid> <target>", or "<target>" for every account.

        Never repeated: what a lost reply leased comes due again when the lease ends.
        """
        keys = AccountKeys(f"{tag}")
        token, started = new_token(), time.monotonic()
        reply = self._client.script(
            "claim",
            [keys.due],
            [
                token,
                limit,
                self._lease_ms,
                LOST_LIMIT,
                self._retention_ms,
                keys.messages,
                keys.lanes,
                dead_prefix(tag),
                keys.flow_records,
                CLAIM_LOOKS,
                *full,
            ],
        )
        now, waiting, *entries = reply
        return [self._lease(token, started, now, entry) for entry in entries], waiting

    def settle(self, lease: Lease, settlement: Settlement, *, next_token: str) -> tuple[str, Lease | None]:
        """End an attempt; return how it went (`next`, `done`, `late`, `stale`) and the lease of the next head.

        With an empty `next_token` nothing is handed over. Repeat with the same token when the reply was lost.
        """
        keys = AccountKeys(lease.account_sid)
        started = time.monotonic()
        retention = self._delivered_ms if settlement.outcome == "delivered" else self._retention_ms
        fields: list[Word] = []
        for name, value in (settlement.fields or {}).items():
            fields += (name, value)
        reply = self._client.script(
            "settle",
            [keys.messages + lease.id, keys.lanes + lease.lane, keys.due, keys.dead],
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
                keys.messages,
                keys.flow_records,
                settlement.history,
                *fields,
            ],  # no replica has to confirm: what is settled twice was sent twice at worst
        )
        kind = reply[0].decode()
        return kind, self._lease(next_token, started, reply[1], reply[2]) if kind == "next" else None

    def replay(self, account_sid: str, message_sid: str, lane: str, flow_sid: str = "", language: str = "") -> str:
        """Put a message that is done back into its lane; return `queued`, `busy`, `gone` or `missing`.

        With a `flow_sid` it goes to that flow, in that language, else to its own.
        """
        keys = AccountKeys(account_sid)
        id_ = f"{account_sid}:{message_sid}"
        reply = self._client.script(
            "replay",
            [keys.messages + id_, keys.lanes + lane, keys.due, keys.dead],
            [lane, id_, *(("flow", flow_sid, "language", language) if flow_sid else ())],
            writes=True,
        )
        return str(reply.decode())

    def take_answer(
        self, account_sid: str, message_sid: str, lane: str, who: Literal["webhook", "rest"]
    ) -> tuple[str, bytes, str]:
        """Take the right to answer the sender, once the message is done.

        Returns the message's state, the answer if there is one and the right is `who`'s, and its lane's head's state.
        """
        keys = AccountKeys(account_sid)
        message = f"{keys.messages}{account_sid}:{message_sid}"
        state, answer, head = self._client.script("answer", [message, keys.lanes + lane], [who, keys.messages])
        return state.decode(), answer, head.decode()

    def close(self) -> None:
        """Drop the connection."""
        self._client.close()

    def _lease(self, token: str, started: float, now: int, entry: list[Any]) -> Lease:
        id_, lane, raw, flow_sid, since, attempts, failures, refusals, round_, answered, language, record = entry
        account_sid, _, message_sid = id_.decode().partition(":")
        return Lease(
            token=token,
            expires=started + self.lease_seconds,
            account_sid=account_sid,
            message_sid=message_sid,
            lane=lane.decode(),
            raw=raw or b"",
            flow_sid=flow_sid.decode(),
            flow=_readable(record),
            age=max(0.0, (now - int(since)) / 1000),
            attempts=int(attempts),
            failures=int(failures),
            refusals=int(refusals),
            round=int(round_),
            answered=bool(answered),
            language=language.decode(),
        )


def _readable(record: bytes) -> FlexFlow | None:
    """Read a flow; one that cannot be read is as good as none, and must not be in the way of other messages."""
    try:
        return parse_record(record)
    except (ValueError, TypeError, KeyError, IndexError):
        return None
