"""`router reload`: new workers with the settings as they are now; the old ones finish what they have."""

import os
import signal
import time
from collections.abc import Sequence
from typing import Final

import click

from router.cli.here import open_store
from router.cli.output import clean
from router.cli.running import load_settings_for_cli
from router.errors import RouterError
from router.machine import machine
from router.settings import Settings
from router.store import Store
from router.store.processes import Process

# A reload is tried in a process of its own first, for 30 s at most; then workers start, which takes some seconds.
_PATIENCE: Final = 45.0
_LOOK: Final = 0.1


@click.command()
def reload() -> None:
    """Let the router read its settings again; no message is lost.

    \b
      router reload

    New workers start with the settings as they are in the file of ROUTER_CONFIG now (accounts, auth tokens, handlers);
    the old workers finish what they have. What was given as a variable stays as it was, and so does the address. Flows
    and their languages need no reload.

    It reloads the router that takes messages over the store of the settings, on this machine: one of `router run` or a
    gunicorn of your own. Where several do, ROUTER_BIND says which. The exit status is 1 when none does, or when it goes
    on with the settings it had.
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
    click.echo(f"Reloaded: the processes of {master} are new, and have the settings as they are now.")


def _master(settings: Settings, present: Sequence[Process]) -> int:
    """Return the process that forks the workers of the router that the settings name.

    Raises:
        RouterError: there is none on this machine, or one cannot tell which.
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
            f"which one? Routers over this store listen at {which}: set ROUTER_BIND, or kill -HUP one of them"
        )
    elsewhere = sorted({each.host for each in present})
    found = f"; some run on {', '.join(elsewhere)}: reload them there" if elsewhere else ""
    raise RouterError(f"no router takes messages over the store of these settings on this machine{found}")


def _wait(store: Store, master: int, old: frozenset[int]) -> None:
    """Wait until the processes that take messages are others than before.

    Raises:
        RouterError: they are not.
    """
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end:
        if reason := store.processes.refused_reload(machine(), master):
            raise RouterError(f"not reloaded, the router goes on with the settings it has: {clean(reason)}")
        now = {each.pid for each in store.processes.present() if each.master == master}
        if now and not now & old:
            return
        time.sleep(_LOOK)
    if now - old:
        raise RouterError("new processes have begun, but old ones still take messages; `router doctor` tells of them")
    raise RouterError("not reloaded: the router goes on with the settings it had; its log says why")
