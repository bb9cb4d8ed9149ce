"""Lists the contacts in live sessions of Proxy while flows are migrated: these contacts must not move.

One process at a time does it, for all accounts whose contacts may move. If Twilio does not send a list in time, the
sessions count as unknown, and every contact stays.
"""

import time
from collections.abc import Callable
from typing import Final

import gevent

from router.errors import StoreUnavailable, unexpected
from router.integrations.base import AttemptError
from router.integrations.proxy_sessions import ProxySessions
from router.routing.contact import contact_id
from router.settings import Settings
from router.store import Store
from router.store.lanes import new_token
from router.store.proxied import SENDING_SECONDS

# The interval of the lists.
LIST_SECONDS: Final = 10.0
# How long a list is valid after its reading began; reading it must take less.
COUNTS_SECONDS: Final = 120.0
TURN_SECONDS: Final = 60.0
# A message sent to Proxy while a list is read must be remembered for longer than the list is valid.
assert SENDING_SECONDS > 2 * COUNTS_SECONDS  # noqa: S101 - of two constants


class SessionWatch:
    """The lists of one process; `fault` is called once when an account's list cannot be read."""

    def __init__(self, store: Store, settings: Settings, sessions: ProxySessions, fault: Callable[[str], None]) -> None:
        self._store = store
        self._settings = settings
        self._sessions = sessions
        self._fault = fault
        self._token = new_token()
        self._failed: dict[str, str] = {}

    def run(self, stopping: Callable[[], bool]) -> None:
        """List sessions until the process stops."""
        while not stopping():
            try:
                self.round()
            except StoreUnavailable:
                pass
            except Exception as error:  # noqa: BLE001 - on any error contacts stay, and the next round tries again
                self._fault(f"sessions of Proxy: {unexpected(error)}")
            gevent.sleep(LIST_SECONDS)

    def round(self) -> None:
        """List the sessions of all accounts that want it, if it is this process's turn."""
        wanted = self._store.proxied.wanted(self._store.buckets, time.time())
        if not wanted or not self._store.proxied.turn(self._token, TURN_SECONDS):
            return
        for account_sid, services in wanted.items():
            self._list(account_sid, services)

    def _list(self, account_sid: str, services: set[str]) -> None:
        account = self._settings.account(account_sid)
        if account is None:
            return
        began = time.monotonic()
        named = {each or account.proxy_service_sid or "" for each in services}
        if "" in named:
            return  # a flow without a service: its sessions cannot be listed, so its contacts stay
        try:
            contacts = self._sessions.contacts(account, named)
        except AttemptError as error:
            if self._failed.get(account_sid) != error.logged:
                self._failed[account_sid] = error.logged
                self._fault(
                    f"the sessions of Proxy of {account_sid} are not known, so no contact moves: {error.logged}"
                )
            return
        self._failed.pop(account_sid, None)
        left = COUNTS_SECONDS - (time.monotonic() - began)
        if left > 1:
            self._store.proxied.put(account_sid, {contact_id(each) for each in contacts}, seconds=left)
