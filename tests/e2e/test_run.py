"""`router run`: the start with and without an account, and recovery when any of its processes is killed."""

import os
import re
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from router.cli.running import load_settings_for_cli
from router.message.channel import CHANNELS
from router.process.embedded import ask
from router.process.preload import FOUND
from router.store import connect
from tests.e2e.commands import invoke
from tests.e2e.running import ROUTER, RunningRouter, clean_environ, is_alive
from tests.integrations.target import Target
from tests.valkey import ValkeyServer
from tests.waiting import wait_until

Run = Callable[..., RunningRouter]
ORDERS = '[handlers]\norders = "shop:handle"\n'
REAL = {"TWILIO_ACCOUNT_SID": "AC" + "1" * 32, "TWILIO_AUTH_TOKEN": "ab" * 16}


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    """Start `router run` in the test's folder; every router and its store are ended after the test."""
    started: list[RunningRouter] = []

    def start(*options: str, **environ: str) -> RunningRouter:
        started.append(RunningRouter(tmp_path, *options, **environ))
        return started[-1]

    yield start
    for router in started:
        router.end()


@contextmanager
def _running(folder: Path, **given: str) -> Iterator[RunningRouter]:
    router = RunningRouter(folder, **given)
    try:
        yield router.up()
    finally:
        router.end()


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRouter]:
    """A router of the demo account, for all tests that neither end it nor change its settings."""
    with _running(tmp_path_factory.mktemp("demo")) as router:
        yield router


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRouter]:
    """A router of a real account, for all tests that neither end it nor change its settings."""
    with _running(tmp_path_factory.mktemp("real"), **REAL, ROUTER_ALLOWED_NETWORKS="127.0.0.0/8") as router:
        yield router


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRouter]:
    """A router for tests that kill one of its children and wait until it is ready again, with a `--data-dir`."""
    with _running(tmp_path_factory.mktemp("killed"), data_dir="elsewhere") as router:
        yield router


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRouter]:
    """A router of the demo account with a handler; a test that changes the settings restores them."""
    folder = tmp_path_factory.mktemp("shop")
    (folder / "shop.py").write_text('def handle(message):\n    return f"Ordered: {message.body}"\n')
    (folder / "router.toml").write_text(ORDERS)
    with _running(folder, ROUTER_CONFIG="router.toml") as router:
        yield router


def test_the_banner_has_the_address_and_the_next_commands(demo: RunningRouter) -> None:
    """On a fresh machine `router run` starts a ready router, and prints its URLs and the next steps in twelve lines."""
    router = demo
    banner = router.output[router.output.index("  Listening") :]
    account = router.demo["account"][0]
    assert len(banner.splitlines()) <= 12
    where = f"http://127.0.0.1:{router.port}"
    console = f"{where}/console/   (password: {router.demo['admin_password']})"
    (chat,) = [line.split()[-1] for line in banner.splitlines() if "Web chat" in line]
    assert router.status_of(chat.removeprefix(where)) == 200
    for words in (where, console, account["sid"], account["auth_tokens"][0], 'sms --body "Hola"'):
        assert words in banner
    assert router.status_of("/console/sign-in") == 200
    assert router.status_of("/readyz") == 200


