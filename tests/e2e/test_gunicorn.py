"""gunicorn's configuration: how processes end, which requests it accepts, and what it logs."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.forked import Forked, start_gunicorn
from tests.e2e.running import clean_environ
from tests.e2e.service import EMPTY_STORE
from tests.ports import free_port
from tests.waiting import wait_until

CONFIG = str(Path(__file__).parents[2] / "config" / "gunicorn.conf.py")
# An application in place of the router: it writes its starts and stops to a file, and takes 0.5 s to stop.
_APP = """
import gc, os, gevent

assert not os.path.exists(os.environ["EVENTS"] + "-breaks"), "broken"

def write(what):
    with open(os.environ["EVENTS"], "a") as file:
        file.write(f"{os.getpid()} {what}\\n")

class Router:
    def start(self, alive):
        write("starts" if alive() else "starts dead")

    def stop(self):
        write("stops")
        gevent.sleep(0.5)
        write("stopped")

class App:
    extensions = {"router": Router()}

    def __call__(self, environ, start_response):
        if environ["PATH_INFO"] == "/fails":
            raise ValueError("no")
        body = str(gc.isenabled() if environ["PATH_INFO"] == "/collects" else len(environ["QUERY_STRING"])).encode()
        start_response("200 OK", [("Content-Length", str(len(body)))])
        return [body]

app = App()
"""


class Gunicorn:
    """A gunicorn with the product's configuration, in a process group of its own as a terminal would start it.

    Its master is forked (forked.py).
    """

    def __init__(self, folder: Path, *, config: str = CONFIG, **environ: str) -> None:
        self.port = free_port()
        (folder / "standin.py").write_text(_APP)
        (folder / "tmp").mkdir()
        self.events_path = folder / "events"
        self.temp = folder / "tmp"
        self.errors = folder / "errors"
        given = {
            "ROUTER_REDIS_URL": "redis://127.0.0.1:1",
            "ROUTER_BIND": f"127.0.0.1:{self.port}",
            "ROUTER_WORKERS": "2",
            "EVENTS": str(self.events_path),
            "TMPDIR": str(self.temp),
            "TWILIO_ACCOUNT_SID": "AC" + "0" * 32,
            "TWILIO_AUTH_TOKEN": "0" * 32,
        }
        self.process = self._start(config, folder, clean_environ(**EMPTY_STORE | given | environ))

    def _start(self, config: str, folder: Path, environ: dict[str, str]) -> Forked | subprocess.Popen[bytes]:
        return start_gunicorn(config, folder, environ, self.errors, "standin:app")

    def pids(self, what: str) -> list[int]:
        """Return the ids of the processes that wrote this event to the file."""
        if not self.events_path.exists():
            return []
        lines = [line.split(" ", 1) for line in self.events_path.read_text().splitlines()]
        return [int(pid) for pid, words in lines if words == what]

    def get(self, target: str) -> bytes:
        """Send a GET over a connection of its own; return the whole answer."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as connection:
            connection.sendall(f"GET {target} HTTP/1.1\r\nHost: router\r\nConnection: close\r\n\r\n".encode())
            with connection.makefile("rb") as answer:
                return answer.read()

    def end(self) -> None:
        """End whatever is left of the group."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


class Command(Gunicorn):
    """The same, started with gunicorn's own command."""

    def _start(self, config: str, folder: Path, environ: dict[str, str]) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "gunicorn", "-c", config, "standin:app"]
        with self.errors.open("wb") as errors:
            return subprocess.Popen(command, cwd=folder, env=environ, stderr=errors, process_group=0)


@pytest.fixture
def gunicorn(tmp_path: Path) -> Iterator[Gunicorn]:
    """Two running processes."""
    running = Gunicorn(tmp_path)
    try:
        wait_until(lambda: len(running.pids("starts")) == 2, what="both processes are started")
        yield running
    finally:
        running.end()


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gunicorn]:
    """Two running processes, for all tests that end none of them."""
    running = Command(tmp_path_factory.mktemp("serving"))
    try:
        wait_until(lambda: len(running.pids("starts")) == 2, what="both processes are started")
        yield running
    finally:
        running.end()


