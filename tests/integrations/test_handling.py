"""The handlers' processes: a handler that fails does not affect other handlers."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gevent
import pytest

from router.integrations import Failure, Integrations
from router.integrations.base import AttemptError
from router.message.twiml import Answer, twiml_of
from router.settings.handler import HandlerSetting
from tests.e2e.running import is_alive
from tests.integrations.sending import attempt, flow, integrations, meanwhile, message_of, settings

MADE = settings()
PATH = "tests.integrations.handlers"
_KEEPS = {"keeps": HandlerSetting(path=f"{PATH}:holds")}
NAMES = (
    "pid",
    "surroundings",
    "waits",
    "meets",
    "blocks",
    "spawns",
    "holds",
    "swallows",
    "exits",
    "garbles",
    "leaves",
    "returns",
)
# Seconds for attempts that reach their deadline, and for those that do not.
SOON = 1.2
LONG = 60.0


@pytest.fixture
def senders() -> Iterator[Integrations]:
    """A worker's senders, whose handlers have no process yet."""
    made = integrations(MADE, {name: HandlerSetting(path=f"{PATH}:{name}") for name in NAMES} | _KEEPS)
    yield made
    made.close()


class Sent:
    """A message that is being handled."""

    def __init__(self, senders: Integrations, name: str, body: str, seconds: float) -> None:
        made = attempt(MADE, flow("handler", handler=name), message_of(body), seconds=seconds)
        self._greenlet = gevent.spawn(_outcome, lambda: senders.send(made))

    def text(self) -> str:
        """Return the text of the handler's answer."""
        found = self._greenlet.get(timeout=30)
        assert isinstance(found, Answer), found
        return _text(found)

    def error(self) -> AttemptError:
        """Return the error of the attempt."""
        found = self._greenlet.get(timeout=30)
        assert isinstance(found, AttemptError), found
        return found

    @property
    def under_way(self) -> bool:
        """Whether the attempt has not ended."""
        return not self._greenlet.ready()


def _outcome(send: Callable[[], Answer]) -> Answer | AttemptError:
    try:
        return send()
    except AttemptError as error:
        return error


def _text(answer: Answer) -> str:
    twiml = twiml_of(answer)
    return (twiml.response.findtext("Message") or "") if twiml else ""


def _send(senders: Integrations, name: str, body: str = "", seconds: float = LONG) -> Sent:
    return Sent(senders, name, body, seconds)


def _pid(senders: Integrations) -> int:
    return int(_send(senders, "pid").text())


def test_handlers_run_in_one_other_process(senders: Integrations) -> None:
    """Handlers run in one process that is not the worker, message after message."""
    first = _pid(senders)
    assert first != os.getpid()
    assert _pid(senders) == first


