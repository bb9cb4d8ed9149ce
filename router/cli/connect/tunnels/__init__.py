"""Tunnels that make this machine's router reachable: a running ngrok agent's, one of our own, any other by its URL."""

from typing import Protocol

from router.errors import RouterError


class TunnelGone(RouterError):  # noqa: N818 - named for what it says
    """The tunnel is not there, for now: its agent does not answer, or nothing comes through it."""


class Tunnel(Protocol):
    """A tunnel that was opened, or found open."""

    whole: bool
    """Whether it leads to the whole router; else to /webhooks/ only."""

    def look(self) -> str:
        """Return its public base as it is now; raise `TunnelGone`, or RouterError when it cannot come back."""

    def close(self) -> None:
        """Close what we have opened; leave alone what was there."""