def test_the_demo_account_gets_its_flows_once(run: Run) -> None:
    """The first run gives the demo account an echo flow for each channel; flows that are removed stay removed.

    The last run is started with HUP and INT ignored, and outlives its terminal.
    """
    router = run().up()
    demo, here = router.demo, {"ROUTER_DATA_DIR": str(router.var)}
    assert f"Flows        {len(CHANNELS)} that echo; replace them with yours: " in router.output
    assert re.search(
        r"Web chat     http://127\.0\.0\.1:\d+/chat\?accountSid=AC\w{32}&flexFlowSid=FO\w{32}\n", router.output
    )
    with closing(connect(load_settings_for_cli(clean_environ(**here)))) as store:
        flows = store.flows.page(demo["account"][0]["sid"], 0, 50)
        assert {flow.channel_type for flow in flows} == set(CHANNELS)
        assert {flow.integration.handler for flow in flows} == {"echo"}
        for flow in flows[1:]:
            store.flows.delete(flow)
    router.end()
    router = run().up()
    assert router.demo == demo
    with closing(connect(load_settings_for_cli(clean_environ(**here)))) as store:
        assert store.flows.page(demo["account"][0]["sid"], 0, 50) == flows[:1]
    assert "1 to remove" in invoke("flows", "apply", "-", "--prune", "--yes", **here).output
    router.end()
    router = _started_with_signals_ignored(run).up()
    assert "that echo" not in router.output
    assert invoke("flows", "list", "--json", **here).output == "[]\n"
    _outlives_its_terminal(router)


def _started_with_signals_ignored(run: Run) -> RunningRouter:
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGHUP, signal.SIGINT)}
    try:
        return run()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _outlives_its_terminal(router: RunningRouter) -> None:
    """Check that a router that was started with HUP and INT ignored goes on after HUP, and stops on INT."""
    os.kill(router.pid, signal.SIGHUP)
    assert router.status_of("/readyz") == 200
    os.kill(router.pid, signal.SIGINT)  # as for `make run &` in a script
    assert router.process.wait(30) == 0


def test_a_real_account_begins_without_flows(real: RunningRouter) -> None:
    """A real account has no echo flow: its messages are unrouted until the banner's commands have made a flow."""
    environ = clean_environ(**REAL, ROUTER_DATA_DIR=str(real.var))

    def typed(command: str) -> str:
        path = f"{ROUTER.parent}:{environ['PATH']}"
        return subprocess.check_output(
            ["/bin/sh", "-c", command], cwd=real.folder, env=environ | {"PATH": path}, text=True
        )

    simulated = invoke("simulate", "sms", "--body", "STOP", "--to", "+15005550006", **environ)
    assert "You wrote" not in simulated.output
    assert "unrouted" in typed("router deliveries list")
    assert "Flows        none yet: messages are kept as unrouted, and their senders get no answer" in real.output
    assert "Web chat     no address yet; create one: " in real.output
    listed = real.output.partition("In another terminal")[2].splitlines()
    commands = [line[28:] for line in listed if f"{ROUTER.name} " in line[28:]]
    begin, use, route, see = (command[command.index("router ") :] for command in commands)
    typed(begin)
    file = real.folder / "first-flows.toml"
    with Target() as target:
        example = file.read_text()
        kept, lines = example.partition("URL:\n")[::2]
        file.write_text(kept + lines.replace("# ", "").replace("https://example.com/messages", target.url("/inbound")))
        assert "1 to add" in typed(use)
        assert "1 of 1 queued again" in typed(route)
        wait_until(lambda: "delivered" in typed(see), what="the flow has taken the message")
        assert [each.target for each in target.requests] == ["/inbound"]


def test_the_demo_account_belongs_to_its_data_directory(demo: RunningRouter, killed: RunningRouter) -> None:
    """Auth token and console password are random for each data directory, and only its owner can read them."""
    secrets = (demo.demo["account"][0]["auth_tokens"][0], demo.demo["admin_password"])
    assert stat.S_IMODE((demo.var / "demo.toml").stat().st_mode) == 0o600
    assert stat.S_IMODE(demo.var.stat().st_mode) == 0o700
    assert len(secrets[0]) == 32
    assert killed.var != killed.folder / "var"
    assert not any(secret in killed.output for secret in secrets)
    assert secrets[1] not in (killed.var / "demo.toml").read_text()


