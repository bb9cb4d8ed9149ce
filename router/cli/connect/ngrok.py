"""A tunnel of an ngrok agent, through its local API: an agent that already runs, or one that pyngrok starts.

https://ngrok.com/docs/agent/api
"""

import json
import logging
import os
import shutil
import sys
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from router.cli.connect.follow import TunnelGone
from router.cli.http import NoAnswer, exchange
from router.cli.terminal import say
from router.errors import RouterError

_API: Final = "http://127.0.0.1:4040"
_OPENED: Final = 201
# The states of an agent without a connection. Agents before version 3 report no state, and count as online.
_DISCONNECTED: Final = ("connecting", "reconnecting", "offline")
# pyngrok's default is 15 s, which is too short on a slow line.
_START_SECONDS: Final = 60
_TOKEN_PAGE: Final = "https://dashboard.ngrok.com/get-started/your-authtoken"  # noqa: S105 - a page


class NgrokTunnel:
    """An existing tunnel to the router of this machine, on `router_port`, or else a new one to `port`.

    `agent` returns the URL of the agent's API, and restarts an agent that we have started if it has ended; `stop` stops
    such an agent, and is None for another one.
    """

    def __init__(
        self, agent: Callable[[], str], stop: Callable[[], None] | None, *, port: int, router_port: int
    ) -> None:
        self._agent = agent
        self._stop = stop
        self._port = port
        self._router_port = router_port
        self._name = f"router-{router_port}"

    def look(self) -> str:
        """Return its current public base URL, which changes when the agent restarts; open it if it is missing.

        Raises:
            TunnelGone: no agent answers, or it has lost its connection to ngrok.
            RouterError: the agent refuses; the message has its reason.
        """
        api = self._agent()
        _, reply = _ask(api, "GET", "/api/status")
        if reply.get("status") in _DISCONNECTED:
            raise TunnelGone(f"the ngrok agent at {api} is {reply['status']}: its tunnels do not work at the moment")
        _, reply = _ask(api, "GET", "/api/tunnels")
        found = [each for each in reply.get("tunnels", ()) if each.get("proto") in ("http", "https")]
        for port in (self._port, self._router_port):
            urls = [str(each.get("public_url", "")) for each in found if _port(each) == port]
            if urls:
                return max(urls, key=lambda url: url.startswith("https:")).rstrip("/")
        if any(each.get("name") == self._name for each in found):
            self._close(api)  # of an earlier run: no router listens at its port any more
        return self._open(api)

    def close(self) -> None:
        """Close the tunnel if we have opened it, and stop the agent if we have started it."""
        if self._stop is not None:
            self._stop()
            return
        try:
            self._close(self._agent())
        except TunnelGone:
            return

    def _open(self, api: str) -> str:
        wanted = {"name": self._name, "proto": "http", "addr": f"http://127.0.0.1:{self._port}", "schemes": ["https"]}
        status, reply = _ask(api, "POST", "/api/tunnels", wanted)
        if status != _OPENED:
            details = reply.get("details")
            why = (details.get("err") if isinstance(details, dict) else "") or reply.get("msg") or f"status {status}"
            raise RouterError(f"ngrok did not open a tunnel: {_one_line(str(why))}")
        return str(reply.get("public_url", "")).rstrip("/")

    def _close(self, api: str) -> None:
        _ask(api, "DELETE", f"/api/tunnels/{quote(self._name, safe='')}")


def open_ngrok(api: str | None, *, port: int, router_port: int) -> NgrokTunnel:
    """Return a tunnel of the agent with the API `api`; without it of the agent that runs here, or of a new one.

    Raises:
        RouterError: no agent runs, and none can be started.
    """
    try:
        _ask(api or _API, "GET", "/api/tunnels")
    except TunnelGone as error:
        if api:
            raise RouterError(f"{error}; start one with `ngrok start --none`") from None
        start, stop = _pyngrok(port)
        start()
        return NgrokTunnel(start, stop, port=port, router_port=router_port)
    return NgrokTunnel(lambda: api or _API, None, port=port, router_port=router_port)