def test_a_process_is_small(senders: Integrations) -> None:
    """A handlers' process has less than 25 MB of private memory."""
    rollup = Path(f"/proc/{_pid(senders)}/smaps_rollup").read_text()
    private = sum(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Private_"))
    assert private < 25 * 1024


def test_handlers_wait_at_the_same_time(senders: Integrations) -> None:
    """Three handlers that wait for each other with gevent all end."""
    met = [_send(senders, "meets") for _ in range(3)]
    assert [each.text() for each in met] == ["met"] * 3


@pytest.mark.parametrize("name", ["blocks", "spawns"])
def test_a_handler_that_blocks_is_killed_at_its_deadline(senders: Integrations, name: str) -> None:
    """A handler that blocks is killed with its process at the deadline, and its attempt is counted as lost."""
    before = _pid(senders)
    error = _send(senders, name, seconds=SOON).error()
    assert (error.failure, error.lost, error.blameless) == (Failure.UNKNOWN, True, False)
    assert re.sub(r"\d", "N", error.reason) == f"handler {PATH}:{name} blocked for N.N s; its process was replaced"
    assert error.logged == error.reason
    assert _pid(senders) != before
    meanwhile(lambda: not is_alive(before))


def test_programs_started_by_a_handler_end_with_its_process(senders: Integrations, tmp_path: Path) -> None:
    """A program that a handler started is ended when the handler's process is killed."""
    file = tmp_path / "pid"
    assert _send(senders, "leaves", str(file), seconds=2).error().lost
    program = int(file.read_text())
    meanwhile(lambda: not is_alive(program))


def test_other_messages_in_a_blocked_process_are_not_to_blame(senders: Integrations) -> None:
    """When a blocked process is killed, running messages are interrupted without blame, waiting ones are answered."""
    _pid(senders)
    waiting = _send(senders, "waits")
    blocking = _send(senders, "blocks", seconds=SOON)
    behind = [_send(senders, "returns", "text") for _ in range(3)]
    assert blocking.error().lost
    assert [each.text() for each in behind] == ["Hola"] * 3
    error = waiting.error()
    assert (error.failure, error.lost, error.blameless) == (Failure.UNKNOWN, False, True)
    assert error.reason.startswith(f"handler {PATH}:waits was interrupted: another one blocked their process")


def test_a_deadline_reached_behind_a_blocking_handler_is_a_refusal(senders: Integrations, tmp_path: Path) -> None:
    """A message whose deadline comes while another blocks the process is refused without blame; the other goes on."""
    _pid(senders)
    held = _send(senders, "holds", str(tmp_path / "go on"))
    behind, waiting = _send(senders, "returns", "text", seconds=SOON), _send(senders, "waits", seconds=SOON)
    for each in (behind, waiting):
        error = each.error()
        assert (error.failure, error.lost, error.blameless) == (Failure.REFUSED, False, True)
    assert held.under_way
    (tmp_path / "go on").touch()
    assert held.text() == "held"


def test_a_handler_that_blocked_gets_a_process_of_its_own(senders: Integrations, tmp_path: Path) -> None:
    """Once a handler has blocked, other handlers get another process, then and the next time."""
    first = _pid(senders)
    held = _send(senders, "holds", str(tmp_path / "go on"))
    meanwhile(lambda: _pid_within(senders, SOON) not in {first, 0})
    second = _pid(senders)
    assert second != first
    assert held.under_way
    (tmp_path / "go on").touch()
    assert held.text() == "held"
    held = _send(senders, "holds", str(tmp_path / "go on again"))
    assert {_pid(senders) for _ in range(5)} == {second}
    assert held.under_way
    (tmp_path / "go on again").touch()
    assert held.text() == "held"
    assert is_alive(first)


def test_two_handlers_that_block_share_a_process(senders: Integrations, tmp_path: Path) -> None:
    """A second handler that blocks shares the first one's process, so two processes remain."""
    held = {}
    pids = [_pid(senders)]
    for name in ("holds", "keeps"):
        held[name] = _send(senders, name, str(tmp_path / name))
        meanwhile(lambda: _pid_within(senders, SOON) not in {*pids, 0})
        pids.append(_pid(senders))
    assert len(set(pids)) == 3
    for name, each in held.items():
        assert each.under_way
        (tmp_path / name).touch()
        assert each.text() == "held"
    meanwhile(lambda: not is_alive(pids[1]))
    assert is_alive(pids[0])
    assert _pid(senders) == pids[2]


def _pid_within(senders: Integrations, seconds: float) -> int:
    found: Any = _send(senders, "pid", seconds=seconds)._greenlet.get(timeout=30)
    return int(_text(found)) if isinstance(found, Answer) else 0


def test_a_handler_that_swallows_its_deadline(senders: Integrations) -> None:
    """A handler that catches its Timeout is counted as lost, and its process is replaced; others may end first."""
    before = _pid(senders)
    others = [_send(senders, "meets"), _send(senders, "meets")]
    error = _send(senders, "swallows", seconds=SOON).error()
    assert (error.failure, error.lost) == (Failure.UNKNOWN, True)
    assert error.reason == f"handler {PATH}:swallows went on after its deadline; its process was replaced"
    assert _pid(senders) != before
    assert all(each.under_way for each in others)


def test_a_handler_that_waits_is_ended_at_its_deadline(senders: Integrations) -> None:
    """A handler that waits with gevent is ended at its deadline, and its process goes on."""
    before = _pid(senders)
    error = _send(senders, "waits", seconds=SOON).error()
    assert (error.failure, error.lost, error.reason) == (
        Failure.UNKNOWN,
        False,
        f"handler {PATH}:waits did not end in time",
    )
    assert _pid(senders) == before


@pytest.mark.parametrize(("body", "how"), [("exit", "exit status 3"), ("kill", "SIGKILL")])
def test_a_handler_that_ends_its_process(senders: Integrations, body: str, how: str) -> None:
    """When a handler ends its process, its attempt is lost, others are interrupted without blame, a new one starts."""
    before = _pid(senders)
    waiting = _send(senders, "waits")
    error = _send(senders, "exits", body).error()
    assert (error.failure, error.lost) == (Failure.UNKNOWN, True)
    assert error.reason == f"handler {PATH}:exits ended its process ({how})"
    assert waiting.error().blameless
    assert _pid(senders) != before


def test_garbage_from_a_handlers_process_replaces_it(senders: Integrations) -> None:
    """A process that writes garbage to the worker is replaced, and the worker goes on."""
    before = _pid(senders)
    assert _send(senders, "garbles").error().failure is Failure.UNKNOWN
    assert _pid(senders) != before


def test_a_stopped_process_is_replaced(senders: Integrations) -> None:
    """A process that was stopped is replaced at a message's deadline, without blame for the message."""
    before = _pid(senders)
    os.kill(before, signal.SIGSTOP)
    assert _send(senders, "returns", "text", seconds=SOON).error().blameless
    assert _pid(senders) != before


def test_a_handlers_process_has_none_of_the_routers_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """A handler's process has the operator's variables, none of the router's, and one socket to its worker."""
    for name in ("TWILIO_AUTH_TOKEN", "TWILIO_AUTH_TOKEN_FILE", "ROUTER_ADMIN_PASSWORD", "ROUTER_REDIS_URL", "MINE"):
        monkeypatch.setenv(name, "a value")
    made = integrations(MADE, {"surroundings": HandlerSetting(path=f"{PATH}:surroundings")})
    try:
        found = _send(made, "surroundings").text()
    finally:
        made.close()
    assert '"MINE": "a value"' in found
    assert "ROUTER_" not in found
    assert "AUTH_TOKEN" not in found
    assert found.count("socket:") == 1
    assert '"oom": "500' in found


_WORKER = """
import sys
from tests.e2e.running import is_alive
from tests.integrations.sending import *
from router.settings.handler import HandlerSetting
made = settings()
path = "tests.integrations.handlers:"
senders = integrations(made, {name: HandlerSetting(path=path + name) for name in ("pid", "blocks")})
def send(name): return senders.send(attempt(made, flow("handler", handler=name), seconds=60.0))
print(send("pid").body.decode(), flush=True)
if sys.argv[1] == "blocked":
    gevent.spawn(send, "blocks")
gevent.sleep(60)
"""


@pytest.mark.parametrize("how", ["idle", "blocked"])
def test_a_process_ends_with_its_worker(how: str) -> None:
    """After `kill -9` of the worker its handlers' process ends, also while a handler blocks."""
    with subprocess.Popen([sys.executable, "-c", _WORKER, how], stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        child = int(worker.stdout.readline().split("Message>")[1].rstrip("</"))
        if how == "blocked":
            meanwhile(lambda: _is_running(child))
        worker.kill()
        meanwhile(lambda: not is_alive(child))


def _is_running(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "R"