def test_the_auth_token_of_a_real_account_is_not_printed(real: RunningRouter) -> None:
    """`router run` serves the account of its environment; a command without that account says which one to set."""
    sid, token = REAL.values()
    assert sid in real.output
    assert token not in real.output
    assert not (real.var / "demo.toml").exists()
    elsewhere = invoke("deliveries", "list", ROUTER_DATA_DIR=str(real.var))
    assert elsewhere.exit_code == 1
    assert f"serves {sid}, but was started with another environment: set TWILIO_ACCOUNT_SID" in elsewhere.stderr


def test_handlers_without_an_account_extend_the_demo(shop: RunningRouter) -> None:
    """With a settings file that has only a [handlers] table, the demo account has these handlers beside `echo`."""
    router = shop
    assert "(made up, for this data directory)" in router.output
    assert f"{len(CHANNELS)} that echo; replace them with yours" in router.output
    token = router.demo["account"][0]["auth_tokens"][0]
    assert token in router.output
    assert token not in (router.var / "running.json").read_text()
    assert {stat.S_IMODE(file.stat().st_mode) for file in router.var.glob("demo*")} == {0o600}
    flow = HINDI.replace('language = ["hi"]\n', "").replace('"echo"', '"orders"')
    here = {"ROUTER_DATA_DIR": str(router.var)}
    applied = invoke("flows", "apply", "-", given=flow, **here)
    assert "Done." in applied.output, applied.output
    ordered = invoke("simulate", "sms", "--to", "+15005550006", "--body", "tea", **here)
    assert "Ordered: tea" in ordered.output
    assert "You wrote: tea" in invoke("simulate", "whatsapp", "--body", "tea", **here).output
    elsewhere = invoke("flows", "list", **here, TWILIO_ACCOUNT_SID="AC" + "1" * 32, TWILIO_AUTH_TOKEN="ab" * 16)
    assert elsewhere.exit_code == 0, elsewhere.output


def test_the_banner_has_the_webhooks_to_set_at_twilio(run: Run, real: RunningRouter) -> None:
    """The banner has the webhook URLs without their password, or, without a public URL, how to get one."""
    url = "https://me:hush@messages.example.com/base"
    public = run(**REAL, ROUTER_PUBLIC_URL=url).up().output
    assert "  SMS          https://…@messages.example.com/base/webhooks/sms#rc=2&rp=ct,5xx&ct=3000&rt=12000\n" in public
    assert "  any of them  https://…@messages.example.com/base/webhooks/message\n" in public
    assert "hush" not in public
    assert "Twilio cannot reach it yet: set ROUTER_PUBLIC_URL" in real.output
    assert "run --tunnel --connect +1…" in real.output


def test_a_second_router_names_the_process_of_the_first(demo: RunningRouter) -> None:
    """A second router over the same data directory stops, and names the process id of the first."""
    second = subprocess.run(
        [ROUTER, "run"], cwd=demo.folder, env=clean_environ(), capture_output=True, text=True, check=False, timeout=30
    )
    assert second.returncode == 1
    assert second.stderr == (
        f"router: a router already runs in var (process {demo.pid}); stop it, or use another --data-dir\n"
    )
    assert demo.status_of("/readyz") == 200


def test_a_store_that_dies_is_started_again(killed: RunningRouter) -> None:
    """A killed store is restarted with its data, and the router is ready again."""
    router = killed
    assert ask(router.store, "SET message safe") == "+OK"
    os.kill(router.children()["valkey-server"], signal.SIGKILL)
    wait_until(lambda: "restarting it" in router.output, what="the end is noticed")
    wait_until(lambda: router.status_of("/readyz") == 200, what="the router is ready again", within=20)
    assert ask(router.store, "EXISTS message") == ":1"
    assert "router: the store ended (SIGKILL); restarting it" in router.output


