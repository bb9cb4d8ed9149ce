"""Requests that were refused lately, as `router doctor` tells of them: what was found out, never what they held.

    refused:{b}   list   JSON of each, the newest first; at most `MOST`, all gone after a day without another

A request is diagnosed by the process that refused it, and only the diagnosis is kept: no body, no query, no secret, no
signature, and addresses masked.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Final

from router.diagnosis.deviation import Finding
from router.store.client import Client
from router.store.keys import bucket

# Kept for each bucket; with findings some 1.5 KB each.
MOST: Final = 100
_SECONDS: Final = 24 * 3600


@dataclass(frozen=True, slots=True)
class Refusal:
    """One request that was refused.

    `at` is in ms since 1970, by the clock of the process; `reason` is what the log says. `url` has neither query nor
    credentials, `sender` and `to` are masked, `fields` and `length` count. `others` is how many more this process
    refused since the one before, which nobody looked into.
    """

    at: int
    reason: str
    method: str
    url: str
    account_sid: str
    message_sid: str
    sender: str
    to: str
    fields: int
    length: int
    matched: bool
    findings: tuple[Finding, ...]
    others: int = 0


class Refusals:
    """Keeps and lists them."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def add(self, refusal: Refusal, *, tag: str) -> None:
        """Keep one more in the bucket `tag`, and the newest `MOST`; raise `StoreUnavailable` as every call does."""
        key = _key(tag)
        self._client.calls(
            [
                ("LPUSH", key, json.dumps(asdict(refusal), ensure_ascii=True)),
                ("LTRIM", key, 0, MOST - 1),
                ("EXPIRE", key, _SECONDS),
            ]
        )

    def clock(self) -> float:
        """Return the store's time, in seconds since 1970."""
        seconds, micros = self._client.call("TIME")
        return int(seconds) + int(micros) / 1_000_000

    def newest(self, tags: Iterable[str], *, after: int = 0) -> list[Refusal]:
        """Read those of some buckets since `after`, in ms since 1970, the newest first."""
        replies = self._client.calls([("LRANGE", _key(tag), 0, MOST - 1) for tag in tags])
        found = [_read(json.loads(text)) for reply in replies for text in reply]
        return sorted((each for each in found if each.at >= after), key=lambda each: each.at, reverse=True)


def tag_of(account_sid: str, known: Iterable[str]) -> str:
    """Return the bucket of a refusal: its account's when that is one of ours, else the first of `known` buckets."""
    buckets = list(known)
    own = bucket(account_sid) if account_sid else ""
    return own if own in buckets else next(iter(buckets), "0")


def _key(tag: str) -> str:
    return f"refused:{{{tag}}}"


def _read(values: dict[str, Any]) -> Refusal:
    return Refusal(**values | {"findings": tuple(Finding(**each) for each in values["findings"])})
