"""A fake ngrok agent on loopback: its local API as documented, and tunnels that really forward requests.

https://ngrok.com/docs/agent/api and https://ngrok.com/docs/errors. As a program it stands for the command
`ngrok start --none --log stdout`, and runs until it is ended.
"""

import http.client
import json
import signal
import sys
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import unquote, urlsplit

Json = dict[str, Any]
_QUIET = dict.fromkeys(("count", "gauge", "rate1", "rate5", "rate15", "p50", "p90", "p95", "p99"), 0)
_KEPT = {"host", "content-length", "connection"}


class NgrokAgent:
    """An agent that runs while its context is open.

    `page`: code of an error page that ngrok answers in place of the router, for example "6024"; `refuse`: the reason
    for which it opens no tunnel; `status`: of its connection to ngrok.
    """

    def __init__(self, port: int = 0) -> None:
        self.page = ""
        self.refuse = ""
        self.status = "online"
        self.requests: list[tuple[str, str]] = []
        self._tunnels: dict[str, _Tunnel] = {}
        self._start(port)

    @property
    def url(self) -> str:
        """The URL of its API."""
        return f"http://127.0.0.1:{self._port}"

    def public_url(self, name: str = "") -> str:
        """Return the public base URL of a tunnel; without a name, of the only one."""
        return self._tunnels[name or next(iter(self._tunnels))].url

    def forward(self, port: int, name: str = "command_line") -> str:
        """Open a tunnel as `ngrok http PORT` does; return its public base URL."""
        self._tunnels[name] = _Tunnel(self, name, f"http://localhost:{port}")
        return self._tunnels[name].url

    def change_addresses(self) -> None:
        """Give each tunnel a new address, as a restart of `ngrok http` does; the old ones lead nowhere."""
        for name, tunnel in list(self._tunnels.items()):
            self._tunnels[name] = _Tunnel(self, name, tunnel.addr)
            tunnel.close()

    def end(self) -> None:
        """End the agent with its tunnels, as Ctrl-C does."""
        for tunnel in self._tunnels.values():
            tunnel.close()
        self._tunnels.clear()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def start_again(self) -> None:
        """Start it again at the same port, without tunnels."""
        self._start(self._port)

    def _start(self, port: int) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", port), _api(self))
        self._server.daemon_threads = True
        self._port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, Json | None]:
        """Answer a request of the API."""
        self.requests.append((method, path))
        if (method, path) == ("GET", "/api/status"):
            legs = [{"region": "eu", "latency": "12ms"}]
            version = {"agent_version": "3.9.0", "session": {"legs": legs}}
            return 200, {"status": self.status, **version, "uri": "/api/status"}
        if (method, path) == ("GET", "/api/endpoints"):
            return 200, {"endpoints": [], "uri": "/api/endpoints"}
        return self._tunnel(method, path, body)

    def _tunnel(self, method: str, path: str, body: bytes) -> tuple[int, Json | None]:
        name = unquote(path.removeprefix("/api/tunnels/"))
        if (method, path) == ("GET", "/api/tunnels"):
            return 200, {"tunnels": [each.described for each in self._tunnels.values()], "uri": "/api/tunnels"}
        if (method, path) == ("POST", "/api/tunnels"):
            wanted = json.loads(body)
            if self.refuse:
                return 502, _error(103, 502, "failed to start tunnel", self.refuse)
            if not {"addr", "proto", "name"} <= wanted.keys() or wanted["name"] in self._tunnels:
                return 400, _error(102, 400, "invalid tunnel configuration", "bind_error")
            self._tunnels[wanted["name"]] = tunnel = _Tunnel(self, wanted["name"], wanted["addr"])
            return 201, tunnel.described
        if method == "DELETE" and name in self._tunnels:
            self._tunnels.pop(name).close()
            return 204, None
        return 404, _error(100, 404, "tunnel not found", f"no tunnel {name}")


@dataclass(frozen=True, slots=True)
class _Upstream:
    host: str
    port: int


class _Tunnel:
    def __init__(self, agent: NgrokAgent, name: str, addr: str) -> None:
        self.name, self.addr = name, addr
        parts = urlsplit(addr if "//" in addr else f"http://{addr}")
        self._server = ThreadingHTTPServer(
            ("127.0.0.1", 0), _forwarder(agent, _Upstream(parts.hostname or "127.0.0.1", parts.port or 80))
        )
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    @property
    def described(self) -> Json:
        """The Tunnel resource."""
        return {
            "name": self.name,
            "ID": "8fc3ac8c67b8d0b1bd9ad0a7e0e2f3b5",
            "uri": f"/api/tunnels/{self.name}",
            "public_url": self.url,
            "proto": "https",
            "config": {"addr": self.addr, "inspect": True},
            "metrics": {"conns": _QUIET, "http": {name: 0 for name in _QUIET if name != "gauge"}},
        }

    def close(self) -> None:
        """Close it."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def _error(code: int, status: int, message: str, reason: str) -> Json:
    return {"error_code": code, "status_code": status, "msg": message, "details": {"err": reason}}


def _api(agent: NgrokAgent) -> type[BaseHTTPRequestHandler]:
    class Handler(_Quiet):
        def do_GET(self) -> None:
            status, answer = agent.answer(self.command, self.path, self.body())
            self.send(status, {"Content-Type": "application/json"}, json.dumps(answer).encode() if answer else b"")

        do_POST = do_DELETE = do_GET  # noqa: N815 - the base class's names

    return Handler


def _forwarder(agent: NgrokAgent, upstream: _Upstream) -> type[BaseHTTPRequestHandler]:
    class Handler(_Quiet):
        def do_GET(self) -> None:
            """Forward as ngrok does: the Host header stays, and X-Forwarded headers name the client and its scheme."""
            body = self.body()
            if agent.page:
                self.send_page(200 if agent.page == "6024" else 404, agent.page)
                return
            headers = {name: value for name, value in self.headers.items() if name.lower() not in _KEPT}
            headers |= {"Host": self.headers["Host"], "Content-Length": str(len(body))}
            headers |= {"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "https"}
            headers |= {"X-Forwarded-Host": self.headers["Host"]}
            connection = http.client.HTTPConnection(upstream.host, upstream.port, timeout=20)
            try:
                connection.request(self.command, self.path, body, headers)
                answer = connection.getresponse()
                content = answer.read()
            except OSError:
                self.send_page(502, "8012")
                return
            finally:
                connection.close()
            kept = {name: value for name, value in answer.getheaders() if name.lower() not in _KEPT}
            self.send(answer.status, kept, content)

        do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815 - the base class's names

        def send_page(self, status: int, code: str) -> None:
            page = f"<!DOCTYPE html><html><body><p>ERR_NGROK_{code}</p></body></html>".encode()
            self.send(status, {"Content-Type": "text/html", "Ngrok-Error-Code": f"ERR_NGROK_{code}"}, page)

    return Handler


class _Quiet(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.0"
    wbufsize = -1  # an answer is one write, which waits for nothing

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", "0")))

    def send(self, status: int, headers: dict[str, str], content: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Write nothing."""


def _main() -> None:
    """Run as the program `ngrok`, and print what it prints."""
    with NgrokAgent() as agent:
        for said in (
            f'msg="starting web service" obj=web addr={agent.url.removeprefix("http://")}',
            'msg="client session established" obj=tunnels.session',
            'msg="tunnel session started" obj=tunnels.session',
        ):
            sys.stdout.write(f"t=2026-11-21T09:30:00+0000 lvl=info {said}\n")
            sys.stdout.flush()
        signal.sigwait({signal.SIGTERM, signal.SIGINT})


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    _main()
