"""`router reload`: new workers with new settings and all languages; the old ones finish what they have."""

import contextlib
import os
import signal
import time
from typing import Final

import click

from router.cli.here import open_store
from router.cli.running import gunicorn_of, load_settings_for_cli
from router.errors import RouterError, StoreUnavailable
from router.settings import Settings

# How long the models of many languages take to load, and the workers to start.
_PATIENCE: Final = 60.0
_LOOK: Final = 0.1


@click.command()
def reload() -> None:
    """Let the router read its settings again, and load languages; no message is lost.

    \b
      router flows apply spanish.toml     a language that no flow had before
      router reload                       its texts are read from now on

    New workers start with the settings as they are in the file of ROUTER_CONFIG now (accounts, auth tokens, handlers),
    and with the models of all languages that flows name; the old workers finish what they have. What was given as a
    variable stays as it was, and so does the address.

    It is for a router that `router run` started with a store of its own. A gunicorn of your own is told by
    `kill -HUP PID` or, under systemd, `systemctl reload`.
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    settings = load_settings_for_cli()
    pid = gunicorn_of(settings)
    if pid is None:
        raise RouterError(
            f"no `router run` with a store of its own runs in {settings.data_dir}; a gunicorn of your own reloads by "
            "kill -HUP and its process id, or by systemctl reload"
        )
    waiting = _behind(settings)
    try:
        os.kill(pid, signal.SIGHUP)
    except ProcessLookupError:
        raise RouterError(
            f"gunicorn (process {pid}) does not run any more; start the router with `router run`"
        ) from None
    except PermissionError:
        raise RouterError(f"gunicorn (process {pid}) is another user's; reload it as that user") from None
    _wait(settings)
    read = f"; texts in {', '.join(sorted(waiting))} are read now" if waiting else ""
    click.echo(
        f"Told to reload: new workers take over, the old ones finish what they have{read}. Where that is not possible, "
        "as with a handler that cannot be imported, all stays as it is, and the log says `not reloaded`."
    )


def _behind(settings: Settings) -> frozenset[str]:
    """Return the languages that flows name and that are not loaded."""
    with open_store(settings) as store:
        return store.languages.behind()


def _wait(settings: Settings) -> None:
    """Wait until the languages are loaded, which the new workers are forked after."""
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end:
        with contextlib.suppress(StoreUnavailable):
            if not _behind(settings):
                return
        time.sleep(_LOOK)
    raise RouterError(f"the languages were not loaded within {_PATIENCE:g} s; the router's log says why")
