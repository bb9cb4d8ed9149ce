"""Who is in a live session of a Proxy service.

Proxy lists sessions, and the participants of one session; it finds neither by address. So all live sessions are listed
again and again, and the participants of a session are read once.

https://www.twilio.com/docs/proxy/api/session and https://www.twilio.com/docs/proxy/api/participant
"""

from collections.abc import Collection
from typing import Final

import gevent
from gevent.pool import Pool

from router.integrations.base import AttemptError, Failure
from router.integrations.rest import PROXY, Reply, Rest
from router.message.address import canonical, channel_of
from router.settings import Account

_PAGE: Final = 100
_OVER: Final = ("closed", "failed")
# Participants that a session has at most.
_COMPLETE: Final = 2
# Requests at a time: Proxy is rate limited, and messages use it too.
_AT_ONCE: Final = 8
# One request, everything included.
_SECONDS: Final = 15.0
# A service with more sessions is not listed: its contacts stay.
_MOST: Final = 200_000


class ProxySessions:
    """The live sessions of Proxy services; remembers who is in which."""

    def __init__(self, rest: Rest) -> None:
        self._rest = rest
        self._people: dict[str, tuple[str, ...]] = {}  # by the session's SID

    def contacts(self, account: Account, services: set[str]) -> set[str]:
        """Return the addresses, in canonical form, of all who are in a live session of these services.

        Raises AttemptError when a page or a session cannot be read: then nothing is known.
        """
        live = [(service, sid) for service in sorted(services) for sid in self._live(account, service)]
        pool, unknown = Pool(_AT_ONCE), [each for each in live if each[1] not in self._people]
        for greenlet in [pool.spawn(self._read, account, *each) for each in unknown]:
            greenlet.get()
        current = {sid for _, sid in live}
        found = {each for sid, people in self._people.items() if sid in current for each in people}
        self._forget(current)
        return found

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

    def _read(self, account: Account, service: str, sid: str) -> None:
        url, query = f"{PROXY}/v1/Services/{service}/Sessions/{sid}/Participants", {"PageSize": str(_PAGE)}
        rows = self._get(account, url, query).rows("participants")
        addresses = [str(each.get("identifier") or "") for each in rows]
        self._people[sid] = tuple(canonical(each, channel_of(each)) for each in addresses if each)

    def _forget(self, live: Collection[str]) -> None:
        """Keep the sessions that are live and complete: those who are in a new one come into it one by one."""
        self._people = {sid: found for sid, found in self._people.items() if sid in live and len(found) >= _COMPLETE}

    def _get(self, account: Account, url: str, query: dict[str, str]) -> Reply:
        with gevent.Timeout(_SECONDS, AttemptError(Failure.REFUSED, f"no answer within {_SECONDS:g} s")):
            return self._rest.get(account, url, **query)
