"""Recently refused requests, stored for the doctor's diagnosis.

    refused:{b}:<AccountSid>           stream  the refused requests that name this account
    refused:{b}:<AccountSid>:unknown   stream  those with an unknown account, stored under the settings' first account
    refusing:{b}                       zset    the names of a bucket's streams -> µs of the last record

A record holds the signed data, including the message, so its size is limited (`router.diagnosis.refused`) and it
expires: after `SECONDS`, or at most twice as long if others follow, unless newer ones replace it. An account has at
most `EACH` records, and a bucket those of the `ACCOUNTS` accounts refused last: less than a megabyte, as a record has
up to 16 KB.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from router.diagnosis.refused import Refused, Seen
from router.errors import StoreUnavailable
from router.store.client import Client
from router.store.keys import bucket

EACH: Final = 16
ACCOUNTS: Final = 3
SECONDS: Final = 12 * 3600
_UNKNOWN: Final = ":unknown"
_TEXTS: Final = ("reason", "method", "content_type", "target", "signature", "signature_settings", "doubt")
_LISTS: Final = ("bases", "hosts", "ports", "prefixes")


class Refusals:
    """Stores and lists refused requests.

    `accounts` are the SIDs in the settings; records of other accounts are never read.
    """

    def __init__(self, client: Client, accounts: Sequence[str]) -> None:
        self._client = client
        self._accounts = tuple(accounts)
        self._known = frozenset(accounts)

    def add(self, refused: Refused, *, account_sid: str, waited: int = 0) -> None:
        """Store a refused request; raise `StoreUnavailable` as every call does.

        Args:
            refused: the request; its `at` is replaced by the store's time.
            account_sid: the account that it names; one that is not in the settings counts as unknown.
            waited: ms since it was refused.
        """
        name = self._name(account_sid)
        if not name:
            return
        prefix, index = _prefix(name), f"refusing:{_tag(name)}"
        fields = [word for pair in _fields(refused, waited).items() for word in pair]
        self._client.script("refuse", [prefix + name, index], [SECONDS, EACH, ACCOUNTS, name, prefix, *fields])

    def newest(self, *, after: int = 0) -> list[Refused]:
        """Read the records of all accounts in the settings since `after`, in ms since 1970, the newest first."""
        replies = self._client.answers([("XREVRANGE", _prefix(name) + name, "+", "-") for name in self._names()])
        answered = [reply for reply in replies if not isinstance(reply, StoreUnavailable)]
        records = [_read(id_, values) for reply in answered for id_, values in reply]
        return sorted((each for each in records if each.at >= after), key=lambda each: each.at, reverse=True)

    def forget(self, account_sid: str) -> None:
        """Drop the records of an account."""
        self._client.call("DEL", _prefix(account_sid) + account_sid)

    def clock(self) -> float:
        """Return the store's time, in seconds since 1970."""
        seconds, micros = self._client.call("TIME")
        return int(seconds) + int(micros) / 1_000_000

    def _name(self, account_sid: str) -> str:
        if account_sid in self._known:
            return account_sid
        return self._accounts[0] + _UNKNOWN if self._accounts else ""

    def _names(self) -> list[str]:
        return [*self._accounts, *(each + _UNKNOWN for each in self._accounts[:1])]


def _tag(name: str) -> str:
    return f"{{{bucket(name.removesuffix(_UNKNOWN))}}}"


def _prefix(name: str) -> str:
    return f"refused:{_tag(name)}:"


def _fields(refused: Refused, waited: int) -> dict[str, str | bytes | int]:
    texts = {name: _bytes(getattr(refused, name)) for name in _TEXTS}
    seen = refused.seen
    lists = {"bases": refused.bases, "hosts": seen.hosts, "ports": seen.ports, "prefixes": seen.prefixes}
    numbers = {"status": refused.status, "length": refused.length, "whole": int(refused.whole)}
    numbers |= {"others": refused.others, "waited": waited}
    return {**texts, **{name: _bytes(" ".join(lists[name])) for name in _LISTS}, **numbers, "body": refused.body}


def _bytes(text: str) -> bytes:
    return text.encode("latin-1", "replace")  # one byte per character, so that the limit is exact


def _read(id_: bytes, values: Iterable[bytes]) -> Refused:
    words = iter(values)
    found = {name.decode(): value for name, value in zip(words, words, strict=True)}
    texts = {name: found[name].decode("latin-1") for name in _TEXTS}
    lists = {name: tuple(found[name].decode("latin-1").split()) for name in _LISTS}
    return Refused(
        **texts,
        at=int(id_.partition(b"-")[0]) - int(found["waited"]),
        status=int(found["status"]),
        body=found["body"],
        length=int(found["length"]),
        whole=found["whole"] == b"1",
        bases=lists["bases"],
        seen=Seen(lists["hosts"], lists["ports"], lists["prefixes"]),
        others=int(found["others"]),
    )
