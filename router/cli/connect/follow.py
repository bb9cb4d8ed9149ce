"""Follows an open tunnel: notices when it is lost or gets another address, and moves the webhooks to the new one."""

import time
from collections.abc import Callable
from typing import Final, Protocol

from router.cli.connect.connector import Connector
from router.cli.connect.probe import probe
from router.cli.terminal import say
from router.errors import RouterError
from router.settings import Account
from router.tunnel_address import TunnelRecord
from router.twilio_api.connections import ConnectedWebhook

# Seconds between two signed requests through a tunnel of which only the URL is known.
_PROBE_EVERY: Final = 15.0
# A single request may be lost on the way; after two in a row the tunnel counts as lost.
_FAILURES: Final = 2
# Seconds before the next attempt to move a webhook that could not be moved.
_MOVE_AGAIN: Final = 10.0


class TunnelGone(RouterError):  # noqa: N818 - named for the condition
    """The tunnel does not work at the moment: its agent does not answer, or no request comes through it."""


class Tunnel(Protocol):
    """An open tunnel, opened by us or by the user."""

    def look(self) -> str:
        """Return its current public base URL; raise `TunnelGone`, or RouterError if it cannot recover."""

    def close(self) -> None:
        """Close the tunnel if we have opened it."""


class GivenTunnel:
    """A tunnel that the user has opened; a request that `account` signs tests it every `every` seconds."""

    def __init__(self, url: str, account: Account, *, every: float = _PROBE_EVERY) -> None:
        self._url = url
        self._account = account
        self._every = every
        self._next = time.monotonic() + every
        self._failures = 0

    def look(self) -> str:
        """Return its address; raise `TunnelGone` if requests no longer come through it."""
        if time.monotonic() >= self._next:
            found = probe(self._url, self._account)
            self._failures = 0 if found.good else self._failures + 1
            self._next = time.monotonic() + (self._every if found.good else self._every / 10)
            if self._failures >= _FAILURES:
                raise TunnelGone(f"{self._url}: {found.found}; {found.advice}")
        return self._url

    def close(self) -> None:
        """Do nothing: the user has opened it."""


class Follower:
    """Follows one tunnel: publishes its address to the workers, and moves the webhooks that point to it.

    It waits `patience` seconds for a lost tunnel, and calls `changed` with each new address except the first.
    """

    def __init__(
        self,
        tunnel: Tunnel,
        record: TunnelRecord,
        connector: Connector,
        patience: float,
        changed: Callable[[str], None],
    ) -> None:
        self.base = ""
        self._tunnel = tunnel
        self._record = record
        self._connector = connector
        self._patience = patience
        self._changed = changed
        self._lost_since: float | None = None
        self._move_at = 0.0

    def look(self) -> None:
        """Check the tunnel, and follow a change.

        Raises:
            RouterError: it did not work at the first check, was lost for too long, or cannot recover.
        """
        try:
            base = self._tunnel.look()
        except TunnelGone as error:
            if not self.base:
                raise
            self._gone(error)
            return
        if self._lost_since is not None:
            self._lost_since = None
            say(f"the tunnel is back: {base}")
        before, self.base = self.base, base
        if base != before:
            self._record.publish(base)  # the workers must know the new address before Twilio calls it
            if before:
                say(f"the tunnel has a new address: {base}")
                self._changed(base)
        if base != before or time.monotonic() >= self._move_at:
            self._move_all(base)

    def _gone(self, error: TunnelGone) -> None:
        now = time.monotonic()
        if self._lost_since is None:
            self._lost_since = now
            say(f"{error}; waiting {self._patience:.0f} s for it")
        if now - self._lost_since >= self._patience:
            raise RouterError(f"the tunnel is gone: {error}")

    def _move_all(self, base: str) -> None:
        """Move the webhooks that point to an earlier address, also those connected at the moment of a change."""

        def is_behind(each: ConnectedWebhook) -> bool:
            return each.tunnel and each.base != base

        connector = self._connector
        if not any(is_behind(each) for each in connector.record.read()):
            return
        with connector.record.locked():
            for connection in connector.record.read():
                if is_behind(connection):
                    try:
                        if connector.move(connection, base):
                            say(f"{connection.name} points to the new address")
                        else:
                            say(str(connector.restore(connection)))
                    except RouterError as error:
                        self._move_at = time.monotonic() + _MOVE_AGAIN
                        say(f"{connection.name} does not point to the new address yet: {error}")