def _stop_with_ctrl_c(router: RunningRouter) -> None:
    """Check that Ctrl-C prints what is waited for, stops gunicorn, which waits for its workers, and then the store."""
    processes, worker = router.children(), router.workers()[0]
    os.kill(worker, signal.SIGSTOP)  # as with a delivery to finish
    store = router.store
    router.interrupt()
    wait_until(lambda: "Handling signal: term" in router.output, what="gunicorn stops")
    assert (
        "router: finishing the deliveries in progress, at most 40 s; Ctrl-C again stops immediately\n" in router.output
    )
    assert is_alive(processes["gunicorn"])
    assert ask(store, "PING") == "+PONG"
    os.kill(worker, signal.SIGCONT)
    assert router.process.wait(30) == 0
    assert not any(is_alive(pid) for pid in (*processes.values(), worker))
    assert not (router.var / "running.json").exists()


def _stop_with_two_ctrl_c(router: RunningRouter) -> None:
    """Check that a second Ctrl-C ends the command within seconds, although a worker hangs."""
    processes, worker = router.children(), router.workers()[0]
    os.kill(worker, signal.SIGSTOP)

    def again() -> bool:
        router.interrupt()
        return "Quick shutdown requested" in router.output

    wait_until(again, what="gunicorn stops at once")
    router.process.wait(15)
    assert not any(is_alive(pid) for pid in (*processes.values(), worker))


def test_no_end_of_the_router_loses_data(run: Run) -> None:
    """A kill, Ctrl-C and a power cut lose no write; the next run replaces a store left behind, and reports damage."""
    first = run().up()
    processes, store = first.children(), first.store
    assert ask(store, "SET message safe") == "+OK"
    first.process.kill()
    first.process.wait()
    wait_until(lambda: not is_alive(processes["gunicorn"]), what="gunicorn has ended", within=20)
    assert is_alive(processes["valkey-server"]), "gunicorn's workers can finish their deliveries"

    second = run().up()
    assert not is_alive(processes["valkey-server"])
    assert ask(second.store, "EXISTS message") == ":1"
    assert second.status_of("/readyz") == 200
    _stop_with_ctrl_c(second)

    (file,) = second.var.glob("valkey/appendonlydir/*.incr.aof")
    whole = file.read_bytes()
    file.write_bytes(whole + bytes(1000))
    third = run().up()
    assert "ended with 1,000 bytes of zeros, as a crash leaves it: cut, and kept as " in third.output
    assert ask(third.store, "EXISTS message") == ":1"
    _stop_with_two_ctrl_c(third)

    (file,) = third.var.glob("valkey/appendonlydir/*.incr.aof")
    file.write_bytes(b"damaged" + file.read_bytes())
    fourth = run()
    assert fourth.process.wait(20) == 1
    (line,) = [line for line in fourth.output.splitlines() if "cannot be read" in line]
    assert "restore" in line


def test_a_gunicorn_that_dies_is_started_again(killed: RunningRouter) -> None:
    """After `kill -9` of gunicorn's master a new one starts, and asks the store for the flows' languages itself."""

    def has_findings(pid: int) -> bool:
        return FOUND.encode() in Path(f"/proc/{pid}/environ").read_bytes()

    first = killed.children()["gunicorn"]
    assert has_findings(first), "`router run` has just asked the store"
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: killed.children().get("gunicorn", first) != first, what="there is another one")
    wait_until(lambda: killed.status_of("/readyz") == 200, what="the router is ready again", within=20)
    assert not has_findings(killed.children()["gunicorn"])


_STOPPED_DURING_A_RESTART = """
import os, signal, sys
from router.cli.run.supervisor import Supervisor

class Stopped(Supervisor):
    starts = 0

    def _start(self, command):
        child = super()._start(command)
        self.starts += 1
        os.kill(*((child.pid, signal.SIGKILL) if self.starts == 1 else (os.getpid(), signal.SIGTERM)))
        return child

command = [sys.executable, "-c", "import time; time.sleep(600)"]
sys.exit(Stopped(None, command, os.environ, 40.0).run(lambda: None, lambda alive: None))
"""


