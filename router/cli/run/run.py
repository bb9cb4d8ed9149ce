"""`router run`: the router with one command, its store and a demo account included."""

import contextlib
import fcntl
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import click

from router.cli.connect.connect import names_of
from router.cli.connect.connector import Connector
from router.cli.options import with_sections
from router.cli.run.banner import Start, banner
from router.cli.run.demo import configuration, variables
from router.cli.run.listen import check_address, free_tunnel_port, wait_until_up
from router.cli.run.supervisor import Supervisor
from router.cli.running import recorded
from router.errors import RouterError, SettingsError
from router.process.embedded import EmbeddedValkey
from router.settings import Row, Settings, load, table

# -P: started in a folder with a router.py of its own, Python takes ours. The application is that of wsgi.py.
_PYTHON = (sys.executable, "-P", "-m")
_GUNICORN = (*_PYTHON, "router.process", "--config=python:router.process.gunicorn_conf", "router.app:create_app()")
_ROUTER = (*_PYTHON, "router")

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
@click.option("--tunnel", "tunnelled", is_flag=True, help="Make it reachable by Twilio too, as `router tunnel` does.")
@click.option("--url", metavar="https://…", help="With --tunnel: the address of any other tunnel than ngrok's.")
@click.option("--ngrok-api", metavar="URL", help="With --tunnel: a running ngrok agent's API. [http://127.0.0.1:4040]")
@click.option("--connect", "addresses", multiple=True, metavar="+1…|MG…", help="With --tunnel: point a number here.")
@click.option("--yes", is_flag=True, help="With --connect: take a number over without asking.")
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
    """Start the router: with one command on a fresh machine, or over your own Redis.

    Without ROUTER_REDIS_URL it starts a Valkey of its own, which keeps its data in the data directory: a message that
    Twilio got a 200 for is on disk, and is there again after a kill. With ROUTER_REDIS_URL it serves from that Redis.

    Without an account it makes one up, with a random token, and flows that echo. A real account begins without flows:
    what comes for it is kept as unrouted, and not answered, until a flow takes it. To serve a real number:

    \b
      export TWILIO_ACCOUNT_SID=AC…  TWILIO_AUTH_TOKEN=…
      router run
      router run --tunnel --connect +15005550006

    The second one opens a tunnel and points the number here, until Ctrl-C: `router tunnel --help` says more.

    Ctrl-C stops it gracefully: what is being delivered is finished first. A second Ctrl-C does not wait.
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    tunnel = _tunnel_command(tunnelled=tunnelled, url=url, ngrok_api=ngrok_api, addresses=addresses, yes=yes)
    options = {"ROUTER_BIND": bind, "ROUTER_WORKERS": workers, "ROUTER_DATA_DIR": data_dir}
    environ = dict(os.environ) | {name: value for name, value in options.items() if value is not None}
    given = load(environ)
    _make(given.data_dir)
    made_up = not given.accounts
    added = _configured(given, environ.get("ROUTER_CONFIG", ""))
    environ |= added
    settings = load(environ)
    if addresses and made_up:
        raise SettingsError(
            "TWILIO_ACCOUNT_SID", "not set; a number can be connected for a real account only, not for the demo's"
        )
    if settings.redis_url and not tunnel:
        check_address(settings)
        _give_tunnel_port(settings, environ)
        _put_back_orphans(settings, environ)
        click.echo(banner(settings, _look(environ, made_up=made_up)))
        os.execve(sys.executable, _GUNICORN, environ)  # noqa: S606 - gunicorn takes this process's place
    with _alone(settings.data_dir):
        check_address(settings)
        _give_tunnel_port(settings, environ)
        sys.exit(_supervised(settings, environ, tunnel, added, made_up=made_up))


def _configured(given: Settings, config: str) -> Mapping[str, str]:
    """Return the variables with what `router run` adds to the settings: a console password, a made-up account.

    Raises:
        SettingsError: the file that `config` names has neither account nor handlers, so it is no demo's.
    """
    folder = given.data_dir.absolute()
    if not config:
        return {"ROUTER_CONFIG": str(configuration(folder, with_account=not given.accounts))}
    if given.accounts:
        return {}
    if "handlers" not in given.model_fields_set:
        raise SettingsError(
            "ROUTER_CONFIG",
            f"{config} has no [[account]], and TWILIO_ACCOUNT_SID is not set; a file with [handlers] and without "
            "[[account]] would extend the demo",
        )
    return variables(folder, given)


def _give_tunnel_port(settings: Settings, environ: dict[str, str]) -> None:
    """Choose the port that tunnels lead to, unless the settings name one."""
    environ["ROUTER_TUNNEL_PORT"] = str(settings.tunnel_port or free_tunnel_port(settings))


def _make(folder: Path) -> None:
    """Make the data directory, and see that it can be written to.

    Raises:
        SettingsError: it cannot be made, or not be written to.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        reason = "it is a file" if isinstance(error, FileExistsError) else error.strerror
        raise SettingsError("ROUTER_DATA_DIR", f"{folder} cannot be used: {reason}; name another folder") from None