def _pyngrok(port: int) -> tuple[Callable[[], str], Callable[[], None]]:
    """Return a function that starts an agent unless one runs, and a function that stops it.

    The agent is the installed program, or else pyngrok downloads it. It reads its authtoken from its own file or from
    NGROK_AUTHTOKEN: pyngrok would pass it as an argument, which every user of this machine could see.
    """
    if not find_spec("pyngrok"):
        raise RouterError(
            f"no ngrok agent runs here ({_API}), and none can be started: pyngrok is not installed. Either install it "
            f"({sys.executable} -m pip install 'twilio-message-router[tunnel]'), or start ngrok yourself, with `ngrok "
            f"http {port}`; it needs your authtoken once (`ngrok config add-authtoken …`, from {_TOKEN_PAGE}). Or open "
            f"another tunnel, for example with `cloudflared tunnel --url http://127.0.0.1:{port}`, and pass its URL: "
            "`router tunnel --url https://…`"
        )
    from pyngrok import conf, ngrok
    from pyngrok.exception import PyngrokError

    logging.getLogger("pyngrok").setLevel(logging.CRITICAL)  # we print its errors ourselves
    # In its own session it gets no Ctrl-C: the webhooks must be restored before the tunnel closes.
    config = conf.PyngrokConfig(ngrok_path=_installed(), start_new_session=True, startup_timeout=_START_SECONDS)
    config.auth_token = None

    def start() -> str:
        ours = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith(("TWILIO_", "ROUTER_"))}
        try:
            return str(ngrok.get_ngrok_process(config).api_url)
        except (PyngrokError, OSError) as error:
            lines = " ".join(log.line for log in getattr(error, "ngrok_logs", ()))
            reason = getattr(error, "ngrok_error", None) or lines or str(error)
            raise RouterError(f"ngrok did not start: {_with_advice(_one_line(reason))}") from None
        finally:
            os.environ.update(ours)  # ngrok does not need our secrets

    if not shutil.which(config.ngrok_path):
        say(f"downloading the ngrok program to {config.ngrok_path}")
    return start, lambda: ngrok.kill(config)


def _installed() -> str | None:
    """Return the ngrok program, not pyngrok's command of that name, which leaves the program running when it ends."""
    for folder in os.get_exec_path():
        if found := shutil.which("ngrok", path=folder):
            with Path(found).open("rb") as file:
                if b"pyngrok" not in file.read(1000):
                    return found
    return None


def _with_advice(reason: str) -> str:
    if "authtoken" not in reason and "authentication" not in reason:
        return reason
    how = f"give it your authtoken once, from {_TOKEN_PAGE}: `ngrok config add-authtoken …`, or set NGROK_AUTHTOKEN"
    return f"{reason} — {how}"


def _ask(api: str, method: str, path: str, body: Mapping[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
    """Call an agent's API; raise TunnelGone if no agent answers."""
    headers = {"Content-Type": "application/json"} if body else {}
    try:
        answered = exchange(method, f"{api}{path}", json.dumps(body).encode() if body else None, headers)
    except NoAnswer:
        raise TunnelGone(f"no ngrok agent answers at {api}") from None
    try:
        found = json.loads(answered.body) if answered.body else {}
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise TunnelGone(f"no ngrok agent at {api}: another program answers there")
    return answered.status, found


def _port(tunnel: Mapping[str, Any]) -> int:
    """Read the port of a tunnel from `addr`, which ngrok reports as it was configured: 80, localhost:80, http://localhost:80."""
    config = tunnel.get("config")
    port = str(config.get("addr", "") if isinstance(config, dict) else "").rpartition(":")[2].strip("/")
    return int(port) if port.isascii() and port.isdecimal() else 0


def _one_line(text: str) -> str:
    return " ".join(text.split())[:500]
