"""Bulk replays: one for each account at a time, kept in the store until all its messages have been handled.

The messages are chosen once, when the replay begins, and listed with the round that each had then. A message that has
been replayed since is in another round, and is skipped.
"""

import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from router.store.client import Client
from router.store.keys import BULK, AccountKeys
from router.store.silence import Silence

if TYPE_CHECKING:
    from router.store.script import Word

# A process that does not renew its turn within this time loses it to another one.
TURN_SECONDS: Final = 15.0
# Messages written in one call.
_TOGETHER: Final = 1000
RESULTS: Final = ("queued", "busy", "gone", "missing", "unrouted")


@dataclass(frozen=True, slots=True)
class BulkReplay:
    """A bulk replay.

    Args:
        id: a random id.
        state: running, stopping, stopped or done.
        by: the user who began it.
        current: whether the current flows route the messages anew, or each goes to its original flow.
        rate: the maximum number of messages a second.
        wanted: the filter that chose them, as a URL query.
        total: how many were chosen.
        results: how many were handled, by result (`router.queries.replay.replay`).
        started: in ms since 1970.
        ended: the same; 0 while it runs.
    """

    id: str
    state: str
    by: str
    current: bool
    rate: int
    wanted: str
    total: int
    results: dict[str, int]
    started: int
    ended: int

    @property
    def runs(self) -> bool:
        """Return whether it has not ended."""
        return self.state in {"running", "stopping"}

    @property
    def looked_at(self) -> int:
        """How many of its messages have been handled."""
        return sum(self.results.values())


@dataclass(frozen=True, slots=True)
class Entry:
    """A message of a bulk replay, and its round when it was chosen.

    `known` is its result if the caller knows already that it cannot be sent again: `unrouted` or `gone`, else "".
    `flow_sid` and `language` are the flow and the language that it goes to, "" for its own flow.
    """

    message_sid: str
    round: int
    known: Literal["", "unrouted", "gone"] = ""
    flow_sid: str = ""
    language: str = ""


class BulkReplays:
    """Reads and writes bulk replays."""

    def __init__(self, client: Client, *, keep_seconds: float) -> None:
        self._client = client
        self._silence = Silence()
        self._keep = int(keep_seconds)

    def begin(  # noqa: PLR0913 - the fields of a replay
        self,
        account_sid: str,
        entries: Sequence[tuple[str, int]],
        *,
        by: str,
        current: bool,
        rate: int,
        wanted: str,
        now: int,
    ) -> str:
        """Begin a replay of these messages, each with its round; return its id, "" if another one is running."""
        id_, keys = secrets.token_hex(8), AccountKeys(account_sid)
        left = f"{keys.bulk_left}{id_}"
        for start in range(0, len(entries), _TOGETHER):
            words = [f"{sid} {round_}" for sid, round_ in entries[start : start + _TOGETHER]]
            self._client.calls([("RPUSH", left, *words), ("EXPIRE", left, self._keep)])
        fields: dict[str, str | int] = {
            "id": id_,
            "state": "running",
            "by": by,
            "current": int(current),
            "rate": rate,
            "wanted": wanted,
            "total": len(entries),
            "started": now,
        }
        args: list[Word] = [self._keep, *(word for pair in fields.items() for word in pair)]
        if not self._client.script("bulk_begin", [keys.bulk], args, writes=True):
            self._client.call("DEL", left)
            return ""
        self._client.call("SADD", BULK, account_sid)
        return id_

    def get(self, account_sid: str) -> BulkReplay | None:
        """Return the account's running replay, or the last one."""
        reply = self._client.call("HGETALL", AccountKeys(account_sid).bulk)
        fields = {name.decode(): value.decode() for name, value in zip(reply[::2], reply[1::2], strict=True)}
        if "id" not in fields:
            return None
        return BulkReplay(
            id=fields["id"],
            state=fields["state"],
            by=fields["by"],
            current=fields["current"] == "1",
            rate=int(fields["rate"]),
            wanted=fields["wanted"],
            total=int(fields["total"]),
            results={name: int(fields[name]) for name in RESULTS if name in fields},
            started=int(fields["started"]),
            ended=int(fields.get("ended", 0)),
        )

    def next(self, account_sid: str, replay: BulkReplay, most: int) -> list[Entry]:
        """Return the next messages; empty if none is left."""
        left = f"{AccountKeys(account_sid).bulk_left}{replay.id}"
        entries = (entry.decode().partition(" ") for entry in self._client.call("LRANGE", left, 0, most - 1))
        return [Entry(sid, int(round_)) for sid, _, round_ in entries]

    def put_back(self, account_sid: str, replay: BulkReplay, messages: Sequence[Entry]) -> bool:
        """Put the next messages back into their lanes, and count the results, in one step.

        Returns False if the replay has ended or shall stop. After a lost reply, the call can be repeated.
        """
        keys, started = AccountKeys(account_sid), time.monotonic()
        args: list[Word] = [replay.id, account_sid, self._silence.ms(account_sid), replay.by]
        for each in messages:
            args += (f"{each.message_sid} {each.round}", each.known, each.flow_sid, each.language)
        going = self._client.script("bulk_replay", [keys.bulk, f"{keys.bulk_left}{replay.id}"], args, writes=True)
        self._silence.end(account_sid, started)
        return bool(going)

    def end(self, account_sid: str, replay: BulkReplay, state: str, *, now: int) -> None:
        """Record that a replay shall stop (`stopping`), or has ended (`stopped` or `done`)."""
        keys = AccountKeys(account_sid)
        over = state != "stopping"
        args: list[Word] = [replay.id, state, now if over else 0]
        self._client.script("bulk_end", [keys.bulk, f"{keys.bulk_left}{replay.id}"], args, writes=True)
        if over:
            self.forget(account_sid)

    def forget(self, account_sid: str) -> None:
        """Remove an account from the set of accounts with a running replay."""
        self._client.call("SREM", BULK, account_sid)

    def running(self) -> set[str]:
        """Return the accounts with a running replay."""
        return {sid.decode() for sid in self._client.call("SMEMBERS", BULK)}

    def take_turn(self, account_sid: str, token: str) -> bool:
        """Acquire or renew the lock for an account's replay; False if another process has it."""
        key = AccountKeys(account_sid).bulk_turn
        args: list[Word] = [token, int(TURN_SECONDS * 1000)]
        return bool(self._client.script("bulk_turn", [key], args, writes=True))

    def end_turn(self, account_sid: str, token: str) -> None:
        """Release the lock."""
        self._client.script("bulk_turn", [AccountKeys(account_sid).bulk_turn], [token, 0], writes=True)