def _terminate(gunicorn: Gunicorn) -> None:
    gunicorn.process.terminate()


def _interrupt_all(gunicorn: Gunicorn) -> None:
    os.killpg(gunicorn.process.pid, signal.SIGINT)


def _quit(gunicorn: Gunicorn) -> None:
    gunicorn.process.send_signal(signal.SIGQUIT)


def _kill_master(gunicorn: Gunicorn) -> None:
    gunicorn.process.kill()


def _reload(gunicorn: Gunicorn) -> None:
    gunicorn.process.send_signal(signal.SIGHUP)


@pytest.mark.parametrize(
    ("end", "status"),
    [
        pytest.param(_terminate, 0, id="TERM: a graceful stop"),
        pytest.param(_interrupt_all, 0, id="Ctrl-C: INT for all, and QUIT from the master besides"),
        pytest.param(_quit, 0, id="QUIT: at once"),
        pytest.param(_kill_master, -signal.SIGKILL, id="the master is killed"),
        pytest.param(_reload, None, id="HUP: a reload"),
    ],
)
def test_every_process_stops_gracefully(
    gunicorn: Gunicorn, end: Callable[[Gunicorn], None], status: int | None
) -> None:
    """On every signal each process stops its router once, in full, and a normal end leaves no temporary file."""
    processes = gunicorn.pids("starts")
    assert len(list(gunicorn.temp.glob("router-metrics-*"))) == 1, "the processes share a folder for metrics"
    end(gunicorn)
    wait_until(lambda: len(gunicorn.pids("stopped")) >= 2, what="both processes are stopped")
    assert sorted(gunicorn.pids("stops")) == sorted(gunicorn.pids("stopped")) == sorted(processes)
    if status is not None:
        assert gunicorn.process.wait(20) == status
    if status == 0:
        assert not list(gunicorn.temp.iterdir())


def test_a_recycled_process_stops_gracefully(tmp_path: Path) -> None:
    """A process that has served `max_requests` is replaced by another one, and stops as on TERM."""
    gunicorn = Gunicorn(tmp_path, ROUTER_WORKERS="1", GUNICORN_CMD_ARGS="--max-requests=1")
    try:
        first = wait_until(lambda: gunicorn.pids("starts"), what="the process is started")
        gunicorn.get("/")
        wait_until(lambda: gunicorn.pids("stopped") == first, what="the process is stopped")
        wait_until(lambda: len(gunicorn.pids("starts")) == 2, what="another one is started")
    finally:
        gunicorn.end()


def test_a_long_get_webhook_is_accepted(serving: Gunicorn) -> None:
    """The request line of a GET webhook with WhatsApp's 4,096 characters is accepted; a longer one is refused."""
    assert serving.get("/webhooks/whatsapp?Body=" + "%F0%9F%98%80" * 4096).endswith(b"\r\n\r\n49157")
    assert serving.get("/?" + "x" * 70_000).startswith(b"HTTP/1.1 414 ")


def test_a_process_that_serves_collects_garbage(serving: Gunicorn) -> None:
    """The garbage collector is on in a process that serves; it is off only while the application is loaded."""
    assert serving.get("/collects").endswith(b"\r\n\r\nTrue")


def test_queries_are_written_nowhere(serving: Gunicorn) -> None:
    """The log has no query of a served, failed or malformed request, because a GET webhook's query is a message."""
    serving.get("/?Body=served-secret")
    serving.get("/fails?Body=failed-secret")
    serving.get("/mal formed?Body=malformed-secret")
    wait_until(lambda: "/fails" in serving.errors.read_text(), what="the failure is in the log")
    assert "secret" not in serving.errors.read_text()


