"""Tunnels by ngrok: through an agent that runs already, or through one that is started for it."""

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Final

from router.cli.connect.tunnels import TunnelGone
from router.cli.connect.tunnels.agent import Agent, AgentTunnel
from router.errors import RouterError
from router.process.child import die_with_parent, end

# An agent without tunnels, which its API opens; it takes its authtoken from its own file or from NGROK_AUTHTOKEN.
_ARGUMENTS: Final = ("start", "--none", "--log", "stdout", "--log-format", "json")
# pyngrok fetches the program where it is missing. It passes authtokens on as arguments, so the program takes its place.
_PYNGROK: Final = """
import os, sys
from pyngrok import conf, ngrok
path = conf.get_default().ngrok_path
try:
    ngrok.install_ngrok()
except Exception as error:
    sys.exit(f"pyngrok cannot fetch the program to {path}: {error}")
os.execv(path, [path, *sys.argv[1:]])
"""
# Until an agent has its session with ngrok; pyngrok may have to fetch the program first.
_START_SECONDS: Final = 60.0
_STOP_SECONDS: Final = 5.0
_LOOK: Final = 0.05
_SESSION: Final = ("client session established", "tunnel session started")
_SAID: Final = 20  # lines of the agent that are remembered
_AUTHTOKEN: Final = (
    "give it your authtoken once, from https://dashboard.ngrok.com/get-started/your-authtoken: "
    "`ngrok config add-authtoken …`, or set NGROK_AUTHTOKEN"
)


class NgrokTunnel:
    """A tunnel of an ngrok agent: one that leads to the router already, else one of our own.

    Args:
        agent: the agent.
        router_port: where the router listens.
        port: where a tunnel of our own leads to: the gate, or the router itself.
        process: the agent's process, where it is ours.
    """

    def __init__(self, agent: Agent, *, router_port: int, port: int, process: "NgrokProcess | None" = None) -> None:
        self.whole = port == router_port
        self._agent = agent
        self._router_port = router_port
        self._port = port
        self._process = process
        self._name = f"router-{router_port}"

    def look(self) -> str:
        """Return its address as it is now, which another agent may have changed; open it where it is missing."""
        if self._process is not None and self._process.ended:
            self._agent = self._process.start()
        if away := self._agent.away():
            raise TunnelGone(f"the ngrok agent at {self._agent.api} is {away}: its tunnels lead nowhere for now")
        found = self._agent.tunnels()
        ours = next((each for each in found if each.port == self._port), None)
        tunnel = ours or next((each for each in found if each.port == self._router_port), None) or self._open(found)
        self.whole = tunnel.port == self._router_port
        return tunnel.url

    def close(self) -> None:
        """Close the tunnel if it is ours, and the agent if we started it."""
        if self._process is not None:
            self._process.stop()
            return
        try:
            self._agent.close(self._name)
        except TunnelGone:
            return

    def _open(self, found: Sequence[AgentTunnel]) -> AgentTunnel:
        if any(each.name == self._name for each in found):
            self._agent.close(self._name)  # of a run that was killed: it leads to a gate that is no more
        return self._agent.open(self._name, self._port)


class NgrokProcess:
    """An ngrok agent of our own.

    Args:
        command: how the program is called.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None
        self._said: deque[str] = deque(maxlen=_SAID)
        self._api = ""
        self._online = False

    @property
    def ended(self) -> bool:
        """Whether it runs no more."""
        return self._process is None or self._process.poll() is not None

    def start(self) -> Agent:
        """Start it, and wait until it has its session.

        Raises:
            RouterError: it does not start; the sentence has its own reason.
        """
        self._said.clear()
        self._api, self._online = "", False
        hidden = ("TWILIO_", "ROUTER_")  # no business of another program's
        environ = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
        self._process = subprocess.Popen(  # noqa: S603 - the program that a person has installed
            [*self._command, *_ARGUMENTS],
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            process_group=0,  # Ctrl-C is for us: numbers are put back while the tunnel still stands
            preexec_fn=die_with_parent(),  # noqa: PLW1509 - it only calls prctl, which was looked up before
        )
        listener = threading.Thread(target=self._listen, args=(self._process,), daemon=True)
        listener.start()
        begun = time.monotonic()
        while not (self._api and self._online and not Agent(self._api).away()):
            if self.ended or time.monotonic() - begun > _START_SECONDS:
                self.stop()
                listener.join(_STOP_SECONDS)
                raise RouterError(f"ngrok does not start: {self._reason()}")
            time.sleep(_LOOK)
        return Agent(self._api)

    def stop(self) -> None:
        """Stop it."""
        if self._process is not None:
            end(self._process, _STOP_SECONDS)

    def _listen(self, process: subprocess.Popen[bytes]) -> None:
        """Read what it says: where its API is, when it is online, and why it is not."""
        assert process.stdout is not None  # noqa: S101 - it is a pipe
        with process.stdout:
            for line in process.stdout:
                try:
                    said = json.loads(line)
                    message = str(said.get("msg", ""))
                except (ValueError, AttributeError):
                    self._said.append(line.decode(errors="replace").strip())
                    continue
                if message == "starting web service":
                    self._api = f"http://{said.get('addr')}"
                self._online = self._online or message in _SESSION
                if said.get("lvl") in ("eror", "crit") or said.get("err") not in (None, "", "<nil>", "nil"):
                    self._said.append(str(said.get("err") or message))

    def _reason(self) -> str:
        said = " ".join(" ".join(self._said).split())[:500]
        if "authtoken" in said or "ERR_NGROK_4018" in said:
            return f"{said} — {_AUTHTOKEN}"
        return said or f"nothing was heard of it within {_START_SECONDS:.0f} s"


def installed() -> tuple[str, ...]:
    """Return how ngrok is called here: by pyngrok when that is installed, else the program; () when there is none."""
    if find_spec("pyngrok"):
        return (sys.executable, "-c", _PYNGROK)
    program = shutil.which("ngrok")
    return (program,) if program else ()