def test_a_stop_signal_during_a_restart_is_not_lost() -> None:
    """A signal during gunicorn's restart stops the new gunicorn and the command."""
    ended = subprocess.run([sys.executable, "-c", _STOPPED_DURING_A_RESTART], check=False, timeout=30)
    assert ended.returncode == 128 + signal.SIGTERM


def test_with_a_redis_url_no_store_is_started(run: Run, valkey: ValkeyServer) -> None:
    """With ROUTER_REDIS_URL `router run` starts no store; gunicorn replaces its process, with large memory pages."""
    router = run(ROUTER_REDIS_URL=valkey.url)
    wait_until(lambda: router.status_of("/readyz") == 200, what="the router is ready", within=30)
    assert not (router.var / "valkey").exists()
    assert b"gunicorn" in Path(f"/proc/{router.pid}/cmdline").read_bytes()
    assert b"glibc.malloc.hugetlb=1" in Path(f"/proc/{router.pid}/environ").read_bytes()


def test_an_address_in_use_is_reported_before_anything_starts(tmp_path: Path) -> None:
    """If another program has the port, the command prints one line, exits with 1, and starts no store."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        ended = subprocess.run(
            [ROUTER, "run", "--bind", address],
            cwd=tmp_path,
            env=clean_environ(),
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
    assert ended.returncode == 1
    assert ended.stderr.startswith(
        f"router: cannot listen on {address}: Address already in use. Stop the program that "
    )
    assert ended.stderr.count("\n") == 1
    assert not (tmp_path / "var" / "valkey").exists()


@pytest.mark.parametrize(
    ("options", "environ", "sentence"),
    [
        pytest.param(["--workers", "many"], {}, "router: ROUTER_WORKERS: ", id="a value that does not parse"),
        pytest.param(["--bind", "here"], {}, "router: ROUTER_BIND: ", id="an invalid address"),
        pytest.param([], {"TWILIO_ACCOUNT_SID": "AC" + "1" * 32}, "router: TWILIO_AUTH_TOKEN: ", id="no token"),
        pytest.param([], {"ROUTER_CONFIG": os.devnull}, "router: ROUTER_CONFIG: ", id="neither account nor handlers"),
        pytest.param([], {"ROUTER_CONFIG": "absent.toml"}, "router: ROUTER_CONFIG: ", id="a file that is not there"),
        pytest.param(
            [], {"ROUTER_DATA_DIR": "/proc/x"}, "router: ROUTER_DATA_DIR: ", id="a folder that cannot be created"
        ),
        pytest.param(
            [], {"ROUTER_DATA_DIR": "/proc/1"}, "router: ROUTER_DATA_DIR: ", id="a folder that is not writable"
        ),
        pytest.param([], {"ROUTER_DATA_DIR": __file__}, "router: ROUTER_DATA_DIR: ", id="a file for a folder"),
        pytest.param(["--data-dir", f"{__file__}/x"], {}, "router: ROUTER_DATA_DIR: ", id="a folder in a file"),
    ],
)
def test_invalid_settings_stop_the_start(
    tmp_path: Path, options: list[str], environ: dict[str, str], sentence: str
) -> None:
    """One line names an invalid setting, and the exit status is 2."""
    command = [str(ROUTER), "run", *options]
    ended = subprocess.run(
        command, cwd=tmp_path, env=clean_environ(**environ), capture_output=True, text=True, check=False, timeout=30
    )
    assert ended.returncode == 2
    assert ended.stderr.startswith(sentence)
    assert len(ended.stderr.splitlines()) == 1


# Hindi, because its models load in a seventh of the time that those of a Latin language take.
HINDI = """
[[flow]]
friendly_name = "Hindi"
channel_type = "sms"
contact_identity = "+15005550006"
language = ["hi"]
integration_type = "handler"
integration.handler = "echo"
"""


def test_a_new_language_is_read_without_a_reload(demo: RunningRouter) -> None:
    """`flows apply` waits until the router reads the new language; then `explain` and the router route by it."""
    environ = {"ROUTER_DATA_DIR": str(demo.var)}
    added = invoke("flows", "apply", "-", given=HINDI, **environ)
    body = "क्या मैं आज शाम के लिए एक टेबल बुक कर सकता हूँ?"
    assert "Texts in hi are read from now on, by the one process that runs." in added.output
    explained = invoke("explain", "--to", "+15005550006", "--body", body, **environ).output
    assert "“Hindi” in hi" in explained
    reported = invoke("simulate", "sms", "--to", "+15005550006", "--body", body, **environ).output
    assert "“Hindi”: handler echo" in reported


def test_reload_reads_the_settings_again(shop: RunningRouter) -> None:
    """A new handler can be used when `router reload` returns; before that `flows apply` warns that it is missing."""
    router, settings = shop, shop.folder / "router.toml"
    settings.write_text(f'{ORDERS}returns = "shop:handle"\n')
    here = {"ROUTER_DATA_DIR": str(router.var)}
    flow = (
        HINDI.replace('language = ["hi"]\n', "").replace('"echo"', '"returns"').replace("+15005550006", "+15005550007")
    )
    applied = invoke("flows", "apply", "-", given=flow, **here)
    assert "! the running router has no handler 'returns' yet" in applied.output
    old = router.workers()
    reloaded = invoke("reload", **here)
    assert "Reloaded: the router (process" in reloaded.output, reloaded.output
    wait_until(lambda: not set(router.workers()) & set(old), what="the old workers have ended")
    reported = invoke("simulate", "sms", "--to", "+15005550007", "--body", "tea", **here).output
    assert "Ordered: tea" in reported
    assert "!" not in invoke("flows", "apply", "-", given=flow, **here).output

    settings.write_text(f'{ORDERS}returns = "shop:gone"\n')
    began = time.monotonic()
    refused = invoke("reload", **here)
    assert refused.exit_code == 1
    assert "not reloaded, the router keeps its old settings: handlers.returns: 'shop:gone'" in refused.stderr
    assert time.monotonic() - began < 20, "reload fails as soon as the router refuses, not at its time limit"
    settings.write_text(ORDERS)


def test_reload_affects_only_the_router_of_its_settings(demo: RunningRouter, valkey: ValkeyServer) -> None:
    """If the settings name a store that no router uses, `router reload` fails, and reloads no other router."""
    old = demo.workers()
    result = invoke("reload", ROUTER_DATA_DIR=str(demo.var), ROUTER_REDIS_URL=valkey.url)
    assert result.exit_code == 1
    assert "no router on this machine uses the store of these settings" in result.stderr
    assert demo.workers() == old


def test_apply_warns_of_an_account_that_no_router_serves(demo: RunningRouter) -> None:
    """`flows apply` writes flows of an account that the running router does not serve, with a warning."""
    served = demo.demo["account"][0]["sid"]
    here = REAL | {"ROUTER_DATA_DIR": str(demo.var)}
    flow = HINDI.replace('language = ["hi"]\n', "")
    applied = invoke("flows", "apply", "-", "--account", REAL["TWILIO_ACCOUNT_SID"], given=flow, **here)
    assert applied.exit_code == 0
    warning = (
        f"! the running router does not serve {REAL['TWILIO_ACCOUNT_SID']}, so these flows get no message; it serves "
    )
    assert f"{warning}{served}" in applied.output
    assert (
        f"no router that uses this store serves {REAL['TWILIO_ACCOUNT_SID']}"
        in invoke("doctor", "--offline", **here).output
    )


def test_reload_without_a_router_fails(tmp_path: Path) -> None:
    """If no router runs, the error of `router reload` names the command that starts one, and the exit status is 1."""
    result = invoke("reload", ROUTER_DATA_DIR=str(tmp_path))
    assert result.exit_code == 1
    assert "no router runs in" in result.stderr
    assert "start one with `router run`" in result.stderr
