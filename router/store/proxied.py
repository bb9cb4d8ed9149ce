"""Which contacts are in a live session of Proxy, and how a migration goes. The keys are in migration.lua."""

from collections.abc import Collection, Iterable
from typing import Final

from router.errors import StoreUnavailable
from router.store.client import Client
from router.store.keys import PROXY_TURN, AccountKeys
from router.value import frozen

# After a message was sent to Proxy, its session is in a list that began at most so many seconds later.
SENDING_SECONDS: Final = 300
# Sessions are listed for as long after the last message of a contact that may move.
WANTED_SECONDS: Final = 3600.0
# Contacts written in one command.
_TOGETHER: Final = 1000
_COMPLETE: Final = "complete"


@frozen
class Progress:
    """How a migration goes.

    `moved`, `session` and `unknown` count decisions about contacts: moved, stayed in a session, stayed because sessions
    were unknown. `from_` and `to` count messages. `live` is how many contacts are in a session now, None when that is
    unknown. `settling` is in how many seconds a list has the sessions of all messages that were sent to Proxy, 0 when
    it has.
    """

    moved: int
    session: int
    unknown: int
    from_: int
    to: int
    live: int | None
    settling: int = 0


class Proxied:
    """Lists of contacts in sessions, written by the process that has the turn and read by accept.lua."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def turn(self, token: str, seconds: float) -> bool:
        """Take or keep the turn to list sessions; the process that has it keeps what it has read of them."""
        if self._client.call("SET", PROXY_TURN, token, "NX", "EX", int(seconds)):
            return True
        if self._client.call("GET", PROXY_TURN) != token.encode():
            return False
        self._client.call("EXPIRE", PROXY_TURN, int(seconds))
        return True

    def wanted(self, tags: Iterable[str], now: float) -> dict[str, set[str]]:
        """Return the accounts of some buckets whose sessions are wanted, each with Proxy services, "" for its own."""
        keys = [AccountKeys(tag).proxied_wanted for tag in tags]
        wanted: dict[str, set[str]] = {}
        for key, found in zip(keys, self._client.answers([("HGETALL", key) for key in keys]), strict=True):
            if isinstance(found, StoreUnavailable):
                continue
            for name, at in zip(found[::2], found[1::2], strict=True):
                account_sid, _, service = name.decode().partition(" ")
                if now - int(at) / 1000 > WANTED_SECONDS:
                    self._client.call("HDEL", key, name)
                else:
                    wanted.setdefault(account_sid, set()).add(service)
        return wanted

    def put(self, account_sid: str, contact_ids: Collection[str], *, seconds: float) -> None:
        """Replace an account's list; it counts for so many seconds."""
        key = AccountKeys(account_sid).proxied
        fresh, members = f"{key}:new", [_COMPLETE, *contact_ids]
        self._client.call("UNLINK", fresh)
        for start in range(0, len(members), _TOGETHER):
            self._client.call("SADD", fresh, *members[start : start + _TOGETHER])
            self._client.call("EXPIRE", fresh, int(seconds))
        self._client.call("RENAME", fresh, key)

    def sending(self, account_sid: str, lane: str, flow_sid: str) -> None:
        """Say that a message that has waited is about to be sent to Proxy, which may begin a session."""
        key = AccountKeys(account_sid).proxying
        self._client.calls([("SET", key + each, 1, "EX", SENDING_SECONDS) for each in (lane, flow_sid)])

    def may_move(self, account_sid: str, contact_ids: Collection[str], lane: str) -> bool:
        """Say what accept.lua would find: no session, no message on its way, and a list that is up to date."""
        keys = AccountKeys(account_sid)
        if self._client.call("EXISTS", keys.proxying + lane, keys.lanes + lane):
            return False
        complete, *found = self._client.call("SMISMEMBER", keys.proxied, _COMPLETE, *contact_ids)
        return bool(complete) and not any(found)

    def progress(self, account_sid: str, flow_sid: str) -> Progress:
        """Return how the migration of a flow goes."""
        keys = AccountKeys(account_sid)
        names = ("moved", "session", "unknown", "from", "to")
        counts = self._client.call("HMGET", keys.migrations + flow_sid, *names)
        size = int(self._client.call("SCARD", keys.proxied))
        settling = max(0, int(self._client.call("TTL", keys.proxying + flow_sid)))
        moved, session, unknown, from_, to = (int(each or 0) for each in counts)
        return Progress(moved, session, unknown, from_, to, size - 1 if size else None, settling)

    def forget(self, account_sid: str, flow_sid: str) -> None:
        """Begin to count anew."""
        self._client.call("UNLINK", AccountKeys(account_sid).migrations + flow_sid)