def _tunnel_command(
    *, tunnelled: bool, url: str | None, ngrok_api: str | None, addresses: Sequence[str], yes: bool
) -> tuple[str, ...]:
    """Return the command line of the tunnel that goes with it; () for none.

    Raises:
        UsageError: options of a tunnel, without one.
    """
    if not tunnelled:
        if url or ngrok_api or addresses or yes:
            raise click.UsageError("--url, --ngrok-api, --connect and --yes go with --tunnel.")
        return ()
    names_of(addresses)  # what is none is said before anything is started
    options = [f"--connect={address}" for address in addresses] + ["--yes"] * yes
    options += [f"--url={url}"] * bool(url) + [f"--ngrok-api={ngrok_api}"] * bool(ngrok_api)
    return (*_ROUTER, "tunnel", *options)


def _supervised(
    settings: Settings, environ: dict[str, str], tunnel: Sequence[str], added: Mapping[str, str], *, made_up: bool
) -> int:
    """Serve over an embedded store, or with a tunnel; return the exit status.

    Args:
        settings: of the router to be.
        environ: the variables from which it will read them.
        tunnel: the command line of a tunnel; () for none.
        added: those of the variables that `router run` has set itself.
        made_up: whether the account is.
    """
    store = None if settings.redis_url else EmbeddedValkey.over(settings.data_dir / "valkey")
    if store:
        environ["ROUTER_REDIS_URL"] = store.url
    environ["ROUTER_BIND"] = settings.bind
    start = Start(made_up=made_up)

    def prepare() -> None:
        nonlocal start
        start = replace(_look(environ, made_up=made_up), tunnelled=bool(tunnel))

    def announce(alive: Callable[[], bool]) -> None:
        wait_until_up(settings, alive)
        if alive():
            click.echo(banner(settings, start))
            if not tunnel:
                _put_back_orphans(settings, environ)

    record: contextlib.AbstractContextManager[None] = contextlib.nullcontext()
    if store:
        found = {**added, "ROUTER_REDIS_URL": environ["ROUTER_REDIS_URL"], "ROUTER_BIND": settings.bind}
        found["ROUTER_TUNNEL_PORT"] = environ["ROUTER_TUNNEL_PORT"]
        if config := environ.get("ROUTER_CONFIG"):
            found["ROUTER_CONFIG"] = str(Path(config).absolute())
        record = recorded(settings.data_dir, found, [account.sid for account in settings.accounts])
    supervisor = Supervisor(store, _GUNICORN, environ, tunnel)
    with record:
        return supervisor.run(prepare, announce)


def _put_back_orphans(settings: Settings, environ: dict[str, str]) -> None:
    """Put back what a crash has left connected. It is not waited for: Twilio may be slow, and messages are not."""
    try:
        if Connector(settings).has_orphans():
            command = [*_ROUTER, "disconnect", "--left-behind"]
            subprocess.Popen(command, env=environ, stdin=subprocess.DEVNULL)  # noqa: S603 - our own
    except RouterError as error:  # damaged: no reason to take no messages
        click.echo(f"router: {error}", err=True)


def _look(environ: Mapping[str, str], *, made_up: bool) -> Start:
    """Give the made-up account the demo's flows if it never had any; return what there is of flows."""
    command = [*_PYTHON, "router.cli.run.seed"]
    ended = subprocess.run(command, env=environ, check=False, stdout=subprocess.PIPE, text=True)  # noqa: S603 - ours
    if not ended.returncode:
        found = json.loads(ended.stdout)
        return Start(made_up=made_up, seeded=found["seeded"], empty=tuple(found["empty"]), chat=found["chat"])
    if made_up:
        raise RouterError("the demo's flows could not be written")
    return Start(made_up=False)  # the store is away: the router starts all the same


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the data directory for this process only; the lock ends with the process, however that ends."""
    with (folder / "router.lock").open("a+", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise RouterError(
                f"a router already runs in {folder} (process {lock.read().strip() or 'unknown'}); "
                "stop it, or give this one another --data-dir"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield
