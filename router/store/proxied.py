"""Which contacts are in a live session of Proxy, and the progress of migrations. The keys are in migration.lua."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final

from router.errors import StoreUnavailable
from router.store.client import Client
from router.store.keys import PROXY_TURN, AccountKeys

# After this time, a list of sessions contains the session that a message to Proxy began.
SENDING_SECONDS: Final = 300
# How long sessions are listed after the last message of a contact that may move.
WANTED_SECONDS: Final = 3600.0
# Contacts written in one command.
_TOGETHER: Final = 1000
_COMPLETE: Final = "complete"


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of a migration.

    `moved`, `session` and `unknown` count decisions about contacts: moved, stayed in a session, stayed because sessions
    were unknown. `from_` and `to` count messages. `live` is how many contacts are in a session now, None if that is
    unknown. `settling` is the number of seconds until the list has the sessions of all messages sent to Proxy, 0 if it
    has them.
    """

    moved: int
    session: int
    unknown: int
    from_: int
    to: int
    live: int | None
    settling: int = 0


class Proxied:
    """The lists of contacts in sessions. The process that has the lock writes them, and accept.lua reads them."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def turn(self, token: str, seconds: float) -> bool:
        """Acquire or renew the lock for listing sessions. One process keeps it, because it caches sessions."""
        if self._client.call("SET", PROXY_TURN, token, "NX", "EX", int(seconds)):
            return True
        if self._client.call("GET", PROXY_TURN) != token.encode():
            return False
        self._client.call("EXPIRE", PROXY_TURN, int(seconds))
        return True

    def wanted(self, tags: Iterable[str], now: float) -> dict[str, set[str]]:
        """Return the accounts whose sessions shall be listed, with Proxy services, "" for the default."""
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
        """Replace an account's list, which is valid for `seconds`."""
        key = AccountKeys(account_sid).proxied
        fresh, members = f"{key}:new", [_COMPLETE, *contact_ids]
        self._client.call("UNLINK", fresh)
        for start in range(0, len(members), _TOGETHER):
            self._client.call("SADD", fresh, *members[start : start + _TOGETHER])
            self._client.call("EXPIRE", fresh, int(seconds))
        self._client.call("RENAME", fresh, key)

    def sending(self, account_sid: str, lane: str, flow_sid: str) -> None:
        """Record that a message is about to be sent to Proxy, which may begin a session."""
        key = AccountKeys(account_sid).proxying
        self._client.calls([("SET", key + each, 1, "EX", SENDING_SECONDS) for each in (lane, flow_sid)])

    def may_move(self, account_sid: str, contact_ids: Collection[str], lane: str) -> bool:
        """Return what accept.lua would find: True if there is a current list, no session, and no pending message."""
        keys = AccountKeys(account_sid)
        if self._client.call("EXISTS", keys.proxying + lane, keys.lanes + lane):
            return False
        complete, *found = self._client.call("SMISMEMBER", keys.proxied, _COMPLETE, *contact_ids)
        return bool(complete) and not any(found)

    def progress(self, account_sid: str, flow_sid: str) -> Progress:
        """Return the progress of a flow's migration."""
        keys = AccountKeys(account_sid)
        names = ("moved", "session", "unknown", "from", "to")
        counts = self._client.call("HMGET", keys.migrations + flow_sid, *names)
        size = int(self._client.call("SCARD", keys.proxied))
        settling = max(0, int(self._client.call("TTL", keys.proxying + flow_sid)))
        moved, session, unknown, from_, to = (int(each or 0) for each in counts)
        return Progress(moved, session, unknown, from_, to, size - 1 if size else None, settling)

    def forget(self, account_sid: str, flow_sid: str) -> None:
        """Reset the counts of a flow's migration."""
        self._client.call("UNLINK", AccountKeys(account_sid).migrations + flow_sid)
