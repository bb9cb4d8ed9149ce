"""Starts the candidates: the router and what it is compared with, all with the same number of processes."""

import json
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from bench.server import PROJECT, Server, Servers
from bench.webhook import ACCOUNT, PUBLIC_URL, TOKEN
from router.process.preload import FOUND

_RIVALS: Final = Path(__file__).parent / "rivals"
# gunicorn's default gevent worker, for the alternatives; the rest of the configuration is the router's.
_STOCK_WORKER: Final = "--worker-class=gevent"
_NODE_MODULES: Final = PROJECT / "tests" / "node" / "node_modules"


def start_target(servers: Servers, port: int | None = None) -> Server:
    """Start a target to which messages are forwarded, on this port or on any."""
    command = [sys.executable, "-m", "bench.target", "{port}"]
    return servers.start("target", command, {"PYTHONPATH": str(PROJECT)}, port=port)


def start_router(servers: Servers, store_url: str, workers: int, **environ: str) -> Server:
    """Start the router as in production; `environ` are further settings."""
    settings = {**_environ(store_url, workers), **environ}
    return servers.start("router", _gunicorn(PROJECT, "wsgi:app"), settings)


def start_bare(servers: Servers, store_url: str, workers: int, *, our_worker: bool = False) -> Server:
    """Start a Flask view that only parses the form, in gunicorn's own gevent worker or in the router's."""
    command = _gunicorn(_RIVALS, "bare:app", *(() if our_worker else (_STOCK_WORKER,)))
    return servers.start("bare-ours" if our_worker else "bare", command, _environ(store_url, workers))


def start_plain(servers: Servers, store_url: str, workers: int) -> Server:
    """Start plain Flask, which verifies, looks up the target and forwards, in gunicorn's own gevent worker."""
    return servers.start("plain", _gunicorn(_RIVALS, "plain:app", _STOCK_WORKER), _environ(store_url, workers))


def start_express(servers: Servers, target: Server, workers: int) -> Server | None:
    """Start Express, which verifies and forwards; None if node or its packages are not installed."""
    node = shutil.which("node")
    if node is None or without_express():
        return None
    environ = {
        "NODE_PATH": str(_NODE_MODULES),
        "NODE_ENV": "production",
        "TWILIO_AUTH_TOKEN": TOKEN,
        "ROUTER_WORKERS": str(workers),
        "BENCH_PORT": "{port}",
        "BENCH_TARGET": target_url(target),
    }
    return servers.start("express", [node, _RIVALS / "express.js"], environ)


def without_express() -> bool:
    """Return whether Express cannot be measured, because node or its packages are missing."""
    return shutil.which("node") is None or not all((_NODE_MODULES / name).is_dir() for name in ("express", "twilio"))


def command_environ(store_url: str) -> dict[str, str]:
    """Return the environment of a command that uses the store."""
    return {"ROUTER_REDIS_URL": store_url, "TWILIO_ACCOUNT_SID": ACCOUNT, "TWILIO_AUTH_TOKEN": TOKEN}


def target_url(target: Server) -> str:
    """Return the URL of the target for messages."""
    return f"http://127.0.0.1:{target.port}/inbound"


def _gunicorn(path: Path, application: str, *options: str) -> list[str | Path]:
    config = PROJECT / "config" / "gunicorn.conf.py"
    return [sys.executable, "-m", "gunicorn", f"--config={config}", f"--pythonpath={path}", *options, application]


def _environ(store_url: str, workers: int) -> Mapping[str, str]:
    return {
        **command_environ(store_url),
        "ROUTER_BIND": "127.0.0.1:{port}",
        "ROUTER_WORKERS": str(workers),
        "ROUTER_PUBLIC_URL": PUBLIC_URL,
        "ROUTER_ALLOWED_NETWORKS": "127.0.0.0/8",
        FOUND: json.dumps({"languages": [], "faults": []}),  # its flows name no language: the store need not be asked
    }
