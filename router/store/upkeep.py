"""Upkeep of the store: index entries whose message has expired, and accounts that were taken out of the settings.

It removes the data that does not expire in Redis by TTL; keys.py lists every key with its expiry. One process at a time
runs it, in steps of about a millisecond of the store's time, until nothing is left to do. It also works when the store
is full.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from typing import Any, Final

from router.errors import StoreUnavailable
from router.store.client import Client
from router.store.keys import BUCKETS, TURN, AccountKeys, bucket
from router.store.script import Word, script

# The interval of the rounds: index entries of expired messages stay for at most as long.
TURN_SECONDS: Final = 300
# Index entries, or keys, checked in one step: 4 µs of the store's time for each that is removed.
PAGE: Final = 250
# An account is removed when routers have run this long without it in their settings. Running time is counted, not clock
# time: a step of the store's clock must not erase an account.
ABSENT_SECONDS: Final = 30 * 86_400


def _nothing(_account_sid: str, _sid: str) -> None:
    """Do nothing."""


class Upkeep:
    """Regular maintenance of the store.

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

    def round(self, untold: Callable[[str, str], None] = _nothing) -> Iterator[str]:
        """Mark this process's accounts as in use; if it is this process's turn, do all pending maintenance.

        `untold` is called with the account and the SID of each closed chat whose integration has yet to be notified.
        Yields after each step, so that the caller may run other work or stop: the SID of an account that was just
        removed, else "". Raises `StoreUnavailable`; a later round then does the rest.
        """
        turn = self._client.script("turn", [TURN], [TURN_SECONDS]) == 1
        for sid, seconds in self._note(TURN_SECONDS if turn else 0).items():
            if not turn:
                return
            if seconds < self.absent_seconds:
                for _ in chain(self.trim(sid), self.sweep_chats(sid, untold)):
                    yield ""
            else:
                for gone in self._forget(sid):
                    yield sid if gone else ""

    def absent(self) -> Mapping[str, int]:
        """Return the accounts that are in no settings, with the seconds for which routers have run without them."""
        known = self._read(self._client.answers([("HGETALL", AccountKeys(tag).accounts) for tag in BUCKETS]))
        return {sid: seconds for sid, seconds in known.items() if seconds and sid not in self._own}

    def trim(self, account_sid: str) -> Iterator[int]:
        """Remove an account's index entries whose message has expired; yield the number removed for each page."""
        keys = AccountKeys(account_sid)
        for index, age in ((keys.log, self._delivered_ms), (keys.dead, self._retention_ms)):
            start, looked = "-inf", PAGE
            while looked == PAGE:
                looked, dropped, last = self._client.script("trim", [index], [age, start, PAGE, keys.messages])
                yield dropped
                # Further entries may have this score, so the next page begins with it, unless that makes no progress.
                start = f"({start}" if last.decode() == start and not dropped else last.decode()

    def sweep_chats(self, account_sid: str, untold: Callable[[str, str], None]) -> Iterator[int]:
        """Close an account's idle web chats, and remove expired ones from indexes; yield the number closed per page.

        `untold` is as in `round`.
        """
        keys = AccountKeys(account_sid)
        start, looked = "-inf", PAGE
        while looked == PAGE:
            looked, closed, dropped, last, *sids = self._client.script(
                "chat_sweep",
                [keys.chats],
                [start, PAGE, keys.own_chats, keys.chat_messages, self._retention_ms, keys.chat_identities],
            )
            for sid in sids:
                untold(account_sid, sid.decode())
            yield closed
            start = f"({start}" if last.decode() == start and not dropped else last.decode()
        cursor = b"0"
        while True:
            cursor, named = self._client.call("HSCAN", keys.chat_names, cursor, "COUNT", PAGE)
            if named:
                self._client.script("chat_unname", [keys.chat_names], [keys.own_chats, *named])
            yield 0
            if cursor == b"0":
                return

    def _note(self, seconds: int) -> Mapping[str, int]:
        """Mark this process's accounts as in use, and add `seconds`, if any, to the absence of the others."""
        own: dict[str, list[str]] = defaultdict(list)
        for sid in self._own:
            own[bucket(sid)].append(sid)
        tags = BUCKETS if seconds else tuple(own)
        commands = [script("present", [AccountKeys(tag).accounts], [seconds, *own[tag]]) for tag in tags]
        return self._read(self._client.answers(commands))

    def _forget(self, account_sid: str) -> Iterator[bool]:
        """Remove all data of an account, unless it is in a router's settings again; yield True with the last step.

        Contacts have no index, so all keys are scanned; this happens once per account.
        """
        keys, cursor = AccountKeys(account_sid), b"0"
        always: tuple[Word, ...] = (
            *(keys.accounts, keys.due, keys.leases, keys.queued, keys.languages),
            *(keys.alive, keys.gaps),
        )
        while True:
            node = self._client.node(keys.accounts)
            cursor, found = node.call("SCAN", cursor, "MATCH", f"*:{account_sid}*", "COUNT", PAGE)
            own = [key for key in found if _names(key, account_sid)]
            last = cursor == b"0"
            args: tuple[Word, ...] = (account_sid, self.absent_seconds, keys.lanes, keys.messages, int(last))
            if not self._client.script("forget", [*always, *own], args):
                return
            yield last
            if last:
                return

    @staticmethod
    def _read(replies: Iterable[list[Any] | StoreUnavailable]) -> dict[str, int]:
        """Merge the replies, without those of Cluster nodes that do not answer: their upkeep is done later."""
        answered = [reply for reply in replies if not isinstance(reply, StoreUnavailable)]
        return {sid.decode(): int(seconds) for reply in answered for sid, seconds in _pairs(reply)}


def _pairs(reply: list[bytes]) -> Iterator[tuple[bytes, bytes]]:
    return zip(reply[::2], reply[1::2], strict=True)


def _names(key: bytes, account_sid: str) -> bool:
    """Return whether a key belongs to this account: another account's key may contain its SID, in an address."""
    return key.split(b":", 3)[2:3] == [account_sid.encode()]
