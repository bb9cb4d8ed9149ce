"""Upkeep of the store: index entries whose message has expired, and accounts that were taken out of the settings.

All that Redis does not let expire by itself ends here; keys.py lists every key with its end. One process at a time does
it, in steps of about a millisecond of the store's time, and goes on until nothing is left to do. It works in a full
store too.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from router.store.client import Client, Word, script
from router.store.keys import BUCKETS, TURN, AccountKeys, bucket

# Between two rounds: what expires is in the indexes for as long again at most.
TURN_SECONDS: Final = 300
# Index entries, or keys, looked at in one step: 4 µs of the store's time each when they are dropped.
PAGE: Final = 250
# An account is forgotten when routers have run for so long without it. Time in which no router runs does not count,
# and no clock: a step of the store's clock must not erase an account.
ABSENT_SECONDS: Final = 30 * 86_400


class Upkeep:
    """Does what is to be done to the store regularly.

    Args:
        client: the store.
        account_sids: the accounts in this process's settings.
        delivered_seconds: how long delivered messages are kept.
        retention_seconds: how long undelivered and unrouted ones are.
    """

    def __init__(
        self, client: Client, account_sids: Iterable[str], *, delivered_seconds: float, retention_seconds: float
    ) -> None:
        self._client = client
        self._own = tuple(account_sids)
        self._delivered_ms = int(delivered_seconds * 1000)
        self._retention_ms = int(retention_seconds * 1000)
        self.absent_seconds = max(ABSENT_SECONDS, int(retention_seconds))

    def round(self) -> Iterator[str]:
        """Note that this process's accounts are in use; when it is this process's turn, do all that there is to do.

        Yields after each step, so that the caller may let others work or stop: the SID of an account that was just
        forgotten, else "". Raises `StoreUnavailable`, after which a later round does the rest.
        """
        turn = self._client.script("turn", [TURN], [TURN_SECONDS]) == 1
        for sid, seconds in self._note(TURN_SECONDS if turn else 0).items():
            if not turn:
                return
            if seconds < self.absent_seconds:
                for _ in self.trim(sid):
                    yield ""
            else:
                for gone in self._forget(sid):
                    yield sid if gone else ""

    def absent(self) -> Mapping[str, int]:
        """Return the accounts that are in no settings, and for how many seconds routers have run without them."""
        known = self._read(self._client.calls([("HGETALL", AccountKeys(tag).accounts) for tag in BUCKETS]))
        return {sid: seconds for sid, seconds in known.items() if seconds and sid not in self._own}

    def trim(self, account_sid: str) -> Iterator[int]:
        """Drop an account's index entries whose message has expired; yield for each page how many were dropped."""
        keys = AccountKeys(account_sid)
        for index, age in ((keys.log, self._delivered_ms), (keys.dead, self._retention_ms)):
            start, looked = "-inf", PAGE
            while looked == PAGE:
                looked, dropped, last = self._client.script("trim", [index], [age, start, PAGE, keys.messages])
                yield dropped
                # The next page begins with the same score again, of which there may be more, but it is another page.
                start = f"({start}" if last.decode() == start and not dropped else last.decode()

    def _note(self, seconds: int) -> Mapping[str, int]:
        """Note the presence of our accounts, and the absence of the others where `seconds` are to be counted."""
        commands = []
        for tag in BUCKETS:
            own = [sid for sid in self._own if bucket(sid) == tag]
            if own or seconds:
                commands.append(script("present", [AccountKeys(tag).accounts], [seconds, *own]))
        return self._read(self._client.calls(commands))

    def _forget(self, account_sid: str) -> Iterator[bool]:
        """Remove all that there is of an account, unless it is in some settings again; yield True with the last of it.

        Contacts are in no index, so every key is looked at; an account is forgotten once.
        """
        keys, cursor = AccountKeys(account_sid), b"0"
        always: tuple[Word, ...] = (
            *(keys.accounts, keys.due, keys.leases, keys.queued, keys.languages),
            *(keys.alive, keys.gaps),
        )
        while True:
            cursor, found = self._client.call("SCAN", cursor, "MATCH", f"*:{account_sid}*", "COUNT", PAGE)
            own = [key for key in found if _names(key, account_sid)]
            last = cursor == b"0"
            args: tuple[Word, ...] = (account_sid, self.absent_seconds, keys.lanes, keys.messages, int(last))
            if not self._client.script("forget", [*always, *own], args):
                return
            yield last
            if last:
                return

    @staticmethod
    def _read(replies: Iterable[list[Any]]) -> dict[str, int]:
        return {sid.decode(): int(seconds) for reply in replies for sid, seconds in _pairs(reply)}


def _pairs(reply: list[bytes]) -> Iterator[tuple[bytes, bytes]]:
    return zip(reply[::2], reply[1::2], strict=True)


def _names(key: bytes, account_sid: str) -> bool:
    """Say whether a key is one of this account's: an address that another account wrote may have a SID in it."""
    return key.split(b":", 3)[2:3] == [account_sid.encode()]
