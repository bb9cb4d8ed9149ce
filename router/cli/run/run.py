"""`router run`: starts the router with one command, including a store and a demo account if necessary."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import click

from router.cli.connect.connector import Connector
from router.cli.connect.names import names_of
from router.cli.options import with_sections
from router.cli.run.banner import Start, banner
from router.cli.run.data_dir import locked, make
from router.cli.run.demo import added_variables
from router.cli.run.listen import check_address, free_tunnel_port, wait_until_up
from router.cli.run.supervisor import Supervisor
from router.cli.running import recorded
from router.cli.terminal import say
from router.errors import RouterError, SettingsError
from router.process.embedded import EmbeddedValkey
from router.process.fork import in_child
from router.process.preload import FOUND
from router.settings import Settings, load
from router.settings.documentation import Row, table

# -P: a router.py in the current folder is not imported instead of ours. The application is that of wsgi.py.
_PYTHON = (sys.executable, "-P", "-m")
_GUNICORN = (*_PYTHON, "router.process", "--config=python:router.process.gunicorn_conf", "router.app:create_app()")
_ROUTER = (*_PYTHON, "router")
# Language models are hundreds of MB with random access. Pages of 2 MB instead of 4 KB cause fewer TLB misses: detection
# takes a quarter less time. glibc reads this variable when a process starts.
_PAGES: Final = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}
# Seconds for the child process that prepares the flows; each of its few calls to the store has a shorter timeout.
_PATIENCE = 30.0

_SETTINGS = [row for row in table() if row.variable]


def _help(row: Row) -> str:
    return f"{row.help}. [{row.default}]" if row.default else f"{row.help}."


def _help_of(variable: str) -> str:
    return next(_help(row) for row in _SETTINGS if row.variable == variable)


@click.command(
    cls=with_sections(
        (
            "Settings, as variables or in the file that ROUTER_CONFIG names",
            [(row.variable, _help(row)) for row in _SETTINGS],
        )
    )
)
@click.option("--bind", metavar="HOST:PORT", help=_help_of("ROUTER_BIND"))
@click.option("--workers", metavar="N", help=_help_of("ROUTER_WORKERS"))
@click.option("--data-dir", metavar="PATH", help=_help_of("ROUTER_DATA_DIR"))
@click.option("--tunnel", "tunnelled", is_flag=True, help="Also open a tunnel for Twilio, as `router tunnel` does.")
@click.option("--url", metavar="https://…", help="With --tunnel: the address of another kind of tunnel.")
@click.option("--ngrok-api", metavar="URL", help="With --tunnel: the API of an ngrok agent. [http://127.0.0.1:4040]")
@click.option("--connect", "addresses", multiple=True, metavar="+1…|MG…", help="With --tunnel: point a number here.")
@click.option("--yes", is_flag=True, help="With --connect: do not ask before changing a number.")
def run(  # noqa: PLR0913 - one for each option
    *,
    bind: str | None,
    workers: str | None,
    data_dir: str | None,
    tunnelled: bool,
    url: str | None,
    ngrok_api: str | None,
    addresses: tuple[str, ...],
    yes: bool,
) -> None:
    """Start the router, with its own store or with your Redis.

    Without ROUTER_REDIS_URL the router starts its own Valkey, which keeps its data in the data directory: a message
    that was answered 200 is on disk, and survives a crash. With ROUTER_REDIS_URL the router uses that Redis.

    Without an account the router creates a demo account, with a random token, and with flows that echo. A real account
    begins without flows: its messages are kept as unrouted, without an answer, until you add a flow. To serve a real
    number:

    \b
      export TWILIO_ACCOUNT_SID=AC…  TWILIO_AUTH_TOKEN=…
      router run
      router run --tunnel --connect +15005550006

    With --tunnel --connect, the command opens a tunnel and points the number to this router, until Ctrl-C:
    `router tunnel --help` explains it.

    Ctrl-C stops the router after the deliveries in progress. A second Ctrl-C stops it immediately.
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    tunnel = _tunnel_command(tunnelled=tunnelled, url=url, ngrok_api=ngrok_api, addresses=addresses, yes=yes)
    options = {"ROUTER_BIND": bind, "ROUTER_WORKERS": workers, "ROUTER_DATA_DIR": data_dir}
    environ = _PAGES | dict(os.environ) | {name: value for name, value in options.items() if value is not None}
    initial = load(environ)
    make(initial.data_dir)
    made_up = not initial.accounts
    added = added_variables(initial, environ.get("ROUTER_CONFIG", ""))
    environ |= added
    settings = load(environ)
    if addresses and made_up:
        raise SettingsError(
            "TWILIO_ACCOUNT_SID", "not set; a number can only be connected for a real account, not for the demo account"
        )
    if settings.redis_url and not tunnel:
        check_address(settings)
        _give_tunnel_port(settings, environ)
        _restore_orphans(settings, environ)
        click.echo(banner(settings, _prepare_flows(environ, made_up=made_up)))
        os.execve(sys.executable, _GUNICORN, environ)  # noqa: S606 - gunicorn replaces this process
    with locked(settings.data_dir):
        check_address(settings)
        _give_tunnel_port(settings, environ)
        sys.exit(_supervised(settings, environ, tunnel, added, made_up=made_up))


