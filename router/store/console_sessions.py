"""Sessions of the web console: revocable, and useless to an attacker who reads the store.

A session is stored under the SHA-256 of its random id; only the browser's cookie has the id itself. The password is not
stored either: a session has a fingerprint of it, so that a new password ends the sessions of the old one.
"""

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import Final

from router.store.client import Client

# The maximum time between two requests of a session, and the maximum age of a session.
IDLE_SECONDS: Final = 12 * 3600
SECONDS: Final = 7 * 86_400
_PREFIX: Final = "session:{0}:"
# The time at which all sessions were ended, in µs since 1970. The key expires after a session's maximum age.
_ENDED: Final = "sessions:{0}"


@dataclass(frozen=True, slots=True)
class Session:
    """A signed-in browser.

    Args:
        key: the SHA-256 of the session's id.
        role: `admin` or `viewer`.
        created: when it began, in seconds since 1970.
        revealed_until: the time until which addresses are shown in full, in seconds since 1970.
    """

    key: str
    role: str
    created: float
    revealed_until: float


class Sessions:
    """The sessions of all processes of this store."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def begin(self, role: str, password: str, *, now: float) -> str:
        """Begin a session that was signed in with this password, at `now` in seconds since 1970; return its id."""
        id_ = secrets.token_urlsafe(32)
        key = _PREFIX + _key(id_)
        fields = ("role", role, "created", int(now * 1e6), "password", _fingerprint(id_, password))
        self._client.calls([("HSET", key, *fields), ("EXPIRE", key, IDLE_SECONDS)])
        return id_

    def find(self, id_: str, passwords: dict[str, str], *, now: float) -> Session | None:
        """Return a valid session, and reset its idle time; None for any other id.

        Args:
            id_: as `begin` returned it.
            passwords: the current password of each role.
            now: in seconds since 1970.
        """
        key = _PREFIX + _key(id_)
        values, _, ended = self._client.calls(
            [
                ("HMGET", key, "role", "created", "password", "revealed"),
                ("EXPIRE", key, IDLE_SECONDS),
                ("GET", _ENDED),
            ]
        )
        role, created, fingerprint = (value or b"" for value in values[:3])
        password = passwords.get(role.decode())
        if not role or password is None or not hmac.compare_digest(_fingerprint(id_, password).encode(), fingerprint):
            return None
        began = int(created)
        if began <= int(ended or 0) or now > began / 1e6 + SECONDS:
            return None
        return Session(_key(id_), role.decode(), began / 1e6, float(values[3] or 0))

    def end(self, id_: str) -> None:
        """End a session."""
        self._client.call("DEL", _PREFIX + _key(id_))

    def end_all(self, *, now: float) -> None:
        """End all sessions that began before or at `now`, in seconds since 1970."""
        self._client.call("SET", _ENDED, int(now * 1e6), "EX", SECONDS)

    def reveal(self, session: Session, *, until: float) -> None:
        """Show addresses in full in a session, until a time in seconds since 1970; 0 hides them again."""
        key = _PREFIX + session.key
        self._client.calls([("HSET", key, "revealed", int(until)), ("EXPIRE", key, IDLE_SECONDS)])


def _key(id_: str) -> str:
    return hashlib.sha256(id_.encode()).hexdigest()


def _fingerprint(id_: str, password: str) -> str:
    return hmac.new(id_.encode(), password.encode(), "sha256").hexdigest()
