"""gunicorn's configuration: `gunicorn -c python:router.process.gunicorn_conf wsgi:app`.

config/gunicorn.conf.py is for the operator to edit: it imports everything from here, and can override it.

Address and number of processes are settings of the router (ROUTER_BIND, ROUTER_WORKERS); this module has the numbers
that depend on each other, each with its origin. It must not import a module that imports urllib3 or redis: the workers
are forked from this process, and gevent patches them only after the fork.
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
    """Return the workers' settings; raise SettingsError if they could accept no message with them."""
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
    """Check that the handlers can be imported. Workers do not import them: their child processes do, on first use."""
    check({name: handler.path for name, handler in settings.handlers.items()})


try:
    _settings = _load()
except SettingsError as error:
    _refuse(error)


def _addresses(settings: Settings) -> list[str]:
    """Return the addresses to listen on: the second is for tunnels, and the application serves only webhooks there."""
    return [settings.bind, *([f"127.0.0.1:{settings.tunnel_port}"] if settings.tunnel_port else [])]


bind = _addresses(_settings)
workers = _settings.workers

# A slow target holds a greenlet, never a process.
worker_class = "router.process.worker.Worker"
# True would import the application before gevent patches ssl: every TLS connection would fail with a RecursionError.
preload_app = False

# --- Deadlines: relay 10 s < attempt 22 s < lease 30 s < graceful stop 40 s ---

# Seconds after TERM until the processes are killed: 40, more with a longer lease.
graceful_timeout = int(_settings.stop_seconds)
# The part of it for open connections: a relay's 10 s, and time to answer; gunicorn's loop adds up to 2 s. The rest is
# for the router's own stop: of 40 s 23, an attempt's 22 s and the time to settle it.
_CONNECTIONS_TIMEOUT = 14
# The pause after a process that could not start, before gunicorn starts another one.
_AGAIN = 1.0
# A process that sends no heartbeat for this long is killed. It sends none while it settles after the connections are
# closed, so this is more than graceful_timeout.
timeout = graceful_timeout + 20
# Twilio and most proxies reuse connections; idle ones delay a graceful stop by this long.
keepalive = 5

# --- Requests ---

# A GET webhook has the message in its request line, and WhatsApp allows 4,096 characters of up to 4 bytes, each `%XX`:
# 48 KB. gunicorn's option allows 8,190 bytes, or no limit, with which an endless line is read in quadratic time; so
# gunicorn's maximum of the option is raised.
limit_request_line = 64 * 1024
gunicorn.http.message.MAX_REQUEST_LINE = limit_request_line
# Twilio sends about 15 headers, and proxies add as many.
limit_request_fields = 64
# Bytes of all headers together. gunicorn would read 512 KiB (64 of the longest header), and copies them again with
# every packet. gunicorn sets this limit as an attribute of each request; the property replaces it.
_HEADERS_MOST = 64 * 1024
gunicorn.http.message.Message.max_buffer_headers = property(lambda _: _HEADERS_MOST, lambda _, __: None)
# Chunks of one body. Proxies send several KiB in each; a body in chunks of one byte costs 30 times as much to read.
_CHUNKS_MOST = 1024


class _FewChunks(ChunkedReader):  # type: ignore[misc] # gunicorn ships no types
    """Reads a chunked body, and refuses it if it has too many chunks."""

    _chunks = 0

    def parse_chunk_size(self, unreader: Any, data: bytes | None = None) -> Any:
        """Count the chunk, and read its size."""
        self._chunks += 1
        if self._chunks > _CHUNKS_MOST:
            raise InvalidChunkSize(b"more than %d chunks" % _CHUNKS_MOST)
        return super().parse_chunk_size(unreader, data)


gunicorn.http.message.ChunkedReader = _FewChunks
# The router itself decides whose X-Forwarded-* headers are trusted (ROUTER_TRUSTED_PROXIES).
forwarded_allow_ips = ""
# Connections of one process, waiting relays and idle keep-alives included.
worker_connections = 1000

# --- Logs and files ---

