"""Connection overrides: what the fragment of a webhook's URL tells Twilio of its patience, as `#rc=2&rp=ct,5xx`.

https://www.twilio.com/docs/usage/webhooks/webhooks-connection-overrides
"""

from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl, urlsplit

_POLICIES: Final = frozenset(("ct", "rt", "4xx", "5xx", "all"))
# The ranges that Twilio allows: ms, ms, ms, and times.
_RANGES: Final = {"ct": (100, 10_000), "rt": (100, 15_000), "tt": (100, 15_000), "rc": (0, 5)}
_OTHERS: Final = frozenset(("sni", "e"))


@dataclass(frozen=True, slots=True)
class Overrides:
    """How long Twilio waits, in seconds, and how often it asks again after what; the defaults are Twilio's.

    Args:
        connect: for the connection.
        read: for the answer.
        total: for all attempts together.
        retries: how many attempts may follow the first one.
        policy: after what: `ct` no connection, `rt` no answer in time, `4xx`, `5xx`, `all`.
    """

    connect: float = 5.0
    read: float = 15.0
    total: float = 15.0
    retries: int = 1
    policy: frozenset[str] = frozenset(("ct",))

    @classmethod
    def of(cls, url: str) -> "Overrides":
        """Read those of a URL.

        Raises:
            ValueError: a name or a value that Twilio does not know; the sentence says which.
        """
        given = dict(parse_qsl(urlsplit(url).fragment, keep_blank_values=True))
        for name, text in given.items():
            low, high = _RANGES.get(name, (0, 0))
            if name in _RANGES and not (text.isascii() and text.isdecimal() and low <= int(text) <= high):
                raise ValueError(f"{name}={text[:20]} is not a number from {low} to {high}")
            if name == "rp" and not set(text.split(",")) <= _POLICIES:
                raise ValueError(f"rp={text[:40]} is not of {', '.join(sorted(_POLICIES))}")
            if name not in _RANGES | dict.fromkeys(("rp", *_OTHERS)):
                raise ValueError(f"{name[:20]!r} is no connection override")
        usual = cls()
        return cls(
            connect=int(given.get("ct", 1000 * usual.connect)) / 1000,
            read=int(given.get("rt", 1000 * usual.read)) / 1000,
            total=int(given.get("tt", 1000 * usual.total)) / 1000,
            retries=int(given.get("rc", usual.retries)),
            policy=frozenset(given["rp"].split(",")) if "rp" in given else usual.policy,
        )

    def repeats(self, failure: str) -> bool:
        """Say whether Twilio asks again after a failure: `ct`, `rt`, `4xx` or `5xx`; "" is none."""
        return bool(failure) and (failure in self.policy or "all" in self.policy)
