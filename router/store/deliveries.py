"""Reads the delivery records that the lanes write, for lists and queries."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from router.store.client import Client
from router.store.keys import AccountKeys
from router.store.script import script

# Index entries read in one call.
PAGE: Final = 100
# Records read in one call: a reply has at most 10 times 128 KiB, plus answers of 64 KiB.
TOGETHER: Final = 10
# Due sets counted in one call: about 2 ms of the store's time.
BACKLOG: Final = 500
# To read ages in one call: due sets, lanes of one due set, lanes of all due sets. About 4 ms of the store's time.
AGED: Final = 200
AGED_EACH: Final = 100
AGED_MOST: Final = 200
# The maximum number of dead messages counted by state: about 5 ms of the store's time.
DEAD_MOST: Final = 10_000
# The `error` of a message that an operator cancelled.
CANCELLED: Final = "cancelled"


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message and its delivery.

    `state` is one of queued, sending, delivered, undelivered, unrouted, redirected; `accepted_at` is in ms since 1970
    by the store's clock; `raw` is the packed request (`Raw`); `why` holds the steps of the route and `history` a line
    for each attempt. A `recovered` message was fetched from Twilio later, and is never answered. `language` is the
    detected language, if the flow's address has conditions; `lang` is the language in the webhook's URL. `replied` is
    the outcome of an answer that came too late for the webhook. A `held` message is queued, and is in no lane until it
    is released. `excerpt` is the beginning of the last attempt's error answer: the content type, then its first
    characters. `actions` holds the newest actions of people, a line each: `<ms> <what> <who>`.
    """

    account_sid: str
    message_sid: str
    state: str
    accepted_at: int
    raw: bytes
    flow_sid: str
    lane: str
    why: tuple[str, ...]
    attempts: int
    round: int
    error: str
    answer: bytes
    answered: str
    duplicates: int
    history: tuple[str, ...]
    recovered: bool = False
    language: str = ""
    lang: str = ""
    replied: str = ""
    excerpt: str = ""
    doubt: bool = False
    held: bool = False
    actions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Waiting:
    """The position of a queued message in its lane.

    `head` is the SID of the lane's oldest message, which may be the message itself; `due_in` is the time in ms, by the
    store's clock, until the lane is due, 0 when it is due.
    """

    head: str
    head_state: str
    head_flow_sid: str
    due_in: int


@dataclass(frozen=True, slots=True)
class Backlog:
    """How many lanes of a bucket are not empty, and how many are due, without paused flows.

    `overdue` has, for each account, the seconds for which its first due lane has been due, and that lane's flow.
    """

    lanes: int
    due: int
    overdue: Mapping[str, tuple[float, str]]

    @property
    def oldest(self) -> float:
        """The seconds for which the first due lane of all accounts has been due."""
        return max((seconds for seconds, _ in self.overdue.values()), default=0.0)


@dataclass(frozen=True, slots=True)
class Ages:
    """The ages of a bucket's pending messages, without held ones and those of paused flows.

    `oldest` is the age in seconds of the oldest one, by AccountSid and target. Of each flow, only the hundred
    conversations that are due first are read, or fewer if there are very many flows. `ahead` is by how many seconds the
    store's TIME is ahead of the due clock; it is not 0 for a while after the store's clock was set.
    """

    oldest: Mapping[tuple[str, str], float]
    ahead: float


@dataclass(frozen=True, slots=True)
class Counts:
    """An account's numbers of messages: stored, pending, held (which are pending, too), and dead ones by state.

    Of the dead ones only the newest `DEAD_MOST` are counted, without the cancelled ones. `held_since` is the time at
    which the longest-held message was held, in ms since 1970; 0 if no message is held.
    """

    kept: int
    queued: int
    held: int
    undelivered: int
    unrouted: int
    held_since: int = 0


@dataclass(frozen=True, slots=True)
class Rhythm:
    """How many messages were accepted, and how many became undelivered or unrouted, in each of the last minutes."""

    accepted: tuple[int, ...]
    dead: tuple[int, ...]


_FIELDS: Final = (
    "state", "at", "raw", "flow", "lane", "why", "attempts", "round", "error", "answer", "answered", "duplicates",
    "history", "recovered", "language", "lang", "replied", "said", "doubt", "actions",
)  # fmt: skip


# A state that only the scripts use, and the state that stands for it elsewhere.
_STATES: Final[dict[bytes | None, str]] = {b"held": "queued"}


