"""The local API of an ngrok agent: https://ngrok.com/docs/agent/api."""

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, urlsplit

from router.cli.connect.tunnels import TunnelGone
from router.errors import RouterError

DEFAULT: Final = "http://127.0.0.1:4040"
_OK: Final = 200
_OPENED: Final = 201
# What an agent is that is not `online`; one that does not say (before version 3) is taken for that.
_AWAY: Final = ("connecting", "reconnecting", "offline")
# Opening a tunnel is a conversation with ngrok's own servers; the rest is answered by this machine.
_SECONDS: Final = 15.0


@dataclass(frozen=True, slots=True)
class AgentTunnel:
    """A tunnel as the agent describes it: its public base, and the port of this machine that it leads to."""

    name: str
    url: str
    port: int


class Agent:
    """An ngrok agent that runs on this machine.

    Args:
        api: where its API is, as `http://127.0.0.1:4040`.
    """

    def __init__(self, api: str = DEFAULT) -> None:
        self.api = api
        parts = urlsplit(api)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 4040

    def tunnels(self) -> list[AgentTunnel]:
        """List the tunnels of HTTP, those with TLS first.

        Raises:
            TunnelGone: no agent answers.
        """
        _, answer = self._ask("GET", "/api/tunnels")
        found = [_tunnel(each) for each in answer.get("tunnels", ()) if each.get("proto") in ("http", "https")]
        return sorted(found, key=lambda tunnel: not tunnel.url.startswith("https:"))

    def away(self) -> str:
        """Say how it is without its connection to ngrok, when its tunnels lead nowhere; "" when it has one.

        Raises:
            TunnelGone: no agent answers.
        """
        status, told = self._ask("GET", "/api/status")
        return str(told["status"]) if status == _OK and told.get("status") in _AWAY else ""

    def open(self, name: str, port: int) -> AgentTunnel:
        """Open a tunnel to a port of this machine.

        Raises:
            TunnelGone: no agent answers.
            RouterError: the agent refuses; the sentence has its reason.
        """
        wanted = {"name": name, "proto": "http", "addr": f"http://127.0.0.1:{port}", "schemes": ["https"]}
        status, answer = self._ask("POST", "/api/tunnels", wanted)
        if status != _OPENED:
            details = answer.get("details")
            why = (details.get("err") if isinstance(details, dict) else "") or answer.get("msg") or f"status {status}"
            raise RouterError(f"ngrok opens no tunnel: {' '.join(str(why).split())[:500]}")
        return _tunnel(answer)

    def close(self, name: str) -> None:
        """Close a tunnel; one that is not there is closed."""
        self._ask("DELETE", f"/api/tunnels/{quote(name, safe='')}")

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        connection = http.client.HTTPConnection(self._host, self._port, timeout=_SECONDS)
        headers = {"Content-Type": "application/json"} if body else {}
        try:
            connection.request(method, path, json.dumps(body) if body else None, headers)
            answer = connection.getresponse()
            content = answer.read()
            found = json.loads(content) if content else {}
        except (OSError, http.client.HTTPException, ValueError) as error:
            reason = "what answers there is no ngrok agent" if isinstance(error, ValueError) else "none answers"
            raise TunnelGone(f"no ngrok agent at {self.api}: {reason}") from None
        finally:
            connection.close()
        if not isinstance(found, dict):
            raise TunnelGone(f"no ngrok agent at {self.api}: what answers there is none")
        return answer.status, found


def _tunnel(found: Mapping[str, Any]) -> AgentTunnel:
    return AgentTunnel(
        str(found.get("name", "")), str(found.get("public_url", "")).rstrip("/"), _port(found.get("config"))
    )


def _port(config: Any) -> int:
    """Read the port from `addr`, which is written as it was given: 80, localhost:80, http://localhost:80."""
    address = str(config.get("addr", "")) if isinstance(config, dict) else ""
    port = address.rpartition(":")[2].strip("/")
    return int(port) if port.isascii() and port.isdecimal() else 0
