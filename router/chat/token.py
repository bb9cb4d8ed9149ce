"""The visitor's token: a JWT that lets its bearer read and write one chat, for an hour.

It is signed with a key that only the routers of one store have, and bound to the chat, its address, the website's
origin and the chat's epoch, which changes when the chat's tokens are revoked. https://www.rfc-editor.org/rfc/rfc7519
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import jwt

from router.sid import is_sid

# How long a token is valid, in seconds; an open page renews it before.
VALID_SECONDS: Final = 3600
# How long an expired token may still be exchanged for a new one, for example after a laptop slept over night.
LATE_SECONDS: Final = 24 * 3600
# How long after the chat's first token its tokens are renewed; then the visitor begins a new chat.
RENEWED_SECONDS: Final = 30 * 24 * 3600
_ALGORITHM: Final = "HS256"
_AUDIENCE: Final = "chat"


class BadToken(Exception):  # noqa: N818 - named for what happened
    """A token that is forged, damaged or expired; the text says which."""


@dataclass(frozen=True, slots=True)
class Visitor:
    """The content of a token. Times are in seconds since 1970; `began` is the time of the chat's first token."""

    account_sid: str
    conversation_sid: str
    identity: str = field(repr=False)
    address: str
    origin: str
    epoch: str
    began: int
    expires: int = 0


class Tokens:
    """Writes and reads tokens; `keys` returns the store's keys, the newest first."""

    def __init__(self, keys: Callable[[], Sequence[str]]) -> None:
        self._keys = keys
        self._known: Sequence[str] = ()
        self._asked = 0.0

    def write(self, visitor: Visitor, now: float) -> tuple[str, int]:
        """Return a new token, and the time at which it expires."""
        expires = int(now) + VALID_SECONDS
        claims = {
            "aud": _AUDIENCE,
            "acc": visitor.account_sid,
            "cnv": visitor.conversation_sid,
            "sub": visitor.identity,
            "adr": visitor.address,
            "org": visitor.origin,
            "ep": visitor.epoch,
            "beg": visitor.began,
            "iat": int(now),
            "exp": expires,
        }
        return jwt.encode(claims, self._current(now)[0], algorithm=_ALGORITHM), expires

    def read(self, token: str, now: float, *, late: float = 0.0) -> Visitor:
        """Return the content of a token that is valid, or expired at most `late` seconds ago; raise BadToken."""
        claims = self._claims(token, now)
        texts = [claims.get(name) for name in ("acc", "cnv", "sub", "adr", "org", "ep")]
        times = [claims.get(name) for name in ("beg", "exp")]
        if not all(isinstance(each, str) for each in texts) or not all(isinstance(each, int) for each in times):
            raise BadToken("the token is not a visitor's token")
        visitor = Visitor(*texts, *times)  # type: ignore[arg-type] # as was just checked
        if not (is_sid(visitor.account_sid, "AC") and is_sid(visitor.conversation_sid, "CH")):
            raise BadToken("the token is not a visitor's token")
        if now > visitor.expires + late:
            raise BadToken("the token has expired; exchange it at /chat/token, or begin again at /chat/sessions")
        return visitor

    def _claims(self, token: str, now: float) -> dict[str, Any]:
        """Check the signature, first with the cached keys, then with the store's current ones."""
        options: Any = {"verify_exp": False, "verify_iat": False, "require": ["exp", "aud"]}
        error: Exception | None = None
        for keys in (self._current(now), None):
            for key in keys if keys is not None else self._ask(now):
                try:
                    claims: dict[str, Any] = jwt.decode(
                        token, key, algorithms=[_ALGORITHM], audience=_AUDIENCE, options=options
                    )
                except jwt.InvalidSignatureError as failed:
                    error = failed
                except (jwt.InvalidTokenError, ValueError) as failed:
                    raise BadToken("the token is damaged, or was not issued by this router") from failed
                else:
                    return claims
            if now - self._asked < ASK_SECONDS:  # so that not every forged token costs a call to the store
                break
        raise BadToken("the token was not issued by this router") from error

    def _current(self, now: float) -> Sequence[str]:
        return self._known if self._known and now - self._asked < KNOWN_SECONDS else self._ask(now)

    def _ask(self, now: float) -> Sequence[str]:
        self._known, self._asked = tuple(self._keys()), now
        return self._known


# How long the store's keys are cached, and the minimum time between two reads of them.
KNOWN_SECONDS: Final = 600.0
ASK_SECONDS: Final = 5.0