@pytest.mark.parametrize(
    ("environ", "sentence"),
    [
        pytest.param({"ROUTER_REDIS_URL": ""}, "ROUTER_REDIS_URL", id="no store"),
        pytest.param({"TWILIO_ACCOUNT_SID": "", "TWILIO_AUTH_TOKEN": ""}, "TWILIO_ACCOUNT_SID", id="no account"),
        pytest.param({"ROUTER_WORKERS": "many"}, "ROUTER_WORKERS", id="a value that does not parse"),
    ],
)
def test_invalid_settings_stop_the_start_with_one_line(tmp_path: Path, environ: dict[str, str], sentence: str) -> None:
    """Gunicorn reports invalid settings in one line, and exits with 2."""
    gunicorn = Command(tmp_path, **environ)
    assert gunicorn.process.wait(20) == 2
    [line] = gunicorn.errors.read_text().splitlines()
    assert line.startswith("router: ")
    assert sentence in line


@pytest.mark.parametrize(
    ("environ", "logged"),
    [
        pytest.param({"ROUTER_TRUSTED_PROXIES": "10.0.0.1"}, True, id="a trusted proxy"),
        pytest.param({"ROUTER_PUBLIC_URL": "https://router.example.com"}, False, id="a public URL"),
        pytest.param({"ROUTER_CONFIG": "{data}/demo.toml", "ROUTER_DATA_DIR": "{data}"}, False, id="the demo"),
    ],
)
def test_a_missing_public_url_is_logged_at_start(
    serving: Gunicorn, tmp_path: Path, environ: dict[str, str], *, logged: bool
) -> None:
    """A router of a real account without a public URL logs at its start which hosts it accepts."""
    sentence = "ROUTER_PUBLIC_URL is not set: the router accepts only"
    assert sentence in serving.errors.read_text()
    (tmp_path / "demo.toml").touch()
    given = {name: value.format(data=tmp_path) for name, value in environ.items()}
    gunicorn = Gunicorn(tmp_path, **given, ROUTER_WORKERS="1")
    try:
        wait_until(lambda: gunicorn.pids("starts"), what="a process serves")
        assert (sentence in gunicorn.errors.read_text()) == logged
    finally:
        gunicorn.end()


def test_a_handler_that_cannot_be_imported_stops_the_start(tmp_path: Path) -> None:
    """A handler that cannot be imported stops the start with one line; at a reload the old processes keep serving."""
    config, mine = tmp_path / "router.toml", tmp_path / "mine.py"
    config.write_text('[handlers]\nmine = "mine:handle"\n', encoding="utf-8")
    mine.write_text("import not_there\n")
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
    environ = {"ROUTER_CONFIG": str(config), "PYTHONPATH": str(tmp_path)}
    refused = Gunicorn(first, **environ)
    assert refused.process.wait(20) == 2
    (line,) = [line for line in refused.errors.read_text().splitlines() if not line.startswith("[")]
    assert line.startswith(
        "router: handlers.mine: 'mine:handle' cannot be imported: it needs 'not_there', which is not"
    )
    assert line.endswith("mine.py:1 in <module>)")
    mine.write_text("def handle(message): return None\n")
    gunicorn = Gunicorn(second, **environ)
    try:
        wait_until(lambda: len(gunicorn.pids("starts")) == 2, what="both processes serve")
        mine.write_text("def handle(message: return None\n")
        gunicorn.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "not reloaded" in gunicorn.errors.read_text(), what="the error is in the log")
        assert "mine.py:1: " in gunicorn.errors.read_text()
        assert len(gunicorn.pids("starts")) == 2
    finally:
        gunicorn.end()


