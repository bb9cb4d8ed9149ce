"""How gunicorn serves the router: `gunicorn -c python:router.process.gunicorn_conf wsgi:app`.

config/gunicorn.conf.py is a copy to edit: it takes everything from here, and what follows there wins.

Address and number of processes are settings of the router (ROUTER_BIND, ROUTER_WORKERS); what stands here are the
numbers that have to fit together, each with its origin. Nothing may be imported here that brings in urllib3 or redis:
the workers are forked from this process, and gevent patches them only after the fork.
"""

import atexit
import gc
import logging
import os
import re
import signal
import sys
import time
from typing import Any, NoReturn

import gevent
import gunicorn.http.message
from gunicorn.arbiter import Arbiter
from gunicorn.http.body import ChunkedReader
from gunicorn.http.errors import InvalidChunkSize
from gunicorn.workers.base import Worker

from router.errors import SettingsError
from router.handling.launch import check
from router.metric_files import NAME, MetricFiles, free_name
from router.process.preload import FOUND, load_languages, preload
from router.process.refused_reload import tell
from router.process.renewal import install
from router.process.startup_check import failure
from router.settings import Settings, load


def _refuse(reason: object) -> NoReturn:
    sys.stderr.write(f"router: {reason}\n")
    sys.exit(2)


def _load() -> Settings:
    """Return the settings that the workers will have; raise SettingsError where no message could be taken with them."""
    settings = load(os.environ)
    if not settings.redis_url:
        raise SettingsError(
            "ROUTER_REDIS_URL", "not set; name a Redis or Valkey, or let `router run` start one of its own"
        )
    if not settings.accounts:
        raise SettingsError(
            "TWILIO_ACCOUNT_SID",
            "not set, nor an [[account]] in the file of ROUTER_CONFIG; every webhook would be refused",
        )
    return settings


def _check(settings: Settings) -> None:
    """See that the handlers can be imported; workers leave that to processes of their own, when they need one."""
    check({name: handler.path for name, handler in settings.handlers.items()})


try:
    _settings = _load()
except SettingsError as error:
    _refuse(error)


def _addresses(settings: Settings) -> list[str]:
    """Return where to listen: the second address is for tunnels, and the application serves only webhooks at it."""
    return [settings.bind, *([f"127.0.0.1:{settings.tunnel_port}"] if settings.tunnel_port else [])]


bind = _addresses(_settings)
workers = _settings.workers

# A slow target holds a greenlet, never a process.
worker_class = "router.process.worker.Worker"
# Loading before the fork would load before gevent's patch: every TLS connection then fails with a RecursionError.
preload_app = False

# --- Deadlines: relay 10 s < attempt 22 s < lease 30 s < graceful stop 40 s ---

# After TERM, until the processes are killed.
graceful_timeout = 40
# Of these, how long a process waits for open connections: a relay's 10 s, and time to answer; the loop that waits adds
# up to 2 s. The rest is what the router's own stop may take (23 s): an attempt's 22 s and the time to settle it.
_CONNECTIONS_TIMEOUT = 14
# Before another process is begun in the place of one that could not begin.
_AGAIN = 1.0
# A process that says nothing for so long hangs. It says nothing while it settles after the connections are closed,
# so this is more than graceful_timeout.
timeout = 60
# Twilio and most proxies keep connections for their next webhook; idle ones delay a graceful stop by as much.
keepalive = 5

# --- Requests ---

# A GET webhook carries the message in its request line, and WhatsApp allows 4,096 characters of up to 4 bytes, each
# `%XX`: 48 KB. gunicorn's own maximum is 8,190 bytes, or none at all, and then a line without an end is read in
# quadratic time; so its maximum is moved.
limit_request_line = 64 * 1024
gunicorn.http.message.MAX_REQUEST_LINE = limit_request_line
# Twilio sends some 15 headers, and proxies add as many.
limit_request_fields = 64
# Bytes of all headers together. gunicorn would read 512 KiB, 64 times the longest one, and it copies what it has with
# every packet. It sets its bound on each request; the class has this one in its place.
_HEADERS_MOST = 64 * 1024
gunicorn.http.message.Message.max_buffer_headers = property(lambda _: _HEADERS_MOST, lambda _, __: None)
# Chunks of one body. Proxies send some KiB in each; in chunks of one byte it would cost 30 times what it costs whole.
_CHUNKS_MOST = 1024


class _FewChunks(ChunkedReader):  # type: ignore[misc] # gunicorn ships no types
    """Reads a body in chunks, and refuses it when there are very many."""

    _chunks = 0

    def parse_chunk_size(self, unreader: Any, data: bytes | None = None) -> Any:
        """Begin the next chunk."""
        self._chunks += 1
        if self._chunks > _CHUNKS_MOST:
            raise InvalidChunkSize(b"more than %d chunks" % _CHUNKS_MOST)
        return super().parse_chunk_size(unreader, data)


gunicorn.http.message.ChunkedReader = _FewChunks
# Only the router judges who may say X-Forwarded-* (ROUTER_TRUSTED_PROXIES).
forwarded_allow_ips = ""
# Connections of one process, waiting relays and idle keep-alives included.
worker_connections = 1000

# --- What is written, and where ---

# The router writes one line per message; an access log would print the queries, which hold the message.
accesslog = None
# gunicorn would open a control socket in the home directory.
control_socket_disable = True