class DeliveryLog:
    """Reads deliveries, one by SID or many by time, and erases their content."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def get(self, account_sid: str, message_sid: str) -> Delivery | None:
        """Read one delivery; None if the account has no record of that SID (any more)."""
        deliveries = self._read(account_sid, [f"{account_sid}:{message_sid}".encode()])
        return deliveries[0] if deliveries else None

    def get_all(self, account_sid: str, message_sids: Sequence[str]) -> dict[str, Delivery]:
        """Read deliveries by their SIDs; those without a record are left out."""
        ids = [f"{account_sid}:{sid}".encode() for sid in message_sids]
        return {each.message_sid: each for each in self._read_all(account_sid, ids)}

    def state(self, account_sid: str, message_sid: str) -> str:
        """Return a delivery's state, "" if it does not exist."""
        keys = AccountKeys(account_sid)
        state = self._client.call("HGET", f"{keys.messages}{account_sid}:{message_sid}", "state")
        return _STATES.get(state, (state or b"").decode())

    def knows(self, account_sid: str, message_sid: str) -> bool:
        """Return whether a message was accepted: there is a record of it, and it is not in doubt."""
        message = f"{AccountKeys(account_sid).messages}{account_sid}:{message_sid}"
        state, doubt = self._client.call("HMGET", message, "state", "doubt")
        return state is not None and doubt is None

    def waiting(self, delivery: Delivery) -> Waiting | None:
        """Return a delivery's position in its lane; None if it does not wait (any more)."""
        if delivery.state != "queued" or delivery.held:
            return None
        reply = self._client.script(
            "waiting", [AccountKeys(delivery.account_sid).lanes + delivery.lane], [delivery.lane]
        )
        if not reply:
            return None
        head, state, flow_sid, left = reply
        return Waiting(head.decode().partition(":")[2], state.decode(), flow_sid.decode(), left)

    def waiting_conversations(self, account_sid: str, flow_sid: str) -> int:
        """Count the conversations whose next message waits for a flow."""
        return int(self._client.call("ZCARD", f"{AccountKeys(account_sid).due}:{account_sid}:{flow_sid}"))

    def lane(self, delivery: Delivery, most: int) -> list[str]:
        """Return the SIDs of the first messages in a delivery's lane, in order; the first one is the head."""
        ids = self._client.call("LRANGE", AccountKeys(delivery.account_sid).lanes + delivery.lane, 0, most - 1)
        return [id_.decode().partition(":")[2] for id_ in ids]

    def newest(
        self, account_sid: str, *, after: int = 0, before: int | None = None, dead: bool = False
    ) -> Iterator[Delivery]:
        """Walk deliveries from the newest to the oldest, from `after` and until just before `before`, in ms since 1970.

        With `dead` only undelivered and unrouted ones, by the time at which they reached that state.
        """
        keys = AccountKeys(account_sid)
        top: str | bytes = "+inf" if before is None else f"({before}"
        offset = 0
        seen: set[bytes] = set()  # ids with the score at which the next page begins; keeps pages stable
        while reply := self._client.call(
            "ZRANGE", keys.dead if dead else keys.log, top, after, "BYSCORE", "REV", "LIMIT", offset, PAGE, "WITHSCORES"
        ):
            ids, scores = reply[::2], reply[1::2]
            yield from self._read_all(account_sid, [id_ for id_ in ids if id_ not in seen])
            if len(ids) < PAGE:
                return
            if scores[-1] == top:
                offset += len(ids)
                seen.update(ids)
            else:
                top, offset = scores[-1], 0
                seen = {id_ for id_, score in zip(ids, scores, strict=True) if score == top}

    def oldest(self, account_sid: str, *, after: int = 0, until: int | None = None) -> Iterator[Delivery]:
        """Walk undelivered and unrouted messages from the oldest to the newest, the order of a replay.

        Only those that became so from `after` to `until`, in ms since 1970.
        """
        keys = AccountKeys(account_sid)
        ids = self._client.call("ZRANGE", keys.dead, after, "+inf" if until is None else until, "BYSCORE")
        times = [
            int(time or 0)
            for start in range(0, len(ids), PAGE)
            for time in self._client.calls(
                [("HGET", keys.messages.encode() + id_, "at") for id_ in ids[start : start + PAGE]]
            )
        ]
        # The index is sorted by the time of failure; messages of the same millisecond are in order of acceptance.
        ordered = [id_ for _, id_ in sorted(zip(times, ids, strict=True), key=lambda pair: pair[0])]
        for start in range(0, len(ordered), PAGE):
            yield from self._read_all(account_sid, ordered[start : start + PAGE])

    def note(self, account_sid: str, message_sid: str, outcome: str) -> None:
        """Store the outcome of a message's late answer, if its record still exists."""
        self._client.script("note", [f"{AccountKeys(account_sid).messages}{account_sid}:{message_sid}"], [outcome])

    def mark(self, account_sid: str) -> str:
        """Return a text that changes with each new message, and with most changes of a message's state."""
        keys = AccountKeys(account_sid)
        kept, newest, queued, held, dead = self._client.calls(
            [
                ("ZCARD", keys.log),
                ("ZRANGE", keys.log, 0, 0, "REV"),
                ("HGET", keys.queued, account_sid),
                ("ZCARD", keys.held),
                ("ZCARD", keys.dead),
            ]
        )
        return f"{kept} {newest} {queued} {held} {dead}"

    def counts(self, account_sid: str) -> Counts:
        """Count an account's messages by state."""
        keys = AccountKeys(account_sid)
        kept, queued, held, first, (undelivered, unrouted) = self._client.calls(
            [
                ("ZCARD", keys.log),
                ("HGET", keys.queued, account_sid),
                ("ZCARD", keys.held),
                ("ZRANGE", keys.held, 0, 0, "WITHSCORES"),
                script("dead", [keys.dead], [keys.messages, DEAD_MOST, CANCELLED]),
            ]
        )
        return Counts(kept, int(queued or 0), held, undelivered, unrouted, int(float(first[1])) if first else 0)

    def rhythm(self, account_sid: str, now: int, *, minutes: int = 60) -> Rhythm:
        """Count an account's messages by minute; `now` is in seconds since 1970. A replayed message is not dead."""
        keys, end = AccountKeys(account_sid), now * 1000
        spans = [(end - left * 60_000, f"({end - (left - 1) * 60_000}") for left in range(minutes, 0, -1)]
        counts = self._client.calls([("ZCOUNT", key, *span) for key in (keys.log, keys.dead) for span in spans])
        return Rhythm(tuple(counts[:minutes]), tuple(counts[minutes:]))

    def backlog(self, tag: str) -> Backlog:
        """Count a bucket's lanes."""
        keys = AccountKeys(tag)
        lanes, due = self._client.call("ZCARD", keys.leases), 0
        overdue: dict[str, tuple[float, str]] = {}
        place, seen = 0, BACKLOG
        while seen == BACKLOG:
            seen, waiting, ready, *longest = self._client.script("backlog", [keys.due], [place, BACKLOG])
            place, lanes, due = place + seen, lanes + waiting, due + ready
            for where, ms in zip(longest[::2], longest[1::2], strict=True):
                account_sid, _, flow_sid = where.decode().partition(":")
                overdue.setdefault(account_sid, (ms / 1000, flow_sid))
        return Backlog(lanes, due, overdue)

    def ages(self, tag: str) -> Ages:
        """Read the ages of a bucket's pending messages."""
        keys = AccountKeys(tag)
        oldest: dict[tuple[str, str], float] = {}
        place, seen, ahead = 0, AGED, 0.0
        while seen == AGED:
            seen, ms, *ages = self._client.script("ages", [keys.due], [place, AGED, AGED_EACH, AGED_MOST])
            place, ahead = place + seen, ms / 1000
            for due_set, target, age in ages:
                key = (due_set.decode().partition(":")[0], target.decode())
                oldest[key] = max(oldest.get(key, 0.0), age / 1000)
        return Ages(oldest, ahead)

    def erase(self, account_sid: str, message_sids: Sequence[str]) -> list[bool]:
        """Erase the content and the sender of messages; return for each whether it is erased, False if pending."""
        keys = AccountKeys(account_sid)
        ids = [f"{account_sid}:{sid}" for sid in message_sids]
        done = self._client.script("erase_messages", [keys.dead, *(keys.messages + id_ for id_ in ids)], ids)
        return [each == 1 for each in done]

    def _read_all(self, account_sid: str, ids: list[bytes]) -> Iterator[Delivery]:
        for start in range(0, len(ids), TOGETHER):
            yield from self._read(account_sid, ids[start : start + TOGETHER])

    def _read(self, account_sid: str, ids: list[bytes]) -> list[Delivery]:
        prefix = AccountKeys(account_sid).messages.encode()
        replies = self._client.calls([("HMGET", prefix + id_, *_FIELDS) for id_ in ids])
        return [_delivery(id_.decode(), reply) for id_, reply in zip(ids, replies, strict=True) if reply[0] is not None]


def _delivery(id_: str, values: list[bytes | None]) -> Delivery:
    account_sid, _, message_sid = id_.partition(":")
    fields = dict(zip(_FIELDS, values, strict=True))

    def text(name: str) -> str:
        return (fields[name] or b"").decode(errors="replace")

    return Delivery(
        account_sid=account_sid,
        message_sid=message_sid,
        state=_STATES.get(fields["state"], text("state")),
        accepted_at=int(fields["at"] or 0),
        raw=fields["raw"] or b"",
        flow_sid=text("flow"),
        lane=text("lane"),
        why=tuple(text("why").splitlines()),
        attempts=int(fields["attempts"] or 0),
        round=int(fields["round"] or 0),
        error=text("error"),
        answer=fields["answer"] or b"",
        answered=text("answered"),
        duplicates=int(fields["duplicates"] or 0),
        history=tuple(text("history").splitlines()),
        recovered=fields["recovered"] is not None,
        language=text("language"),
        lang=text("lang"),
        replied=text("replied"),
        excerpt=text("said"),
        doubt=fields["doubt"] is not None,
        held=fields["state"] == b"held",
        actions=tuple(text("actions").splitlines()),
    )
