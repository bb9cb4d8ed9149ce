"""The processes of handlers: a handler that fails does not affect other handlers."""

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
from router.settings import HandlerSetting
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
# Seconds for attempts that are to be ended, and for those that are not.
SOON = 1.2
LONG = 60.0


@pytest.fixture
def senders() -> Iterator[Integrations]:
    """The senders of a process, whose handlers have no process yet."""
    made = integrations(MADE, {name: HandlerSetting(path=f"{PATH}:{name}") for name in NAMES} | _KEEPS)
    yield made
    made.close()


class Sent:
    """A message on its way to a handler."""

    def __init__(self, senders: Integrations, name: str, body: str, seconds: float) -> None:
        made = attempt(MADE, flow("handler", handler=name), message_of(body), seconds=seconds)
        self._greenlet = gevent.spawn(_outcome, lambda: senders.send(made))

    def text(self) -> str:
        """Return what the handler answered."""
        found = self._greenlet.get(timeout=30)
        assert isinstance(found, Answer), found
        return _text(found)

    def error(self) -> AttemptError:
        """Return why there is no answer."""
        found = self._greenlet.get(timeout=30)
        assert isinstance(found, AttemptError), found
        return found

    @property
    def under_way(self) -> bool:
        """Whether it has not ended."""
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


def test_a_handler_runs_elsewhere(senders: Integrations) -> None:
    """One process serves message after message, and it is not the worker."""
    first = _pid(senders)
    assert first != os.getpid()
    assert _pid(senders) == first


def test_a_process_is_small(senders: Integrations) -> None:
    """Beside a worker of some 55 MB there is room for two of them, and for what handlers import, in 120 MB."""
    rollup = Path(f"/proc/{_pid(senders)}/smaps_rollup").read_text()
    private = sum(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Private_"))
    assert private < 25 * 1024


def test_handlers_wait_at_the_same_time(senders: Integrations) -> None:
    """What waits in a cooperative way waits beside others: three that wait for each other all end."""
    met = [_send(senders, "meets") for _ in range(3)]
    assert [each.text() for each in met] == ["met"] * 3


@pytest.mark.parametrize("name", ["blocks", "spawns"])
def test_a_handler_that_blocks(senders: Integrations, name: str) -> None:
    """At its deadline its process is killed and replaced; the reason names it, and it is the one that is to blame."""
    before = _pid(senders)
    error = _send(senders, name, seconds=SOON).error()
    assert (error.failure, error.lost, error.blameless) == (Failure.UNKNOWN, True, False)
    assert re.sub(r"\d", "N", error.reason) == f"handler {PATH}:{name} blocked for N.N s; its process was replaced"
    assert error.logged == error.reason
    assert _pid(senders) != before
    meanwhile(lambda: not is_alive(before))


def test_a_process_ends_with_what_a_handler_started(senders: Integrations, tmp_path: Path) -> None:
    """A program that a handler has started does not go on when its process is killed."""
    file = tmp_path / "pid"
    assert _send(senders, "leaves", str(file), seconds=2).error().lost
    program = int(file.read_text())
    meanwhile(lambda: not is_alive(program))


def test_others_in_the_process_of_one_that_blocks(senders: Integrations) -> None:
    """Those that were under way are lost without fault, and those that had not begun are answered all the same."""
    _pid(senders)
    waiting = _send(senders, "waits")
    blocking = _send(senders, "blocks", seconds=SOON)
    behind = [_send(senders, "returns", "text") for _ in range(3)]
    assert blocking.error().lost
    assert [each.text() for each in behind] == ["Hola"] * 3
    error = waiting.error()
    assert (error.failure, error.lost, error.blameless) == (Failure.UNKNOWN, False, True)
    assert error.reason.startswith(f"handler {PATH}:waits was interrupted: another one blocked their process")


def test_one_whose_deadline_comes_while_another_blocks(senders: Integrations, tmp_path: Path) -> None:
    """It is lost without fault, and the one that blocks goes on until its own deadline."""
    _pid(senders)
    held = _send(senders, "holds", str(tmp_path / "go on"))
    behind, waiting = _send(senders, "returns", "text", seconds=SOON), _send(senders, "waits", seconds=SOON)
    for each in (behind, waiting):
        error = each.error()
        assert (error.failure, error.lost, error.blameless) == (Failure.REFUSED, False, True)
    assert held.under_way
    (tmp_path / "go on").touch()
    assert held.text() == "held"


def test_a_handler_that_blocks_is_called_apart(senders: Integrations, tmp_path: Path) -> None:
    """Once a handler holds the process, others have another one, also while it holds it, and also the next time."""
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
    """Whatever else holds the process is called apart with the first: never are there more than two for good."""
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
    """A bare `except:` wins nothing: the process is replaced. What is under way in it beside may end first."""
    before = _pid(senders)
    others = [_send(senders, "meets"), _send(senders, "meets")]
    error = _send(senders, "swallows", seconds=SOON).error()
    assert (error.failure, error.lost) == (Failure.UNKNOWN, True)
    assert error.reason == f"handler {PATH}:swallows went on after its deadline; its process was replaced"
    assert _pid(senders) != before
    assert all(each.under_way for each in others)


def test_a_handler_that_ends_in_time(senders: Integrations) -> None:
    """One that waits past its deadline is ended in its process, which goes on."""
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
    """Only that message fails: the process is replaced, and the other messages under way are repeated."""
    before = _pid(senders)
    waiting = _send(senders, "waits")
    error = _send(senders, "exits", body).error()
    assert (error.failure, error.lost) == (Failure.UNKNOWN, True)
    assert error.reason == f"handler {PATH}:exits ended its process ({how})"
    assert waiting.error().blameless
    assert _pid(senders) != before


def test_a_handler_that_writes_to_the_worker(senders: Integrations) -> None:
    """What is no reply ends the process, and not the worker."""
    before = _pid(senders)
    assert _send(senders, "garbles").error().failure is Failure.UNKNOWN
    assert _pid(senders) != before


def test_a_process_that_is_stopped(senders: Integrations) -> None:
    """A process that does nothing any more, though no handler holds it, is replaced at the deadline of any message."""
    before = _pid(senders)
    os.kill(before, signal.SIGSTOP)
    assert _send(senders, "returns", "text", seconds=SOON).error().blameless
    assert _pid(senders) != before


def test_surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    """A handler's process has the variables of its operator and none of the router's, and one socket: to its worker."""
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
from router.settings import HandlerSetting
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
    """`kill -9` of the worker leaves no handler behind, not even one that blocks."""
    with subprocess.Popen([sys.executable, "-c", _WORKER, how], stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        child = int(worker.stdout.readline().split("Message>")[1].rstrip("</"))
        if how == "blocked":
            meanwhile(lambda: _is_running(child))
        worker.kill()
        meanwhile(lambda: not is_alive(child))


def _is_running(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "R"