# Metrics of all processes are gathered through the files of a folder.
_metrics = MetricFiles.prepare()
atexit.register(_metrics.remove)
# At the end of a process the collector would look at all that is loaded, for a fifth of a second, and find nothing.
atexit.register(gc.freeze)


_QUERY = re.compile(r"\?[^\s'\"]+")


def _without_query(record: logging.LogRecord) -> bool:
    """Cut queries, which hold messages, out of what gunicorn says about a request that failed."""
    record.msg, record.args = _QUERY.sub("?…", record.getMessage()), None
    return True


def on_starting(server: Arbiter) -> None:
    """Before the first fork, so that every process has it; what no process could serve with is said now, and once."""
    try:
        _check(_settings)
    except SettingsError as error:
        _refuse(error)
    server.log.error_log.addFilter(_without_query)
    if not _settings.public_urls and os.environ.get("ROUTER_CONFIG") != str(
        _settings.data_dir.absolute() / "demo.toml"
    ):
        server.log.warning(
            "ROUTER_PUBLIC_URL is not set: the router accepts only webhooks for localhost, for the address of "
            "`router tunnel`, or for the host that one of ROUTER_TRUSTED_PROXIES writes into X-Forwarded-Host, and "
            "answers all others 403. Set it to the base URL that is set at Twilio"
        )
    preload(_settings, server.log.warning, os.environ.pop(FOUND, ""))


def when_ready(server: Arbiter) -> None:
    """Make a reload with invalid settings change nothing: otherwise gunicorn would end, and the router with it.

    Errors that only a worker finds, such as a handler that cannot be imported, are looked for in a separate process.
    """
    _renew_languages(server)
    reload = server.handle_hup

    def reload_if_possible() -> None:
        try:
            settings = _load()
            _check(settings)
            if _addresses(settings) == bind:
                reason = failure(server.app.load)
            else:
                reason = f"ROUTER_BIND, ROUTER_TUNNEL_PORT: they stay {', '.join(bind)} until a restart"
        except SettingsError as error:
            reason = str(error)
        if reason:
            server.log.error("not reloaded, the router keeps its old settings: %s", reason)
            tell(_settings, reason)
        else:
            # gunicorn imports this module again, or executes a file that does: it has to be executed anew.
            sys.modules.pop(__name__, None)
            reload()

    server.handle_hup = reload_if_possible


def on_reload(server: Arbiter) -> None:
    """Before the workers of a reload (HUP) are forked, with new settings."""
    preload(_settings, server.log.warning)
    _renew_languages(server)


def _renew_languages(server: Arbiter) -> None:
    """See to it that languages that flows name from now on are loaded, and workers replaced, without a reload."""
    install(server, lambda: load_languages(_settings, server.log.warning))


def pre_fork(server: Arbiter, worker: Worker) -> None:
    """Name the process for its metrics: it goes on in the files of one that has ended."""
    worker.metrics_name = free_name({each.metrics_name for each in server.WORKERS.values()})


def post_fork(server: Arbiter, worker: Worker) -> None:
    """See to it that one process that cannot begin does not end all others, once the router has served.

    gunicorn ends on the exit status that says so. It is for the first processes: a later one, in the place of one that
    was killed, finds the settings as they are by now, perhaps half edited.
    """
    # Until it is loaded: there is next to nothing to collect, and a tenth of the time would go to looking.
    gc.disable()
    os.environ[NAME] = worker.metrics_name
    if worker.age > _settings.workers:
        server.WORKER_BOOT_ERROR = 1


def post_worker_init(worker: Worker) -> None:
    """The application is loaded: start the sweeper, which runs until the process is to stop."""
    # Only this process's copy: the master keeps the 40 s in which both steps have to be done.
    worker.cfg.set("graceful_timeout", _CONNECTIONS_TIMEOUT)
    router = _router(worker)
    if router is not None:
        router.start(lambda: worker.alive)
    # What was loaded until now stays for good. The collector would look at all of it again and again, for tens of
    # milliseconds in which no message is answered. It does not look even once: of 150,000 objects it would find 2,000.
    gc.freeze()
    # A message makes some hundred objects that have to be looked at, and nearly none of them is part of a cycle.
    gc.set_threshold(20_000, 20, 50)
    gc.enable()


def worker_exit(server: Arbiter, worker: Worker) -> None:  # noqa: ARG001 - gunicorn's signature
    """The connections are closed: wait for the attempts in flight, settle them, release what has not begun.

    gunicorn calls this on every way out but SIGKILL and SIGABRT: TERM and recycling, INT and QUIT (which end the main
    loop with a SystemExit from a greenlet), and a vanished master. Ctrl-C sends INT and the master's QUIT besides, so
    a second SystemExit may arrive while this waits; it is not a reason to leave.
    """
    router = _router(worker)
    if router is None:
        if not worker.booted and worker.alive:  # it could not begin, and the next one will not either
            time.sleep(_AGAIN)
        return
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    stopping = gevent.spawn(router.stop)
    while not stopping.dead:
        try:
            stopping.join()
        except SystemExit:
            continue


def child_exit(server: Arbiter, worker: Worker) -> None:  # noqa: ARG001 - gunicorn's signature
    """Take a dead process's live gauges out of the metrics."""
    _metrics.end(worker.metrics_name)


def _router(worker: Worker) -> Any:
    """Return the running router of a worker, or None where the application was never loaded."""
    return getattr(getattr(worker, "wsgi", None), "extensions", {}).get("router")
