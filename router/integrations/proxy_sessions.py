"""Lists the participants of a Proxy service's live sessions.

Proxy lists sessions, and the participants of one session, but cannot search by address. So all live sessions are listed
regularly, and the participants of a session are read once.

https://www.twilio.com/docs/proxy/api/session and https://www.twilio.com/docs/proxy/api/participant
"""

from typing import Final

import gevent
from gevent.pool import Pool

from router.integrations.base import AttemptError, Failure
from router.integrations.rest import PROXY, Reply, Rest
from router.message.address import canonical, channel_of
from router.settings import Account

_PAGE: Final = 100
_OVER: Final = ("closed", "failed")
# The maximum number of participants of a session.
_COMPLETE: Final = 2
# Concurrent requests: Proxy is rate limited, and messages use it, too.
_AT_ONCE: Final = 8
# The time limit of one request, everything included.
_SECONDS: Final = 15.0
# The maximum number of sessions. If a service has more, they are not listed, and its contacts stay.
_MOST: Final = 200_000


class ProxySessions:
    """The live sessions of Proxy services; caches the participants of each."""

    def __init__(self, rest: Rest) -> None:
        self._rest = rest
        # The addresses of a session, by its SID, for each account.
        self._known: dict[str, dict[str, tuple[str, ...]]] = {}

    def contacts(self, account: Account, services: set[str]) -> set[str]:
        """Return the canonical addresses of all participants of live sessions of these services.

        Raises AttemptError if a page or a session cannot be read.
        """
        live = [(service, sid) for service in sorted(services) for sid in self._live(account, service)]
        before = self._known.get(account.sid, {})
        now: dict[str, tuple[str, ...]] = {}
        unread: list[gevent.Greenlet[..., None]] = []
        pool = Pool(_AT_ONCE)
        for service, sid in live:
            if sid in before:
                now[sid] = before[sid]
            else:
                unread.append(pool.spawn(self._read, account, service, sid, now))
        for greenlet in unread:
            greenlet.get()
        # Participants are added to a new session one by one, so it is read again until it has both.
        self._known[account.sid] = {sid: people for sid, people in now.items() if len(people) >= _COMPLETE}
        return {each for people in now.values() for each in people}

    def _live(self, account: Account, service: str) -> list[str]:
        url, query, found = f"{PROXY}/v1/Services/{service}/Sessions", {"PageSize": str(_PAGE)}, []
        while True:
            page = self._get(account, url, query)
            rows = page.rows("sessions")
            found += [str(each.get("sid")) for each in rows if each.get("status") not in _OVER]
            following = page.following
            if not following:
                return found
            if len(found) > _MOST:
                raise AttemptError(Failure.PERMANENT, f"{service} has more than {_MOST:,} sessions")
            query = following

    def _read(self, account: Account, service: str, sid: str, into: dict[str, tuple[str, ...]]) -> None:
        url, query = f"{PROXY}/v1/Services/{service}/Sessions/{sid}/Participants", {"PageSize": str(_PAGE)}
        rows = self._get(account, url, query).rows("participants")
        addresses = [str(each.get("identifier") or "") for each in rows]
        into[sid] = tuple(canonical(each, channel_of(each)) for each in addresses if each)

    def _get(self, account: Account, url: str, query: dict[str, str]) -> Reply:
        with gevent.Timeout(_SECONDS, AttemptError(Failure.REFUSED, f"no answer within {_SECONDS:g} s")):
            return self._rest.get(account, url, **query)
