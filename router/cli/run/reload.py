"""`router reload`: starts new workers with the current settings; the old workers finish their deliveries."""

import os
import signal
import time
from collections.abc import Sequence
from typing import Final

import click

from router.cli.here import open_store
from router.cli.running import load_settings_for_cli
from router.errors import RouterError
from router.machine import machine
from router.printable import clean
from router.settings import Settings
from router.store import Store
from router.store.processes import Process

# Seconds. A separate process first tests the new settings, for at most 30 s; then the workers start in a few seconds.
_PATIENCE: Final = 45.0
_POLL_EVERY: Final = 0.1


@click.command()
def reload() -> None:
    """Let the router read its settings again, without losing a message.

    \b
      router reload

    New workers start with the current content of the file that ROUTER_CONFIG names (accounts, auth tokens, handlers),
    and the old workers finish their deliveries. Settings from environment variables do not change, nor does the
    address. Flows and their languages need no reload.

    The command reloads the router that uses the same store on this machine, started by `router run` or by your own
    gunicorn. If there are several, ROUTER_BIND selects one. The exit status is 1 if there is no such router, or if it
    keeps its old settings.
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    settings = load_settings_for_cli()
    with open_store(settings) as store:
        before = store.processes.present()
        master = _master(settings, before)
        store.processes.forget_refused_reload(machine(), master)
        try:
            os.kill(master, signal.SIGHUP)
        except ProcessLookupError:
            raise RouterError(f"gunicorn (process {master}) has just ended; start it with `router run`") from None
        except PermissionError:
            raise RouterError(f"gunicorn (process {master}) is another user's; reload it as that user") from None
        _wait(store, master, frozenset(each.pid for each in before if each.master == master))
    click.echo(f"Reloaded: the router (process {master}) has new workers with the current settings.")


def _master(settings: Settings, present: Sequence[Process]) -> int:
    """Return the process id of the gunicorn master of the router that the settings select.

    Raises:
        RouterError: no such router runs on this machine, or there are several.
    """
    here = [each for each in present if each.machine == machine()]
    masters = {each.master: each.bind for each in here}
    wanted = [master for master, bind in masters.items() if bind == settings.bind]
    if len(masters) == 1:
        return next(iter(masters))
    if len(wanted) == 1:
        return wanted[0]
    if masters:
        which = ", ".join(f"{bind} (process {master})" for master, bind in sorted(masters.items()))
        raise RouterError(
            f"several routers use this store, and listen on {which}: set ROUTER_BIND, or kill -HUP one of them"
        )
    elsewhere = sorted({each.host for each in present})
    found = f"; routers run on {', '.join(elsewhere)}: reload them there" if elsewhere else ""
    raise RouterError(f"no router on this machine uses the store of these settings{found}")


def _wait(store: Store, master: int, old: frozenset[int]) -> None:
    """Wait until new processes accept messages instead of the old ones.

    Raises:
        RouterError: the router keeps its old processes.
    """
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end:
        if reason := store.processes.refused_reload(machine(), master):
            raise RouterError(f"not reloaded, the router keeps its old settings: {clean(reason)}")
        now = {each.pid for each in store.processes.present() if each.master == master}
        if now and not now & old:
            return
        time.sleep(_POLL_EVERY)
    if now - old:
        raise RouterError("new processes have started, but old ones still accept messages: see `router doctor`")
    raise RouterError("not reloaded: the router keeps its old settings; its log has the reason")