def test_a_reload_with_wrong_settings_changes_nothing(tmp_path: Path) -> None:
    """A reload with invalid settings is logged and has no effect; after a correction the next reload works."""
    config = tmp_path / "router.toml"
    config.write_text("relay_seconds = 9\n", encoding="utf-8")
    gunicorn = Gunicorn(tmp_path, ROUTER_CONFIG=str(config))
    try:
        wait_until(lambda: gunicorn.pids("starts"), what="a process serves")
        config.write_text("relay_seconds = 'soon'\n", encoding="utf-8")
        gunicorn.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "not reloaded" in gunicorn.errors.read_text(), what="the error is in the log")
        assert "relay_seconds" in gunicorn.errors.read_text()
        before = gunicorn.pids("starts")
        config.write_text("relay_seconds = 9\n", encoding="utf-8")
        gunicorn.process.send_signal(signal.SIGHUP)
        wait_until(lambda: len(gunicorn.pids("starts")) > len(before), what="new processes serve")
    finally:
        gunicorn.end()


@pytest.mark.parametrize("config", [CONFIG, "python:router.process.gunicorn_conf"], ids=["a copy", "the package's own"])
def test_a_reload_uses_changed_settings(tmp_path: Path, config: str) -> None:
    """After HUP changed settings are used, whether gunicorn's configuration is a file or a module."""
    settings = tmp_path / "router.toml"
    settings.write_text("workers = 1\n", encoding="utf-8")
    gunicorn = Gunicorn(tmp_path, config=config, ROUTER_CONFIG=str(settings), ROUTER_WORKERS="")
    try:
        wait_until(lambda: len(gunicorn.pids("starts")) == 1, what="a process serves")
        settings.write_text("workers = 2\n", encoding="utf-8")
        gunicorn.process.send_signal(signal.SIGHUP)
        wait_until(lambda: len(gunicorn.pids("starts")) == 3, what="two new processes serve")
    finally:
        gunicorn.end()


def test_a_reload_whose_application_cannot_be_loaded_changes_nothing(tmp_path: Path) -> None:
    """A reload ends no process if the application cannot be loaded, or if the settings have another address."""
    config, port = tmp_path / "router.toml", free_port()
    config.write_text(f'bind = "127.0.0.1:{port}"\n', encoding="utf-8")
    gunicorn = Gunicorn(tmp_path, ROUTER_CONFIG=str(config), ROUTER_BIND="")
    gunicorn.port = port
    try:
        wait_until(lambda: len(gunicorn.pids("starts")) == 2, what="both processes serve")
        breaks = tmp_path / "events-breaks"
        breaks.touch()
        gunicorn.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "AssertionError: broken" in gunicorn.errors.read_text(), what="the error is in the log")
        breaks.unlink()
        config.write_text('bind = "203.0.113.1:80"\n', encoding="utf-8")
        gunicorn.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "until a restart" in gunicorn.errors.read_text(), what="the log says that the address stays")
        assert gunicorn.errors.read_text().count("not reloaded") == 2
        assert gunicorn.get("/").startswith(b"HTTP/1.1 200")
        assert len(gunicorn.pids("starts")) == 2
    finally:
        gunicorn.end()


def test_a_worker_that_cannot_be_restarted_does_not_end_the_others(tmp_path: Path) -> None:
    """If a killed worker cannot be restarted, the others keep serving; once the cause is removed, it is replaced."""
    gunicorn = Gunicorn(tmp_path)
    try:
        wait_until(lambda: len(gunicorn.pids("starts")) == 2, what="both processes serve")
        breaks = tmp_path / "events-breaks"
        breaks.touch()
        os.kill(int(gunicorn.pids("starts")[0]), signal.SIGKILL)
        wait_until(lambda: gunicorn.errors.read_text().count("exited with code 1") > 1, what="another one has failed")
        assert gunicorn.get("/").startswith(b"HTTP/1.1 200")
        breaks.unlink()
        wait_until(lambda: len(gunicorn.pids("starts")) == 3, what="two workers serve again")
    finally:
        gunicorn.end()