def _give_tunnel_port(settings: Settings, environ: dict[str, str]) -> None:
    """Choose the port for tunnels, unless the settings name one."""
    environ["ROUTER_TUNNEL_PORT"] = str(settings.tunnel_port or free_tunnel_port(settings))


def _tunnel_command(
    *, tunnelled: bool, url: str | None, ngrok_api: str | None, addresses: Sequence[str], yes: bool
) -> tuple[str, ...]:
    """Return the command line of `router tunnel`; () without --tunnel.

    Raises:
        UsageError: options of the tunnel without --tunnel.
    """
    if not tunnelled:
        if url or ngrok_api or addresses or yes:
            raise click.UsageError("--url, --ngrok-api, --connect and --yes need --tunnel.")
        return ()
    names_of(addresses)  # raises for an invalid one, before anything is started
    options = [f"--connect={address}" for address in addresses] + ["--yes"] * yes
    options += [f"--url={url}"] * bool(url) + [f"--ngrok-api={ngrok_api}"] * bool(ngrok_api)
    return (*_ROUTER, "tunnel", *options)


def _supervised(
    settings: Settings, environ: dict[str, str], tunnel: Sequence[str], added: Mapping[str, str], *, made_up: bool
) -> int:
    """Run the router with an embedded store, a tunnel, or both; return the exit status.

    `tunnel` is the command line of `router tunnel`, () for no tunnel; `added` are the variables that `router run` has
    added.
    """
    store = None if settings.redis_url else EmbeddedValkey.over(settings.data_dir / "valkey")
    if store:
        environ["ROUTER_REDIS_URL"] = store.url
    environ["ROUTER_BIND"] = settings.bind
    start = Start(made_up=made_up)

    def prepare() -> None:
        nonlocal start
        start = replace(_prepare_flows(environ, made_up=made_up), tunnelled=bool(tunnel))

    def announce(alive: Callable[[], bool]) -> None:
        environ.pop(FOUND, None)  # if gunicorn is restarted later, it asks the store itself
        wait_until_up(settings, alive)
        if alive():
            click.echo(banner(settings, start))
            if not tunnel:
                _restore_orphans(settings, environ)

    record: contextlib.AbstractContextManager[None] = contextlib.nullcontext()
    if store:
        found = {**added, "ROUTER_REDIS_URL": environ["ROUTER_REDIS_URL"], "ROUTER_BIND": settings.bind}
        found["ROUTER_TUNNEL_PORT"] = environ["ROUTER_TUNNEL_PORT"]
        if config := environ.get("ROUTER_CONFIG"):
            found["ROUTER_CONFIG"] = str(Path(config).absolute())
        record = recorded(settings.data_dir, found, [account.sid for account in settings.accounts])
    supervisor = Supervisor(store, _GUNICORN, environ, settings.stop_seconds, tunnel)
    with record:
        return supervisor.run(prepare, announce)


def _restore_orphans(settings: Settings, environ: dict[str, str]) -> None:
    """Restore the webhooks that a crash has left connected, in another process: Twilio may be slow."""
    try:
        if Connector(settings).has_orphans():
            command = [*_ROUTER, "disconnect", "--left-behind"]
            subprocess.Popen(command, env=environ, stdin=subprocess.DEVNULL)  # noqa: S603 - our own
    except RouterError as error:  # the record is damaged; the router starts anyway
        say(str(error))


def _prepare_flows(environ: dict[str, str], *, made_up: bool) -> Start:
    """Create the flows of the demo account, unless it has had flows; return the state of the flows.

    What gunicorn would ask the store next is put into `environ`.

    A forked child calls the store, so that this process, which stays in memory, does not import the client of Redis.
    """

    def found() -> str:
        from router.cli.run.seed import report

        return report(environ)

    line = ""
    with contextlib.suppress(TimeoutError):
        line = in_child(found, seconds=_PATIENCE) or ""
    if line:
        state = json.loads(line)
        environ[FOUND] = state["found"]
        return Start(made_up=made_up, seeded=state["seeded"], empty=tuple(state["empty"]), chat=state["chat"])
    if made_up:
        raise RouterError("the flows of the demo account could not be written")
    return Start(made_up=False)  # the store does not answer; the router starts anyway
