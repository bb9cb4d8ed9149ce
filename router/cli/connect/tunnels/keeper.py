"""Keeps what depends on a tunnel's address up to date: what the workers believe, and the webhooks that lead to it."""

import time
from collections.abc import Callable
from typing import Final

import click

from router.cli.connect.change import Connector
from router.cli.connect.record import Changes, Connection
from router.cli.connect.tunnels import Tunnel, TunnelGone
from router.cli.connect.webhook import sentence
from router.errors import RouterError
from router.web.tunnel_address import TunnelRecord

# Before a webhook that could not be moved is tried again.
_AGAIN: Final = 10.0


class Keeper:
    """Looks after one tunnel.

    Args:
        tunnel: the tunnel.
        record: where the workers read its address.
        connector: moves the webhooks that lead to it.
        patience: how long it may be away, in seconds.
        changed: called with a new address.
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
        self._away_since: float | None = None
        self._move_at = 0.0

    def begin(self) -> None:
        """Look for the first time; raise RouterError when there is no tunnel."""
        self._follow(self._tunnel.look())

    def look(self) -> None:
        """Look once more.

        Raises:
            RouterError: the tunnel has been away for too long, or cannot come back.
        """
        try:
            base = self._tunnel.look()
        except TunnelGone as error:
            self._gone(error)
            return
        if self._away_since is not None:
            self._away_since = None
            click.echo(f"router: the tunnel is back: {base}", err=True)
        if base != self.base:
            self._follow(base)
        elif time.monotonic() >= self._move_at:
            self._move_all(base)  # what was connected in the moment of a change, or could not be moved

    def _gone(self, error: TunnelGone) -> None:
        now = time.monotonic()
        if self._away_since is None:
            self._away_since = now
            click.echo(f"router: {error}; waiting {self._patience:.0f} s for it", err=True)
        if now - self._away_since >= self._patience:
            raise RouterError(f"the tunnel is gone: {error}")

    def _follow(self, base: str) -> None:
        """Believe the new address first, and only then have Twilio send there."""
        before, self.base = self.base, base
        self._record.publish(base)
        if before and before != base:
            click.echo(f"router: the tunnel has a new address: {base}", err=True)
            self._changed(base)
        self._move_all(base)

    def _move_all(self, base: str) -> None:
        record = self._connector.record
        if not any(each.tunnel and each.base != base for each in record.read()):
            return
        with record.changing() as changes:
            for connection in changes.all:
                if connection.tunnel and connection.base != base:
                    self._move(changes, connection, base)

    def _move(self, changes: Changes, connection: Connection, base: str) -> None:
        try:
            if self._connector.move(changes, connection, base):
                said = f"{connection.name} leads to the new address"
            else:
                said = sentence(self._connector.restore(changes, connection))
        except RouterError as error:
            self._move_at = time.monotonic() + _AGAIN
            click.echo(f"router: {connection.name} does not lead to the new address yet: {error}", err=True)
            return
        click.echo(f"router: {said}", err=True)