# The router writes one line per message; an access log would contain the queries, which contain the message.
accesslog = None
# gunicorn would open a control socket in the home directory.
control_socket_disable = True

# The processes share their metrics through files in a folder.
_metrics = MetricFiles.prepare()
atexit.register(_metrics.remove)
# Otherwise a garbage collection at the exit of a process takes a fifth of a second, for nothing.
atexit.register(gc.freeze)


_QUERY = re.compile(r"\?[^\s'\"]+")


def _without_query(record: logging.LogRecord) -> bool:
    """Remove queries, which contain messages, from gunicorn's log lines about failed requests."""
    record.msg, record.args = _QUERY.sub("?…", record.getMessage()), None
    return True


def on_starting(server: Arbiter) -> None:
    """Check the settings and preload, once, before the first fork: gunicorn ends if no process could serve."""
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

    A separate process loads the application first, to find errors that otherwise only a worker would find.
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
            # gunicorn imports this module again, directly or by a file: then it must be executed again.
            sys.modules.pop(__name__, None)
            reload()

    server.handle_hup = reload_if_possible


def on_reload(server: Arbiter) -> None:
    """Preload for the new settings, before the workers of a reload (HUP) are forked."""
    preload(_settings, server.log.warning)
    _renew_languages(server)


def _renew_languages(server: Arbiter) -> None:
    """When flows name further languages, load these and replace the workers, without a reload."""
    install(server, lambda: load_languages(_settings, server.log.warning))


def pre_fork(server: Arbiter, worker: Worker) -> None:
    """Set the process's name for its metrics: it continues the files of a process that has ended."""
    worker.metrics_name = free_name({each.metrics_name for each in server.WORKERS.values()})


def post_fork(server: Arbiter, worker: Worker) -> None:
    """Let only the first processes end gunicorn if they cannot start.

    gunicorn ends if a worker exits with WORKER_BOOT_ERROR. A later worker, which replaces one that was killed, reads
    the settings as they are then, perhaps half edited: it must not end the whole router, so it gets another status.
    """
    # Until it is loaded: almost nothing could be collected, and a tenth of the time would be spent on it.
    gc.disable()
    os.environ[NAME] = worker.metrics_name
    if worker.age > _settings.workers:
        server.WORKER_BOOT_ERROR = 1


def post_worker_init(worker: Worker) -> None:
    """Start the router's greenlets in a worker that has loaded the application."""
    # Only in this worker: the master keeps the 40 s, in which connections and the router's stop must both end.
    worker.cfg.set("graceful_timeout", _CONNECTIONS_TIMEOUT)
    router = _router(worker)
    if router is not None:
        router.start(lambda: worker.alive)
    # The objects loaded until now stay in use. Without the freeze each full collection would traverse them, for tens of
    # milliseconds in which no message is answered. Not even one collection is worth it: of 150,000 objects it would
    # free 2,000.
    gc.freeze()
    # A message creates about a hundred objects that the collector tracks, and almost none of them is part of a cycle.
    gc.set_threshold(20_000, 20, 50)
    gc.enable()


def worker_exit(server: Arbiter, worker: Worker) -> None:  # noqa: ARG001 - gunicorn's signature
    """Stop the router after the connections are closed: wait for the attempts under way, and release other leases.

    gunicorn calls this at every exit except by SIGKILL and SIGABRT: TERM and recycling, INT and QUIT (which end the
    main loop with a SystemExit from a greenlet), and the loss of the master. Ctrl-C sends INT, and also the master's
    QUIT, so a second SystemExit may arrive while this waits; it is ignored.
    """
    router = _router(worker)
    if router is None:
        if not worker.booted and worker.alive:  # it could not start, and probably the next one cannot either
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
    """Remove the live gauges of a process that has ended from the metrics."""
    _metrics.end(worker.metrics_name)


def _router(worker: Worker) -> Any:
    """Return the running router of a worker, None if the application was not loaded."""
    return getattr(getattr(worker, "wsgi", None), "extensions", {}).get("router")
