"""The application in this process, listening at its own port and at the port for tunnels, as under gunicorn."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from werkzeug.serving import make_server

from router.app import create_app
from tests.e2e.service import ACCOUNT, TOKEN
from tests.ports import free_port


@dataclass(frozen=True)
class LocalRouter:
    """The path of its configuration, and its ports."""

    config: Path
    port: int
    tunnel_port: int


@contextmanager
def serving(folder: Path, redis_url: str) -> Iterator[LocalRouter]:
    """Serve one account, with this machine as public URL."""
    port = free_port()
    router = LocalRouter(folder / "router.toml", port, port + 1)
    router.config.write_text(
        f"""
redis_url = "{redis_url}"
bind = "127.0.0.1:{router.port}"
tunnel_port = {router.tunnel_port}
data_dir = "{folder / "var"}"
public_url = ["http://127.0.0.1:{router.port}"]

[[account]]
sid = "{ACCOUNT}"
auth_tokens = ["{TOKEN}"]
"""
    )
    (folder / "var").mkdir()
    app = create_app({"ROUTER_CONFIG": str(router.config)})
    with ExitStack() as stack:
        for port in (router.port, router.tunnel_port):
            server = make_server("127.0.0.1", port, app)
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
            thread.start()
            stack.callback(server.server_close)
            stack.callback(thread.join)
            stack.callback(server.shutdown)
        yield router
