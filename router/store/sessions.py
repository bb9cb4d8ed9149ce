"""Sessions of the web console: revocable, and without anything that a thief of the store could sign in with.

A session is known by the SHA-256 of its random id; the id itself is only in the browser's cookie. The password is not
kept either: a session holds a fingerprint of it, so that a new password ends the sessions of the old one.
"""

import hashlib
import hmac
import secrets
from typing import Final

from router.store.client import Client
from router.value import frozen

# A session ends after so many seconds without a request, and after so many seconds in any case.
IDLE_SECONDS: Final = 12 * 3600
SECONDS: Final = 7 * 86_400
_PREFIX: Final = "session:{0}:"
# When all sessions were ended, in µs since 1970. It is needed for no longer than a session lives.
_ENDED: Final = "sessions:{0}"


@frozen
class Session:
    """A signed-in browser.

    Args:
        key: the SHA-256 of the session's id.
        role: `admin` or `viewer`.
        created: when it began, in seconds since 1970.
        revealed_until: until when addresses are shown in full, in seconds since 1970.
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
        """Begin a session of someone who gave this password, at `now` in seconds since 1970; return its id."""
        id_ = secrets.token_urlsafe(32)
        key = _PREFIX + _key(id_)
        fields = ("role", role, "created", int(now * 1e6), "password", _fingerprint(id_, password))
        self._client.calls([("HSET", key, *fields), ("EXPIRE", key, IDLE_SECONDS)])
        return id_

    def find(self, id_: str, passwords: dict[str, str], *, now: float) -> Session | None:
        """Return a session that is still good, and keep it from idling; None for every other id.

        Args:
            id_: as `begin` returned it.
            passwords: the roles that there are, with their passwords as they are now.
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
        """End all sessions that began until `now`, in seconds since 1970."""
        self._client.call("SET", _ENDED, int(now * 1e6), "EX", SECONDS)

    def reveal(self, session: Session, *, until: float) -> None:
        """Show addresses in full in a session, until a time in seconds since 1970; 0 hides them again."""
        key = _PREFIX + session.key
        self._client.calls([("HSET", key, "revealed", int(until)), ("EXPIRE", key, IDLE_SECONDS)])


def _key(id_: str) -> str:
    return hashlib.sha256(id_.encode()).hexdigest()


def _fingerprint(id_: str, password: str) -> str:
    return hmac.new(id_.encode(), password.encode(), "sha256").hexdigest()
