"""The periods in which an account's messages may have been missed (gaps), and the reports of their recovery."""

import json
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Final

from router.errors import StoreUnavailable
from router.store.client import Client
from router.store.keys import AccountKeys, bucket
from router.store.script import Word, script

# Refused signatures start at most one recovery of an account in this many seconds: anyone can send wrong signatures.
LOOK_SECONDS: Final = 600
# An address that received nothing for this long is not included in a recovery.
SEEN_SECONDS: Final = 30 * 86400
# The maximum number of addresses, and of reports, stored for each account.
SEEN_MOST: Final = 20_000
REPORTS_MOST: Final = 20
# Accounts in one call.
_CHUNK: Final = 500


@dataclass(frozen=True, slots=True)
class Gap:
    """A period in which messages may have been missed, in ms since 1970 by the store's clock."""

    from_: int
    to: int

    def __str__(self) -> str:
        """Return the gap in the scripts' format."""
        return f"{self.from_} {self.to}"

    def merged(self, other: "Gap") -> "Gap":
        """Return the period that begins with the earlier and ends with the later one."""
        return Gap(min(self.from_, other.from_), max(self.to, other.to))


@dataclass(frozen=True, slots=True)
class Report:
    """The result of the recovery of a gap.

    `accepted` counts the recovered messages; `left` holds the number of messages that were only reported, by reason.
    `at` is in ms since 1970.
    """

    at: int
    from_: int
    to: int
    accepted: int
    left: Mapping[str, int]


class Outages:
    """Gaps of the accounts of this store."""

    def __init__(self, client: Client, *, keep_seconds: float) -> None:
        self._client = client
        self._keep_seconds = int(keep_seconds)
        self._begun: set[str] = set()  # buckets that had this process's first heartbeat

    def beat(self, account_sids: Iterable[str], *, master: str, silence: float) -> dict[str, Gap]:
        """Write a heartbeat for these accounts; return their gaps.

        A pause of over `silence` seconds is a gap, and so is the time since the last process stopped. `master` names
        the master process: while it replaces its workers, connections wait, and nothing is missed.
        """
        beats, tags = [], []
        for tag, sids in _in_chunks(account_sids):
            keys = [AccountKeys(tag).alive, AccountKeys(tag).gaps]
            beats.append(
                script("outage_beat", keys, [int(silence * 1000), "" if tag in self._begun else master, *sids])
            )
            tags.append(tag)
        gaps: dict[str, Gap] = {}
        begun: set[str] = set()
        for tag, reply in zip(tags, self._client.answers(beats), strict=True):
            if isinstance(reply, StoreUnavailable):
                continue  # without a heartbeat, these accounts have a gap later
            begun.add(tag)
            for sid, gap in zip(reply[1::2], reply[2::2], strict=True):
                gaps[sid.decode()] = Gap(*map(int, gap.decode().split()))
        self._begun |= begun
        return gaps

    def stop(self, account_sids: Iterable[str], *, master: str) -> None:
        """Record that this process stopped accepting messages of these accounts.

        If no other process serves them, the first heartbeat under another master makes a gap of the time in between.
        """
        chunks = _in_chunks(account_sids)
        self._client.answers([script("outage_stop", [AccountKeys(tag).alive], [master, *sids]) for tag, sids in chunks])

    def extend(self, gaps: Mapping[str, Gap]) -> set[str]:
        """Add periods to the gaps of accounts, by SID; return the accounts whose store has answered."""
        try:
            replies = self._client.answers(
                [
                    script("outage_extend", [AccountKeys(sid).gaps], [sid, gap.from_, gap.to])
                    for sid, gap in gaps.items()
                ]
            )
        except StoreUnavailable:
            return set()
        return {sid for sid, reply in zip(gaps, replies, strict=True) if not isinstance(reply, StoreUnavailable)}

    def close(self, account_sid: str, gap: Gap) -> bool:
        """Remove a gap that has been processed; False if it has grown since."""
        arguments = [account_sid, str(gap)]
        return bool(self._client.script("outage_close", [AccountKeys(account_sid).gaps], arguments, writes=True))

    def take_turn(self, account_sid: str, token: str, seconds: float) -> bool:
        """Acquire or renew the lock for an account's recovery; False when another process has it."""
        key = AccountKeys(account_sid).recovering
        if self._client.call("SET", key, token, "NX", "PX", int(seconds * 1000), writes=True):
            return True
        if self._client.call("GET", key) != token.encode():
            return False
        self._client.call("PEXPIRE", key, int(seconds * 1000), writes=True)
        return True

    def end_turn(self, account_sid: str, token: str) -> None:
        """Release the lock."""
        if self._client.call("GET", AccountKeys(account_sid).recovering) == token.encode():
            self._client.call("DEL", AccountKeys(account_sid).recovering, writes=True)

    def grant_look(self, account_sid: str) -> bool:
        """Return whether refused signatures may start a recovery of this account now: once per `LOOK_SECONDS`."""
        key = AccountKeys(account_sid).looked
        return bool(self._client.call("SET", key, "1", "NX", "EX", LOOK_SECONDS, writes=True))

    def note_seen(self, account_sid: str, identities: Iterable[str], *, now: float) -> None:
        """Record that some canonical addresses received messages, at `now` in seconds since 1970."""
        key, at = AccountKeys(account_sid).seen, int(now * 1000)
        pairs: list[Word] = [word for identity in identities for word in (at, identity)]
        if pairs:
            self._client.calls(
                [
                    ("ZADD", key, *pairs),
                    ("ZREMRANGEBYSCORE", key, "-inf", at - SEEN_SECONDS * 1000),
                    ("ZREMRANGEBYRANK", key, 0, -SEEN_MOST - 1),
                    ("EXPIRE", key, SEEN_SECONDS),
                ]
            )

    def was_seen(self, account_sid: str, identity: str) -> bool:
        """Return whether an address received a message in the last 30 days."""
        at = self._client.call("ZSCORE", AccountKeys(account_sid).seen, identity)
        return at is not None and float(at) > (time.time() - SEEN_SECONDS) * 1000

    def add_report(self, account_sid: str, report: Report) -> None:
        """Store the report of a recovery."""
        key = AccountKeys(account_sid).recovered
        self._client.calls(
            [
                ("LPUSH", key, json.dumps(asdict(report))),
                ("LTRIM", key, 0, REPORTS_MOST - 1),
                ("EXPIRE", key, self._keep_seconds),
            ]
        )

    def reports(self, account_sid: str) -> list[Report]:
        """Return the reports of the last recoveries, the newest first."""
        found = self._client.call("LRANGE", AccountKeys(account_sid).recovered, 0, -1)
        return [Report(**json.loads(each)) for each in found]


def _in_chunks(account_sids: Iterable[str]) -> Iterator[tuple[str, list[str]]]:
    """Yield the accounts of each bucket, at most `_CHUNK` at a time."""
    by_bucket: dict[str, list[str]] = defaultdict(list)
    for sid in account_sids:
        by_bucket[bucket(sid)].append(sid)
    for tag, sids in by_bucket.items():
        for first in range(0, len(sids), _CHUNK):
            yield tag, sids[first : first + _CHUNK]
